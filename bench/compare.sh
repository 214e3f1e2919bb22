#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# leat beside the other brokers that can be had here, under the same workloads, broker by broker in turn. Nothing fails
# when a target is missed: figures are read, not asserted.
#
#     bench/compare.sh [--build DIR] [--dir DIR] [--rounds 5] [--peers leat,kafka] [--only WORDS,...] [--driver rdkafka] ...
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${LEAT_BUILD:-$here/../build}
if [ "${1:-}" = --build ]; then
    build=$2
    shift 2
fi
[ -f "$build/CMakeCache.txt" ] || cmake -S "$here/.." -B "$build" -G Ninja >&2
cmake --build "$build" --target leatd leat leat-bench >&2
exec python3 "$here/report/compare.py" --build "$build" "$@"
