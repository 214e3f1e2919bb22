#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The long run of the explorers: fresh seeds, and every rule left out in turn.
#   tests/sim/nightly.sh [BUILD_FOLDER] [SECONDS]
set -eu
build=${1:-build}
seconds=${2:-3600}
seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
echo "first seed $seed"
"$build/bin/leat-sim" --seed "$seed" --seconds "$seconds" --crashes 1000000000
"$build/bin/leat-sim" --seed "$seed" --seconds "$((seconds / 2))" --crashes 1000000000 --plain
"$build/bin/leat-sim" --seed "$seed" --seconds "$((seconds / 4))" --crashes 1000000000 --disk-full
"$build/bin/leat-sim" --seed "$seed" --seconds "$((seconds / 2))" --crashes 1000000000 --compact
"$build/bin/leat-sim" --seed "$seed" --seconds "$((seconds / 8))" --crashes 1000000000 --compact --disk-full
"$build/bin/leat-sim" --seed "$seed" --every --seconds "$((seconds / 10))" --crashes 1000000000
"$build/bin/leat-sim-raft" --seed "$seed" --runs "$((seconds * 100))"
"$build/bin/leat-sim-raft" --seed "$seed" --wire --runs "$((seconds * 20))"
"$build/bin/leat-sim-raft" --seed "$seed" --every --runs 100000
"$build/bin/leat-sim-replica" --seed "$seed" --runs "$((seconds * 200))"
"$build/bin/leat-sim-replica" --seed "$seed" --every --runs 20000
"$build/bin/leat-sim-cluster" --seed "$seed" --seconds "$seconds"
"$build/bin/leat-sim-cluster" --seed "$seed" --seconds "$((seconds / 2))" --nodes 3 --minutes 6
"$build/bin/leat-sim-cluster" --seed "$seed" --seconds "$((seconds / 8))" --clients 64
"$build/bin/leat-sim-cluster" --seed "$seed" --seconds "$seconds" --replication-factor 3
"$build/bin/leat-sim-cluster" --seed 1 --every --runs 2000
