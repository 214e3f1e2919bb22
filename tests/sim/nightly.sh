#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The long run of the simulators: fresh seeds, and every rule left out in turn.
#   tests/sim/nightly.sh [BUILD_FOLDER] [SECONDS]
#   tests/sim/nightly.sh --resume [BUILD_FOLDER] [SECONDS]
#
# With --resume it gathers hours of whole clusters over time: three nodes, three replicas, six minutes of faults for each seed,
# from the seed on with which the last run of the same commit has ended: the last one that has changed what the simulator is
# built of. What was gathered stands in BUILD_FOLDER/nightly/COMMIT.jsonl, a line for each fifty seeds, and is added up at the end;
# LEDGER=docs/simulated-hours.json keeps the sum for the next machine.
set -eu
resume=
if [ "${1:-}" = --resume ]; then
    resume=1
    shift
fi
build=${1:-build}
seconds=${2:-3600}

if [ "$resume" ]; then
    exec python3 "$(dirname "$0")/gather.py" "$build" "$seconds"
fi
seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
echo "first seed $seed"
"$build/bin/leat-sim" storage --seed "$seed" --seconds "$seconds" --crashes 1000000000
"$build/bin/leat-sim" storage --seed "$seed" --seconds "$((seconds / 2))" --crashes 1000000000 --plain
"$build/bin/leat-sim" storage --seed "$seed" --seconds "$((seconds / 4))" --crashes 1000000000 --disk-full
"$build/bin/leat-sim" storage --seed "$seed" --seconds "$((seconds / 2))" --crashes 1000000000 --compact
"$build/bin/leat-sim" storage --seed "$seed" --seconds "$((seconds / 8))" --crashes 1000000000 --compact --disk-full
"$build/bin/leat-sim" storage --seed "$seed" --every --seconds "$((seconds / 10))" --crashes 1000000000
"$build/bin/leat-sim" raft --seed "$seed" --runs "$((seconds * 100))"
"$build/bin/leat-sim" raft --seed "$seed" --wire --runs "$((seconds * 20))"
"$build/bin/leat-sim" raft --seed "$seed" --every --runs 100000
"$build/bin/leat-sim" replica --seed "$seed" --runs "$((seconds * 200))"
"$build/bin/leat-sim" replica --seed "$seed" --every --runs 20000
"$build/bin/leat-sim" controller --seed "$seed" --runs "$((seconds * 1000))"
"$build/bin/leat-sim" controller --seed "$seed" --every --runs 20000
"$build/bin/leat-sim" --seed "$seed" --seconds "$seconds"
"$build/bin/leat-sim" --seed "$seed" --seconds "$((seconds / 2))" --nodes 3 --minutes 6
"$build/bin/leat-sim" --seed "$seed" --seconds "$((seconds / 8))" --clients 64
"$build/bin/leat-sim" --seed "$seed" --seconds "$seconds" --replication-factor 3
"$build/bin/leat-sim" --seed "$seed" --seconds "$((seconds / 2))" --replication-factor 3 --memory
"$build/bin/leat-sim" --seed "$seed" --seconds "$((seconds / 4))" --replication-factor 2 --nodes 5
"$build/bin/leat-sim" --seed 1 --every --runs 2000 --replication-factor 3
