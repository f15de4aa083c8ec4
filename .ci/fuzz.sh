#!/usr/bin/env bash
#
# fuzz.sh [TIME] - run every fuzz target of the product for TIME (default 3s).
#
# A package is built for fuzzing once, while the one before is fuzzed, and its binary
# then asked for its targets: "go test -fuzz" would link it again for each. New inputs
# go to Go's own cache, a failing one to the package's testdata, as with "go test
# -fuzz". Inputs of many kilobytes are hardly made smaller: that would take all the
# time there is.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
time=${1:-3s}
top=$PWD
work=$(mktemp -d)
builder=
trap '[[ -z $builder ]] || { kill "$builder" 2>/dev/null; wait "$builder"; } || :; rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz
count=0

# out_of_time reports whether a failed run failed only because its time was over:
# until Go 1.27 the fuzzer sometimes takes its own deadline for an error
# (golang/go#75804). A real failure names a seed or a file it has written.
out_of_time() {
	[[ $(grep -v '^fuzz: elapsed' "$work/log" | sed '1s/ (.*//') == "--- FAIL: $1"$'\n    context deadline exceeded\nFAIL' ]]
}

# build begins to build package number $1, if there is one.
build() {
	builder=
	if [[ $1 -lt ${#packages[@]} ]]; then
		go test -c -fuzz=. -ldflags=-s -o "$work/$1.test" "${packages[$1]}" &
		builder=$!
	fi
}

mapfile -t packages < <(grep -rl --include='*_test.go' --exclude-dir='.?*' '^func Fuzz' . | xargs -r dirname | sort -u)
build 0
for i in "${!packages[@]}"; do
	dir=${packages[i]}
	wait "$builder"
	build $((i + 1))
	package=$(go list "$dir")
	binary=$work/$i.test
	cd "$top/$dir"
	targets=$("$binary" -test.list='^Fuzz')
	if [[ -z $targets ]]; then
		echo "fuzz.sh: $dir declares fuzz targets but its test binary lists none" >&2
		exit 1
	fi
	for target in $targets; do
		if ! "$binary" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$time" -test.fuzzminimizetime=10x \
			-test.fuzzcachedir="$cache/$package" >"$work/log" 2>&1 && ! out_of_time "$target"; then
			cat "$work/log"
			echo "fuzz.sh: $dir $target failed" >&2
			exit 1
		fi
		count=$((count + 1))
		printf '%s %s: %s\n' "${dir#./}" "$target" "$(grep '^fuzz: elapsed' "$work/log" | tail -n 1 | cut -d' ' -f4-)"
	done
	cd "$top"
	rm "$binary"
done

echo "fuzz.sh: $count targets, $time each"
[[ $count -gt 0 ]] # to have found nothing to do is to have looked in the wrong place
