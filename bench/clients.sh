#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# libleat beside librdkafka: the same records to and from the same leatd, run by run in turn. Nothing fails
# when a target is missed: figures are read, not asserted.
#
#     bench/clients.sh [--build DIR] [--dir DIR] [--rounds 5] [--only REGEX] [--scale 1] ...
set -eu
. "$(dirname "$0")/report/build.sh"
build_targets leatd leat leat-versus || {
    echo "leat-versus needs librdkafka (Debian: librdkafka-dev); install it and run cmake again" >&2
    exit 1
}
exec python3 "$here/report/clients.py" --build "$build" "$@"
