#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Measures what leat promises on this machine and prints every figure beside its target. Nothing fails
# when a target is missed: figures are read, not asserted.
#
#     bench/numbers.sh [--build DIR] [--dir DIR] [--rounds 5] [--log-bytes 2GiB] [--only PART,...] ...
set -eu
. "$(dirname "$0")/report/build.sh"
build_targets leatd leat-bench micro_loop micro_journal
exec python3 "$here/report/promised.py" --build "$build" "$@"
