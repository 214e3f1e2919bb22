#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Histories of simulated runs, checked by check.py: a node whose power goes under its clients (tests/unit/api/simulated_history.c), and
libleat's groups in storms and clean hand-overs before the simulated broker (tests/unit/client/group_world.c).

The node's histories are then spoilt in one place each, which check.py must find among everything else that happened.

    tests/history/test_simulated.py [--seeds N]      of the groups; a node has its own number
"""
import argparse
import glob
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import check

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
    return files


# --- spoilt histories: each takes the lines of a history and spoils them in place -----------------------------------


def some(source, lines, **wanted):
    return source.choice([o for o in lines if all(o.get(k) == v for k, v in wanted.items())])


def first_sent(source, lines):
    """A produce line that is neither a resend nor sent again later, of a partition that goes on behind it."""
    sent = [json.dumps(o["records"]) for o in lines if o["op"] == "produce"]
    ends = {o["partition"]: o["offset"] for o in lines if o["op"] == "produce" and o["result"] == "ok"}
    return source.choice([o for o in lines if o["op"] == "produce" and o["result"] == "ok" and sent.count(json.dumps(o["records"])) == 1
                          and o["offset"] < ends[o["partition"]]])


def never_read(lines, partition, gone):
    for o in lines:
        if o["op"] == "poll" and o["partition"] == partition:
            o["records"] = [r for r in o["records"] if not gone(r[0])]


def lost_write(source, lines):
    o = first_sent(source, lines)
    never_read(lines, o["partition"], lambda offset: offset == o["offset"])


def unseen_final(source, lines):
    o = first_sent(source, lines)
    never_read(lines, o["partition"], lambda offset: offset >= o["offset"])


def poll_skip(source, lines):
    reads = [o for o in lines if o["op"] == "poll" and o["process"] == "reader"]
    last = {o["partition"]: o for o in reads}
    lines.remove(source.choice([o for o in reads if o is not last[o["partition"]]]))


def poll_nonmonotonic(source, lines):
    o = some(source, lines, op="poll", process="reader")
    lines.insert(lines.index(o), dict(o))


def corrupt_served(source, lines):
    record = some(source, lines, op="poll")["records"][0]
    record[1] = record[1].replace("/sim/", "/sin/")


def inconsistent_offset(source, lines):
    read = {r[0] for o in lines if o["op"] == "poll" and o["partition"] == 0 and o["process"] == "reader" for r in o["records"]}
    records = [r for o in lines if o["op"] == "poll" and o["partition"] == 0 and o["process"] == "scanner" for r in o["records"]]
    a, b = source.sample([r for r in records if r[0] in read], 2)
    a[1], b[1] = b[1], a[1]


def spurious_offset(source, lines):
    first_sent(source, lines)["offset"] += 100000


def send_nonmonotonic(source, lines):
    """Offsets that nobody read, so that the order is all that is wrong."""
    o = first_sent(source, lines)
    never_read(lines, o["partition"], lambda offset: True)
    for other in lines:
        if other["op"] == "offsets" and other["partition"] == o["partition"]:
            other["end"] = 0
    o["offset"] += 100000


def dedupe_false_negative(source, lines):
    first = first_sent(source, lines)
    again = dict(first, offset=first["offset"] + 100000)
    lines.insert(lines.index(first) + 1, again)


def group_offset_lost(source, lines):
    at = min(lines.index(o) for o in lines if o["op"] == "commit" and o["result"] == "ok")
    some(source, lines[at:], op="fetch_offsets", partition=lines[at]["partition"])["offset"] = -1


def definite_error_lied(source, lines):
    first_sent(source, lines)["result"] = "fail"


def stuck_client(source, lines):
    alive = max(i for i, o in enumerate(lines) if o["op"] == "node")
    some(source, lines[alive:], process="scanner")["complete"] += 100 * 10**9


SPOILERS = (lost_write, unseen_final, poll_skip, poll_nonmonotonic, corrupt_served, inconsistent_offset, spurious_offset,
            send_nonmonotonic, dedupe_false_negative, group_offset_lost, definite_error_lied, stuck_client)


def spoil(path, seed):
    with open(path) as file:
        text = file.read().splitlines()
    spoilt = f"{path}.spoilt"
    for spoiler in SPOILERS:
        lines = [json.loads(line) for line in text]
        spoiler(random.Random(f"{seed} {path} {spoiler.__name__}"), lines)
        with open(spoilt, "w") as file:
            file.writelines(json.dumps(o) + "\n" for o in lines)
        found = [name for name, list_ in check.check(spoilt, 30).violations.items() if list_]
        assert spoiler.__name__ in found, f"{path}: {spoiler.__name__} was not found, but {found}; --seed {seed}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30), help="of what is spoilt")
    arguments = parser.parse_args()
    seeds = arguments.seeds
    files = simulate("unit_api", "simulated_history/*", 1, NODE)
    for path in files:
        spoil(path, arguments.seed)
    print(f"ok: {len(files)} histories, spoilt in {len(SPOILERS)} ways")
    simulate("unit_client", "group_members/a_storm*", seeds, READING | {"dual_owner"})
    simulate("unit_client", "group_members/clean_hand*", seeds, READING | {"dual_owner"})


main()
