#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# deploy/cluster.sh [start|node N|status|stop|demo]
#
# Three nodes of one cluster on this machine, from the source tree.
#
#   start    builds what is missing, starts the nodes, says where each is and who leads, stays in the foreground;
#            Ctrl-C stops all of them. What they keep is there at the next start (this is what happens without a word)
#   node N   starts node 1, 2 or 3 again, in the foreground; it writes its log there
#   status   which nodes run, who leads, and what is wrong; exit status 1 if anything is
#   stop     stops all that run, one after the other: each hands over what others can lead and takes leave
#   demo     publishes and follows events while a node that leads is killed and comes back, and counts them
#
# LEAT_CLUSTER_PORT is the port of the first node (9092; the others are 100 and 200 above), LEAT_CLUSTER_DATA where
# everything is kept (build/cluster). LEAT_BUILD names a build that is taken as it is.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=${LEAT_BUILD:-$root/build}
data=${LEAT_CLUSTER_DATA:-$root/build/cluster}
port=${LEAT_CLUSTER_PORT:-9092}
nodes=(1 2 3)
declare -A children # of start: the process of each node
[ ! -d "$data" ] || data=$(cd "$data" && pwd)

usage() {
    sed -n '4,17s/^# \{0,1\}//p' "$0"
    exit "$1"
}

