#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# leat beside the other brokers that can be had here, under the same workloads, broker by broker in turn. Nothing fails
# when a target is missed: figures are read, not asserted.
#
#     bench/compare.sh [--build DIR] [--dir DIR] [--rounds 5] [--peers leat,kafka] [--only WORDS,...] [--driver rdkafka]
#         [--write-docs] ...
set -eu
. "$(dirname "$0")/report/build.sh"
build_targets leatd leat leat-bench micro_loop micro_journal micro_crc
exec python3 "$here/report/compare.py" --build "$build" "$@"
