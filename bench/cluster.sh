#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What three nodes on one machine cost against one, and how fast leadership moves. Nothing fails when a target is
# missed: figures are read, not asserted.
#
#     bench/cluster.sh [--build DIR] [--dir DIR] [--rounds 3] [--kills 20] [--only REGEX]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${LEAT_BUILD:-$here/../build}
if [ "${1:-}" = --build ]; then
    build=$2
    shift 2
fi
[ -f "$build/CMakeCache.txt" ] || cmake -S "$here/.." -B "$build" -G Ninja >&2
cmake --build "$build" --target leatd leat leat-bench >&2
exec python3 "$here/report/cluster.py" --build "$build" "$@"