# Who writes more than a command takes may want to know what it does: that is told, and it is not done.
words=1
[ "${1:-}" != node ] || words=2
[ $# -le $words ] || usage 2 >&2

# The last node is 200 above the first.
if [[ ! $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65335 ]; then
    echo "LEAT_CLUSTER_PORT is the port of the first node, a number from 1 to 65335, not '$port'" >&2
    exit 2
fi

address_of() {
    echo "127.0.0.1:$((port + 100 * ($1 - 1)))"
}
peers=$(address_of 1),$(address_of 2),$(address_of 3)
export LEAT_BROKERS=$peers

# The process of a node, or nothing: a number in a file may have become another program's.
pid_of() {
    local pid
    if pid=$(cat "$data/$1.pid" 2>/dev/null) && tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$data/$1"; then
        echo "$pid"
    fi
}

# Becomes the node; its number is written down for the other commands. The rest of the words stand in front of it.
become() {
    local id=$1
    shift
    echo "$BASHPID" >"$data/$id.pid"
    unset LEAT_BUILD LEAT_CLUSTER_PORT LEAT_CLUSTER_DATA # leatd takes LEAT_* for keys of its own
    exec "$@" "$build/bin/leatd" --data "$data/$id" --listen "$(address_of "$id")" \
        --set "node.id=$id" --set "peers=[$peers]"
}

prepare() {
    if [ -z "${LEAT_BUILD:-}" ]; then
        "$root/deploy/dependencies.sh" build
        cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
        ninja -C "$build" bin/leatd bin/leat
    fi
    mkdir -p "$data"
    data=$(cd "$data" && pwd)
}

# Of a node that may be no child of this shell: there is nothing to wait for but its process.
await_end() {
    while [ -n "$(pid_of "$1")" ]; do
        sleep 0.02
    done
}

# One after the other, so that each finds somebody to take leave of.
stop_all() {
    local id pid
    stopped=0
    for id in "${nodes[@]}"; do
        pid=$(pid_of "$id")
        if [ -n "$pid" ]; then
            kill -TERM "$pid" 2>/dev/null || true
            await_end "$id"
            echo "node $id has stopped"
            stopped=$((stopped + 1))
        fi
        rm -f "$data/$id.pid"
    done
}

show() {
    local id pid
    printf '%-6s%-18s%-10s%s\n' NODE ADDRESS PROCESS DATA
    for id in "${nodes[@]}"; do
        pid=$(pid_of "$id")
        printf '%-6s%-18s%-10s%s\n' "$id" "$(address_of "$id")" "${pid:--}" "$data/$id"
    done
    echo
    "$build/bin/leat" --timeout 5s cluster quorum
}

ended_early() {
    echo "node $1 ended before it was ready; $data/$1.log ends with:" >&2
    tail -n 5 "$data/$1.log" >&2
    exit 1
}

# The first line of a node's output that says that it is ready. It waits for the others: whichever of them ends is told.
await_ready() {
    local line id
    while :; do
        if IFS= read -t 0.3 -r line <&"$2"; then
            case $line in leatd*' ready: '*) return ;; esac
        elif [ $? -le 128 ]; then
            ended_early "$1"
        else
            for id in "${nodes[@]}"; do
                kill -0 "${children[$id]}" 2>/dev/null || ended_early "$id"
            done
        fi
    done
}

start() {
    local id pid ended status
    declare -A outputs node_of
    prepare
    for id in "${nodes[@]}"; do
        if [ -n "$(pid_of "$id")" ]; then
            echo "node $id runs already (process $(pid_of "$id")): deploy/cluster.sh status shows it, stop ends it" >&2
            exit 1
        fi
    done
    trap stop_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # Their output comes through pipes, so that the ready lines can be awaited without polling; sessions of their own
    # keep Ctrl-C from reaching them twice.
    for id in "${nodes[@]}"; do
        rm -f "$data/$id.output"
        mkfifo "$data/$id.output"
        (become "$id" setsid) >"$data/$id.output" 2>>"$data/$id.log" &
        node_of[$!]=$id
        children[$id]=$!
        exec {outputs[$id]}<"$data/$id.output"
        rm -f "$data/$id.output"
    done
    for id in "${nodes[@]}"; do
        await_ready "$id" "${outputs[$id]}"
    done
    show
    cat <<EOF

Topics have a replica of each partition on all three, unless they are made otherwise: any node may fail.
Their logs are $data/N.log. Ctrl-C stops all three; in another terminal:
  deploy/cluster.sh status
  LEAT_BROKERS=$peers build/bin/leat cluster health
EOF
    while [ ${#node_of[@]} -gt 0 ]; do
        ended=""
        # What bash itself writes of a process that was killed is said below.
        wait -n -p ended "${!node_of[@]}" 2>/dev/null && status=0 || status=$?
        [ -n "$ended" ] || break
        id=${node_of[$ended]}
        unset "node_of[$ended]"
        echo "node $id ended (exit status $status): deploy/cluster.sh node $id starts it again"
    done
    # Nodes that were started again belong to other terminals: as long as one of them runs, so does the cluster.
    while [ -n "$(pid_of 1)$(pid_of 2)$(pid_of 3)" ]; do
        sleep 0.2
    done
}

status() {
    local id missing=0
    for id in "${nodes[@]}"; do
        [ -n "$(pid_of "$id")" ] || missing=1
    done
    show || missing=1
    echo
    "$build/bin/leat" --timeout 5s cluster health && [ $missing = 0 ]
}

case ${1:-start} in
start) start ;;
node)
    case ${2:-} in 1 | 2 | 3) ;; *) usage 2 >&2 ;; esac
    prepare
    if [ -n "$(pid_of "$2")" ]; then
        echo "node $2 runs already (process $(pid_of "$2"))" >&2
        exit 1
    fi
    become "$2"
    ;;
status) status ;;
stop)
    stop_all
    [ "$stopped" -gt 0 ] || echo "no node runs"
    ;;
demo)
    prepare
    export LEAT_CLUSTER_DATA=$data LEAT_CLUSTER_PORT=$port LEAT_BUILD=$build
    running=()
    for id in "${nodes[@]}"; do
        [ -z "$(pid_of "$id")" ] || running+=("$id")
    done
    "$root/deploy/cluster-demo.sh" "$build" "$data" "${running[@]}"
    ;;
-h | --help) usage 0 ;;
*) usage 2 >&2 ;;
esac
