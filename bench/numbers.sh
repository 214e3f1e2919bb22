#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Measures what leat promises on this machine and prints every figure beside its target. Nothing fails
# when a target is missed: figures are read, not asserted.
#
#     bench/numbers.sh [--build DIR] [--dir DIR] [--rounds 5] [--log-bytes 2GiB] [--only PART,...] ...
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${LEAT_BUILD:-$here/../build}
if [ "${1:-}" = --build ]; then
    build=$2
    shift 2
fi
[ -f "$build/CMakeCache.txt" ] || cmake -S "$here/.." -B "$build" -G Ninja >&2
cmake --build "$build" --target leatd leat-bench micro_loop micro_journal >&2
exec python3 "$here/report/promised.py" --build "$build" "$@"
