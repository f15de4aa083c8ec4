#!/usr/bin/env bash
#
# generate-check.sh - fail if the generated code is not what its sources give.
#
# It leaves the renewed code in place: look at it and commit it.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
rooms=(api cmd internal schema)

cp -r "${rooms[@]}" "$before"
make --no-print-directory generate
for room in "${rooms[@]}"; do
	if ! diff -ru "$before/$room" "$room"; then
		echo "generate-check.sh: generated code was out of date; it has been renewed: commit it" >&2
		exit 1
	fi
done
