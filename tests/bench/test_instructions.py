#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Instructions of leatd for one request, counted by valgrind's callgrind: steady where times are not. instructions.json keeps them; this fails
when one has grown by more than 5 %, and that file says otherwise. What a request costs is the difference between two lives that differ in the
number of requests alone, so starts and stops cancel out. They are those of one compiler and one libc, which stand beside them: elsewhere nothing is
compared.

    tests/bench/test_instructions.py            measures, and compares
    tests/bench/test_instructions.py --write    writes instructions.json
"""
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "fault"))
from node import *  # noqa: E402, F403

KEPT, GROWS_MOST, TRIES, FEW, MORE = HERE / "instructions.json", 1.05, 3, 200, 1200
RECORD = b"x" * 1000


def produce(client, count, topic):
    data = batch([RECORD])
    for _ in range(count):
        client.produce(topic, 0, data)


def fetch(client, count, topic):
    for number in range(count):
        error, _, records = client.fetch(topic, 0, number % 100)
        check(error == NO_ERROR and records, f"fetch: error {error}")


def metadata(client, count, topic):
    for _ in range(count):
        client.leaders(topic)


CASES = {"produce 1 KB, fsync": (produce, "durable"), "produce 1 KB, memory": (produce, "memory"),
         "fetch of 1 MB, memory": (fetch, "filled"), "metadata of a topic": (metadata, "filled")}


def life(case, count):
    """Instructions of all threads in a life in which the request is made so often."""
    request, topic = CASES[case]
    out = Path(SCRATCH) / "callgrind.out"
    out.unlink(missing_ok=True)
    leatd = Leatd(f"{SCRATCH}/instructions", backend="epoll",
                  inside=["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}"])
    shutil.rmtree(leatd.data, ignore_errors=True)
    leatd.start()
    client = Client(leatd.port)
    client.create("durable")
    client.create("memory", durability="memory")
    client.create("filled", durability="memory")
    for _ in range(10):
        client.produce("filled", 0, batch([RECORD] * 100))
    request(client, count, topic)
    client.close()
    leatd.stop()
    return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))


def measured(case):
    """Timers only add to a life: the least of a few lives is the one that they disturbed least. The difference of two lives that were disturbed
    differently may be too large or too small, so it is taken of the least ones."""
    return round((min(life(case, MORE) for _ in range(TRIES)) - min(life(case, FEW) for _ in range(TRIES))) / (MORE - FEW))


def made_by():
    """What the counts depend on beside the source."""
    words = "".join(p.read_text() for p in Path(BUILD).glob("CMakeFiles/*/CMakeCCompiler.cmake"))
    compiler = [re.search(rf'CMAKE_C_COMPILER_{key} "([^"]*)"', words)[1] for key in ("ID", "VERSION")]
    return " ".join([platform.machine(), *compiler, *platform.libc_ver()])


def main():
    if not shutil.which("valgrind"):
        skip("valgrind is not installed")
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps({"made by": made_by(), "instructions": {case: measured(case) for case in CASES}}, indent=1) + "\n")
        return
    file = json.loads(KEPT.read_text())
    if file["made by"] != made_by():
        skip(f"the counts are of {file['made by']}, this is {made_by()}")
    kept = file["instructions"]
    check(set(kept) == set(CASES), f"instructions.json has other cases: {sorted(set(kept) ^ set(CASES))}")
    now = {case: measured(case) for case in CASES}
    grown = []
    for case, count in now.items():
        ratio = count / kept[case]
        print(f"{case}: {count} instructions, kept {kept[case]}{': fewer, --write keeps them' if ratio < 0.95 else ''}", flush=True)
        grown += [f"{case}: {count}, {ratio:.2f} times what is kept"] if ratio > GROWS_MOST else []
    check(not grown, "more instructions: " + "; ".join(grown) + " (if that is wanted: tests/bench/test_instructions.py --write)")


main()
