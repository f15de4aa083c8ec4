#!/usr/bin/env bash
#
# bench.sh [GROUP...] - measure us beside what a lab would use instead, and print
# the table. What is measured, how, and which variables say how much, stands in
# bench/main.go; "SIZE=256M RUNS=1 .ci/bench.sh ledger" is a quick look at one group.
#
# The numbers mean something on a machine that does nothing else.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
.ci/packages.sh >/dev/null
make --no-print-directory build >&2
BENCH_MINIO=$(.ci/tools.sh minio)

go build -o bin/bench/ ./.ci/bench
GOFLAGS=-mod=readonly GOWORK=off go build -C .ci/bench/tessera -o "$PWD/bin/bench/" .

export PATH=$PATH:/usr/sbin:/sbin
export BENCH_BIN=$PWD/bin BENCH_MINIO BENCH_TESSERA=$PWD/bin/bench/tessera CHECK_PY=$PWD/.ci/bench/check.py
exec bin/bench/bench table "$@"
