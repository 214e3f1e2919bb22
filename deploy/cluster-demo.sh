#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# deploy/cluster.sh demo runs this: events are published and followed while a node that leads is killed and comes back.
#
# The three nodes are those of deploy/cluster.sh, started here if they do not run, and then stopped in the end. A topic
# of six partitions with three replicas each, two of which must have an event before it counts, gets numbered events.
# After a third of them the node that leads partition 0 is killed with kill -9, after two thirds it is started again.
# Exit status 0: every event was acknowledged and is read exactly once, and all replicas are in sync again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$1 data=$2
shift 2
running=$* # numbers of nodes
leat=$build/bin/leat
events=${LEAT_DEMO_EVENTS:-6000}
topic=demo-$$
work=$(mktemp -d)
started=""

finish() {
    local job
    for job in ${reader:-} ${writer:-}; do
        kill "$job" 2>/dev/null || true
    done
    [ -z "$started" ] || "$here/cluster.sh" stop
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
    printf '%s  %s\n' "$(date +%T)" "$*"
}

# Polls what has no event of its own; who waits is told by the caller's sentence.
await() {
    local what=$1 left=600
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        if [ $left = 0 ]; then
            echo "$what: not within a minute" >&2
            exit 1
        fi
        sleep 0.1
    done
}

count() {
    wc -l <"$work/read"
}

read_all() {
    [ "$(count)" -ge "$events" ]
}

# Of partition 0.
leader() {
    "$leat" topic describe "$topic" | awk '$1 == "0" {print $2; exit}'
}

in_sync() {
    [ "$("$leat" topic describe "$topic" | awk '$1 ~ /^[0-5]$/ && $5 ~ /,.*,/' | wc -l)" = 6 ]
}

# Of nodes that run nothing is started or stopped here.
if [ -n "$running" ] && ! "$leat" --timeout 5s cluster health >"$work/health" 2>&1; then
    echo "the cluster is not well, and the demonstration needs all three nodes (of them run: $running):" >&2
    cat "$work/health" >&2
    for id in 1 2 3; do
        [[ $running == *$id* ]] || echo "deploy/cluster.sh node $id starts node $id" >&2
    done
    exit 1
fi
if [ -z "$running" ]; then
    say "starting three nodes (deploy/cluster.sh)"
    "$here/cluster.sh" start >"$work/cluster" 2>&1 &
    started=yes
    await "three nodes that are well" "$leat" --timeout 2s cluster health
fi
"$leat" topic create "$topic" --partitions 6 --replicas 3 --topic-config min.insync.replicas=2
await "all replicas in sync" in_sync

: >"$work/read"
"$leat" consume "$topic" --from-beginning --unbuffered >"$work/read" 2>"$work/reader" &
reader=$!
mkfifo "$work/feed"
"$leat" produce "$topic" <"$work/feed" 2>"$work/writer" &
writer=$!
exec 3>"$work/feed"

part() {
    local number
    for ((number = $1; number < $2; number++)); do
        echo "event $number" >&3
        [ $((number % 100)) != 0 ] || sleep 0.05
    done
    say "$2 of $events events are given to the producer, $(count) read"
}

part 0 $((events / 3))
victim=$(leader)
pid=$(cat "$data/$victim.pid")
kill -9 "$pid"
say "node $victim, which leads partition 0, is killed (kill -9 $pid)"
part $((events / 3)) $((events * 2 / 3))
say "partition 0 is led by node $(leader) now"
# In a session of its own, for it outlives this script, as the others do.
setsid "$here/cluster.sh" node "$victim" >/dev/null 2>>"$data/$victim.log" 3>&- &
say "node $victim is started again"
part $((events * 2 / 3)) "$events"
exec 3>&-
if ! wait "$writer"; then
    echo "events were refused: $(cat "$work/writer")" >&2
    exit 1
fi
say "all $events events are acknowledged"
await "all of them are read" read_all
await "all replicas in sync" in_sync
kill "$reader"
"$leat" topic describe "$topic" | sed -n '3,9p'

lost=$(comm -23 <(seq -f 'event %.0f' 0 $((events - 1)) | sort) <(sort -u "$work/read") | wc -l)
twice=$(($(count) - $(sort -u "$work/read" | wc -l)))
say "$(count) events read: $lost lost, $twice more than once"
[ "$lost" = 0 ] && [ "$twice" = 0 ]
