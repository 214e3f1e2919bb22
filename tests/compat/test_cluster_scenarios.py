#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
"""Every client goes through its scenarios on three nodes: each topic has three replicas, and what is acknowledged is on two.

The programs are those of the tests named scenarios_*, two at a time, each with a cluster of its own. The scenario in which
connections are cut is on one node here too: what a client does when a node goes is test_cluster_restart.py's.

    tests/compat/test_cluster_scenarios.py [CLIENT...]
"""
import concurrent.futures
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT_S = 180


def run(path):
    """(exit status, what it said, seconds)"""
    begun = time.monotonic()
    try:
        done = subprocess.run([sys.executable, path], env={**os.environ, "COMPAT_NODES": "3"}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as e:
        return "no end", (e.stdout or b"").decode(errors="replace"), LIMIT_S
    return done.returncode, done.stdout, time.monotonic() - begun


def main(wanted):
    failed = 0
    paths = {path.stem.removeprefix("test_scenarios_"): path for path in sorted(HERE.glob("test_scenarios_*.py"))}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {name: pool.submit(run, path) for name, path in paths.items() if not wanted or name in wanted}
        for name, done in runs.items():
            status, said, seconds = done.result()
            if status == 77:
                print(f"{name} is left out: {said.strip().splitlines()[-1]}", flush=True)
            elif status == 0:
                print(f"ok: {name} ({seconds:.0f} s)", flush=True)
            else:
                failed += 1
                print(f"FAILED: {name} with {status}:\n{said[-4000:]}", flush=True)
    sys.exit(failed > 0)


main(sys.argv[1:])
