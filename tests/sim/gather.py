#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hours of simulated clusters, gathered over time (nightly.sh --resume): prints what came of all of them on this commit. Exit status 1: a
seed has failed, or a kind of fault has not happened in ten hours.

    tests/sim/gather.py BUILD_FOLDER SECONDS

SEEDS in the environment: seeds of one process, 50 if it is not there.
"""
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT, BUILT_OF = Path(__file__).resolve().parents[2], ("CMakeLists.txt", "broker", "client", "common", "tests/sim")
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


def add_up(lines):
    faults, runs, hours, core_seconds, failed = {}, 0, 0.0, 0.0, []
    for line in lines:
        s = line["summary"]
        runs += s.get("runs", 0)
        hours += s.get("virtual_seconds", 0) / 3600
        core_seconds += s.get("core_seconds", 0)
        for kind, count in s.get("faults", {}).items():
            faults[kind] = faults.get(kind, 0) + count
        if line["status"]:
            failed.append(f"from seed {line['seed']} on: {s.get('why') or line['said']}")
    return faults, runs, hours, core_seconds, failed


def main():
    build, seconds = sys.argv[1], float(sys.argv[2])
    path = Path(build) / "nightly" / f"{commit()}.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    next_seed = max((line["seed"] + line["seeds"] for line in lines), default=FIRST)
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(int(os.environ.get("CORES", os.cpu_count()))) as pool, open(path, "a") as out:
        while time.monotonic() < until:
            wave = [next_seed + SEEDS * i for i in range(pool._max_workers)]
            next_seed += SEEDS * len(wave)
            for line in pool.map(lambda seed: explore(build, seed), wave):
                lines.append(line)
                out.write(json.dumps(line) + "\n")
                out.flush()
                print(f"seeds {line['seed']} to {line['seed'] + SEEDS - 1}: status {line['status']}, {line['seconds']:.0f} s", flush=True)
    faults, runs, hours, core_seconds, failed = add_up(lines)
    print(f"commit {path.stem}: {runs} seeds, {hours:.1f} cluster-hours, {hours * 3600 / max(core_seconds, 1):.0f} times real time on a core")
    print("faults:", ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items())))
    silent = [kind for kind, count in faults.items() if count == 0 and hours >= ENOUGH_HOURS]
    for line in failed:
        print("FAILED", line)
    if silent:
        print("FAILED: never happened:", ", ".join(silent))
    sys.exit(bool(failed or silent))


main()
