#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Histories of simulated runs, checked by check.py: a node whose power goes under its clients (tests/unit/api/simulated_history.c), and
libleat's groups in storms and clean hand-overs before the simulated broker (tests/unit/client/group_world.c).

    tests/history/test_simulated.py [--seeds N]      of the groups; a node has its own number
"""
import argparse
import glob
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = os.environ.get("BUILD", "build")
SCRATCH = os.environ.get("SCRATCH", "/tmp")
READING = {"inconsistent_offset", "lost_write", "poll_skip", "poll_nonmonotonic", "spurious_offset", "corrupt_served",
           "definite_error_lied", "send_nonmonotonic"}
NODE = READING | {"duplicate", "unseen_final", "stuck_client", "group_offset_lost", "dedupe_false_positive", "dedupe_false_negative"}


def simulate(program, cases, seeds, wanted):
    """`wanted`: the properties that each history must give something to check."""
    if not os.path.exists(f"{BUILD}/tests/{program}"):
        print(f"{program} is not built: Criterion is not installed")
        sys.exit(77)
    folder = f"{SCRATCH}/{cases.replace('/', '-').rstrip('-*')}"
    os.makedirs(folder, exist_ok=True)
    environment = dict(os.environ, LEAT_HISTORY=folder, SEEDS=str(seeds))
    ran = subprocess.run([f"{BUILD}/tests/{program}", "--filter", cases], env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    files = sorted(glob.glob(f"{folder}/*.jsonl"))
    assert len(files) >= seeds, f"{cases} wrote {files}"
    done = subprocess.run([sys.executable, f"{HERE}/check.py", *files], capture_output=True, text=True)
    assert done.returncode == 0, f"{cases}: status {done.returncode}\n{done.stdout}{done.stderr}"
    idle = wanted & set(re.findall(r"(\S+) +checked +0,", done.stdout))
    assert not idle, f"{cases}: nothing was there to be checked by {idle}"
    checked = sum(map(int, re.findall(r"checked +(\d+)", done.stdout)))
    print(f"ok: {cases}: {len(files)} histories, {checked} checks")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=6)
    seeds = parser.parse_args().seeds
    simulate("unit_api", "simulated_history/*", 1, NODE)
    simulate("unit_client", "group_members/a_storm*", seeds, READING | {"dual_owner"})
    simulate("unit_client", "group_members/clean_hand*", seeds, READING | {"dual_owner"})


main()
