#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# deploy/run.sh [--once] [--data DIR] [--listen HOST:PORT] [EVENTS]
#
# The shortest way to a running broker: installs what is missing (Debian 12), builds a release into build/,
# starts leatd without a configuration file, publishes events with `leat produce`, shows them with
# `leat consume`, says what it did, and stays in the foreground until Ctrl-C.
#
#   --once         ends after the demonstration, with exit status 0 if everything worked
#   --data DIR     where leatd keeps everything (./leat-data; with --once a directory that is removed again)
#   --listen ADDR  where it listens (127.0.0.1:9092; port 0 takes a free one)
#   EVENTS         a file of events, one a line, plain or .zst (deploy/sample/events.jsonl)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
topic=commits
once=no
data=""
listen=127.0.0.1:9092
events=$root/deploy/sample/events.jsonl

usage() {
    sed -n '4,15s/^# \{0,1\}//p' "$0"
    exit "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
    --once) once=yes ;;
    --data | --listen)
        [ $# -gt 1 ] || usage 2 >&2
        if [ "$1" = --data ]; then data=$2; else listen=$2; fi
        shift
        ;;
    -h | --help) usage 0 ;;
    -*) usage 2 >&2 ;;
    *) events=$1 ;;
    esac
    shift
done
if [ ! -r "$events" ]; then
    echo "cannot read the events file: $events" >&2
    exit 2
fi

work=$(mktemp -d)
broker=""
stop() {
    if [ -n "$broker" ] && kill -TERM "$broker" 2>/dev/null; then
        wait "$broker" || true
    fi
    broker=""
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "$data" ]; then
    if [ $once = yes ]; then data=$work/data; else data=./leat-data; fi
fi

step() {
    printf '\n==> %s\n' "$*"
}

step "Installing what is missing"
"$root/deploy/dependencies.sh" build

step "Building a release into build/"
cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >"$work/cmake.log" ||
    { cat "$work/cmake.log" >&2; exit 1; }
ninja -C "$root/build" bin/leatd bin/leat

# The broker's output comes through a pipe, so that its ready line can be awaited without polling.
step "Starting leatd: data in $data, no configuration file"
mkfifo "$work/output"
"$root/build/bin/leatd" --data "$data" --listen "$listen" >"$work/output" 2>&1 &
broker=$!
exec 3<"$work/output"
address=""
while IFS= read -r line <&3; do
    printf '%s\n' "$line"
    case $line in
    leatd*' ready: '*)
        address=$(grep -oE '([0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]+|\[[0-9a-f:]+\]:[0-9]+' <<<"$line" | head -n 1 || true)
        address=${address:-$listen}
        break
        ;;
    esac
done
if [ -z "$address" ]; then
    wait "$broker" && status=0 || status=$?
    broker=""
    echo "leatd ended before it was ready (exit status $status)" >&2
    exit 1
fi
cat <&3 &
export LEAT_BROKERS=$address
leat=$root/build/bin/leat

step "Publishing $(basename "$events") to the topic $topic"
"$leat" topic describe $topic >/dev/null 2>&1 || "$leat" topic create $topic -p 4
case $events in
*.zst)
    zstdcat "$events" >"$work/events"
    events=$work/events
    ;;
esac
published=$(grep -c '' "$events" || true)
started=$(date +%s%N)
"$leat" produce $topic -l "$events"
milliseconds=$((($(date +%s%N) - started) / 1000000))

step "Following the topic with leat consume: the first three of what it holds"
"$leat" consume $topic -o beginning -e -n 3
"$leat" consume $topic -o beginning -e >"$work/consumed"
consumed=$(grep -c '' "$work/consumed" || true)
if [ "$consumed" -lt "$published" ]; then
    echo "published $published events, but only $consumed came back" >&2
    exit 1
fi

until=""
[ "$data" != "$work/data" ] || until=", which goes with it when this ends"
step "Done"
cat <<EOF
leatd runs at $address and keeps everything in $data$until.
$published events were published in $milliseconds ms, each on stable storage before it was acknowledged;
the topic $topic now holds $consumed, and all of them were read back.
EOF
if [ $once = yes ]; then
    exit 0
fi
cat <<EOF

How to go on, in another terminal:
  build/bin/leat consume $topic                 follow the topic
  echo hello | build/bin/leat produce greetings  publish a line; the topic is created
  build/bin/leat topic list                      what there is
  build/bin/leatd --help                         options; docs/reference/configuration.md has all keys
  kcat -b $address -L                     any Kafka client works as well
Ctrl-C stops the broker; acknowledged events stay.
EOF
wait "$broker" && status=0 || status=$?
broker=""
exit "$status"
