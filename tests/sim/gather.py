#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hours of simulated clusters, gathered over time (nightly.sh --resume): prints what came of all of them on this commit. Exit status 1: a
seed has failed, or a kind of fault has not happened in ten hours.

    tests/sim/gather.py BUILD_FOLDER SECONDS

In the environment: SEEDS of one process, 50 if it is not there; CORES; LEDGER, a file in which the sum of one commit is kept from machine to
machine: what it holds of this commit is where this run begins.
"""
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT, BUILT_OF = Path(__file__).resolve().parents[2], (
    "CMakeLists.txt", "broker", "client/CMakeLists.txt", *(f"client/{room}" for room in ("admin", "consumer", "core", "include", "producer")),
    "common", "tests/sim")
SEEDS, MINUTES, FIRST = int(os.environ.get("SEEDS", 50)), 6, 1_000_000
ENOUGH_HOURS = 10  # from here on each kind of fault must have happened


def commit():
    """The last that has changed what the simulator is built of: hours are not void because a document is another."""
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words, "--", *BUILT_OF], capture_output=True, text=True).stdout.strip()
    return (git("log", "-1", "--format=%h", "--abbrev=12") or "unknown") + ("-dirty" if git("status", "--porcelain") else "")


def explore(build, seed):
    command = [f"{build}/bin/leat-sim", "--json", "--seed", str(seed), "--runs", str(SEEDS), "--nodes", "3",
               "--replication-factor", "3", "--minutes", str(MINUTES)]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):  # what was found wrong is told to people
        found = {}
    return {"seed": seed, "seeds": SEEDS, "status": done.returncode, "seconds": time.monotonic() - begun, "said": (done.stdout + done.stderr)[-600:],
            "summary": found}


def nothing():
    return {"next_seed": FIRST, "runs": 0, "virtual_seconds": 0.0, "core_seconds": 0.0, "faults": {}, "failed": []}


def ledger_of(path):
    """What was gathered elsewhere of this commit."""
    kept = json.loads(path.read_text()) if path and path.exists() else {}
    return kept["sum"] if kept.get("commit") == commit() else nothing()


def add(total, line):
    s = line["summary"]
    for key in ("runs", "virtual_seconds", "core_seconds"):
        total[key] += s.get(key, 0)
    for kind, count in s.get("faults", {}).items():
        total["faults"][kind] = total["faults"].get(kind, 0) + count
    total["next_seed"] = max(total["next_seed"], line["seed"] + line["seeds"])
    if line["status"]:
        total["failed"].append(f"from seed {line['seed']} on: {s.get('why') or line['said']}")


def gather(build, until, out, total, ledger):
    with ThreadPoolExecutor(int(os.environ.get("CORES", os.cpu_count()))) as pool:
        while time.monotonic() < until:
            wave = [total["next_seed"] + SEEDS * i for i in range(pool._max_workers)]
            for line in pool.map(lambda seed: explore(build, seed), wave):
                out.write(json.dumps(line) + "\n")
                out.flush()
                add(total, line)
                print(f"seeds {line['seed']} to {line['seed'] + SEEDS - 1}: status {line['status']}, {line['seconds']:.0f} s", flush=True)
            if ledger:
                ledger.write_text(json.dumps({"commit": commit(), "sum": total}, indent=1) + "\n")


def main():
    build, seconds = sys.argv[1], float(sys.argv[2])
    ledger = Path(os.environ["LEDGER"]) if os.environ.get("LEDGER") else None
    path = Path(build) / "nightly" / f"{commit()}.jsonl"
    path.parent.mkdir(exist_ok=True)
    total = ledger_of(ledger)
    begins = total["next_seed"]
    for line in map(json.loads, path.read_text().splitlines() if path.exists() else []):
        if line["seed"] >= begins:
            add(total, line)
    with open(path, "a") as out:
        gather(build, time.monotonic() + seconds, out, total, ledger)
    hours = total["virtual_seconds"] / 3600
    print(f"commit {path.stem}: {total['runs']} seeds, {hours:.1f} cluster-hours, {total['virtual_seconds'] / max(total['core_seconds'], 1):.0f} times real time on a core")
    print("faults:", ", ".join(f"{kind} {count}" for kind, count in sorted(total["faults"].items())))
    silent = [kind for kind, count in total["faults"].items() if count == 0 and hours >= ENOUGH_HOURS]
    for line in total["failed"]:
        print("FAILED", line)
    if silent:
        print("FAILED: never happened:", ", ".join(silent))
    sys.exit(bool(total["failed"] or silent))


main()
