#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Each rule of the storage is needed: left out, the explorer finds what it protects from. The rules that
# need a rare crash (free-early, newer-first, no-mark-run, no-mark-boot, anew-early) are left to nightly.sh.
set -euo pipefail

missed=""
caught() { # NAME [SWITCHES...]
    local name=$1
    shift
    if ! "$BUILD/bin/leat-sim-storage" --mutant "$name" --seed 50000 --crashes 60000 "$@" >"$SCRATCH/$name" 2>&1; then
        missed="$missed $name"
        tail -n 3 "$SCRATCH/$name"
    fi
}
for name in no-settled no-life truncate-quiet truncate-race unwaited-skip no-unfinished ack-unordered no-empty \
    believe-tail no-sync-first no-kept some-damaged share-block delete-unknown five-only ignore-failed; do
    caught $name
done
caught no-admission --disk-full
for name in gaps-quiet any-order anew-quiet; do
    caught $name
done
for name in replace-unsynced replace-early replace-unlisted tombstone-early no-empty-batch; do
    caught $name --compact
done
if [ -n "$missed" ]; then
    echo "not caught:$missed"
    exit 1
fi
