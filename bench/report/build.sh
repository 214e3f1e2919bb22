# SPDX-License-Identifier: Apache-2.0
#
# What the scripts of bench/ begin with, read by them: --build DIR is taken from their arguments, and $here, $build and
# build_targets are theirs.
here=$(cd "$(dirname "$0")" && pwd)
build=${LEAT_BUILD:-$here/../build}
if [ "${1:-}" = --build ]; then
    build=$2
    shift 2
fi
[ -f "$build/CMakeCache.txt" ] || cmake -S "$here/.." -B "$build" -G Ninja >&2

build_targets() {
    cmake --build "$build" --target "$@" >&2
}
