#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What three nodes on one machine cost against one, and how fast leadership moves. Nothing fails when a target is
# missed: figures are read, not asserted.
#
#     bench/cluster.sh [--build DIR] [--dir DIR] [--rounds 3] [--kills 20] [--only REGEX]
set -eu
. "$(dirname "$0")/report/build.sh"
build_targets leatd leat leat-bench
exec python3 "$here/report/cluster.py" --build "$build" "$@"
