#!/usr/bin/env bash
#
# tools.sh NAME... - build the programs that tests, demo and bench run.
#
# Each NAME is a folder under .ci/tools with a go.mod and a go.sum: they pin the
# tool and everything it is made of, and Go checks every sum. The program lands in
#
#	${CUSTODYD_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/custodyd}/bin/NAME
#
# and its path is printed on stdout, one per line. A stamp beside it holds the
# digest of the pins and the Go version: the same pins are never built twice,
# other pins always are. Two runs at once wait for each other, tool by tool.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bin=${CUSTODYD_TOOLS:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/custodyd}/bin
mkdir -p "$bin"
bin=$(cd -- "$bin" && pwd)

# The caller's flags are for the product: a tool is built from its pins alone.
export GOFLAGS=-mod=readonly GOWORK=off
unset GOOS GOARCH

build() {
	local name=$1 dir=$here/tools/$1 package pins start
	if [[ $name == */* || ! -f $dir/go.mod ]]; then
		echo "tools.sh: no such tool: $name; known: $(cd "$here/tools" && echo *)" >&2
		return 2
	fi
	pins=$({ go version && cat "$dir/go.mod" "$dir/go.sum"; } | sha256sum | cut -d' ' -f1)

	exec 9>"$bin/.$name.lock"
	flock 9
	if [[ ! -x $bin/$name || $(cat "$bin/.$name.stamp" 2>/dev/null) != "$pins" ]]; then
		start=$SECONDS
		package=$(awk '$1 == "tool" { print $2 }' "$dir/go.mod")
		echo "tools.sh: building $name ($package)" >&2
		rm -f "$bin/.$name.stamp"
		go build -C "$dir" -o "$bin/.$name.new" "$package" >&2
		mv -f "$bin/.$name.new" "$bin/$name"
		echo "$pins" >"$bin/.$name.stamp"
		echo "tools.sh: built $name in $((SECONDS - start)) s" >&2
	fi
	exec 9>&-
	echo "$bin/$name"
}

[[ $# -gt 0 ]] || {
	echo "usage: tools.sh NAME...; known: $(cd "$here/tools" && echo *)" >&2
	exit 2
}
for name; do
	build "$name"
done
