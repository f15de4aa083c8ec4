#!/usr/bin/env bash
#
# vuln.sh - look for known vulnerabilities that the product can reach.
#
# The database is a local copy of https://vuln.go.dev in the folder
# $CUSTODYD_VULNDB: what CI judges by must not change between two runs of the
# same commit. Without one, say so: nothing was checked. test.sh repeats it.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
if [[ -z ${CUSTODYD_VULNDB:-} ]]; then
	echo "not checked: known vulnerabilities: CUSTODYD_VULNDB names no local copy of the Go vulnerability database"
	exit 0
fi
if [[ ! -f $CUSTODYD_VULNDB/index/db.json ]]; then
	echo "vuln.sh: $CUSTODYD_VULNDB is no Go vulnerability database: it has no index/db.json" >&2
	exit 1
fi
govulncheck=$(.ci/tools.sh govulncheck)
exec "$govulncheck" -db "file://$(cd "$CUSTODYD_VULNDB" && pwd)" ./...
