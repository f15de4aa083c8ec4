#!/usr/bin/env bash
#
# test.sh - every step of "make test", timed; the first that fails ends it.
#
# Each step is a target of the Makefile. The tools build in the background while
# the product does: on a cold machine both wait for downloads and for linkers.
# What a step could not look at it says on a line that begins with "not checked:",
# and the last lines repeat it.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
tools=

finish() {
	# What was not looked at and how many tests passed are the last words, whatever
	# happened after them.
	cat "$work/unchecked" "$work/counts" 2>/dev/null || :
	if [[ -n $tools ]]; then
		kill "$tools" 2>/dev/null || :
		wait "$tools" 2>/dev/null || :
	fi
	rm -rf "$work"
}
trap finish EXIT

step() {
	local name=$1 start=$SECONDS code=0
	shift
	echo "=== $name"
	"$@" || code=$?
	if [[ $code -ne 0 ]]; then
		echo "=== $name: failed after $((SECONDS - start)) s"
		exit "$code"
	fi
	echo "=== $name: $((SECONDS - start)) s"
}

target() { make --no-print-directory "$1"; }

finish_tools() {
	local code=0
	wait "$tools" || code=$?
	tools=
	cat "$work/tools"
	return "$code"
}

race() {
	local code=0
	target race 2>&1 | tee "$work/race" || code=$?
	grep -E '^[0-9]+ passed' "$work/race" | tail -n 1 >"$work/counts" || :
	return "$code"
}

# candidly runs a target and keeps what it says it did not check.
candidly() {
	local code=0
	target "$1" 2>&1 | tee "$work/said" || code=$?
	grep '^not checked: ' "$work/said" >>"$work/unchecked" || :
	return "$code"
}

# quietly shows what a step said only if it failed.
quietly() {
	local code=0
	"$@" >"$work/said" 2>&1 || code=$?
	[[ $code -eq 0 ]] || cat "$work/said"
	return "$code"
}

step packages .ci/packages.sh
make --no-print-directory tools >"$work/tools" 2>&1 &
tools=$!
step build target build
step vet target vet
step tidy candidly tidy
step tools finish_tools
step generate-check target generate-check
step lint target lint
step vuln candidly vuln
step race race
step fuzz target fuzz
step demo quietly .ci/demo.sh
step demo-s3 quietly .ci/demo.sh s3
echo "=== test: passed in $SECONDS s"
