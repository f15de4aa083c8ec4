#!/usr/bin/env bash
#
# tidy.sh - fail if a go.mod or go.sum is not what "go mod tidy" would write.
#
# That takes modules which no build needs: the tests of what we depend on. Where
# they are not in the cache and cannot be fetched, say so: nothing was checked.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export GOFLAGS=-mod=readonly GOWORK=off

# look fails if it could not look: else there may be a difference.
look() { difference=$(go -C "$1" mod tidy -diff) || [[ -n $difference ]]; }

for module in . .ci/bench/tessera .ci/peers; do
	if ! GOPROXY=off look "$module" 2>/dev/null && ! look "$module"; then
		echo "not checked: whether $module/go.mod is tidy: modules are missing and cannot be fetched"
	elif [[ -n $difference ]]; then
		printf '%s\n' "$difference"
		echo "tidy.sh: $module/go.mod or go.sum is not tidy; try: go -C $module mod tidy" >&2
		exit 1
	fi
done
