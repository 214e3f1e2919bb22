#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the machine gives without any broker, taken in the same run as what is compared: a figure above it is a mistake of the test.

    bench/report/machine.py [--build build] [--dir /tmp]
"""
import argparse
import json
import mmap
import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def taken(build, program, *words):
    done = subprocess.run([str(build / "bin" / program), "--json", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program}: status {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def limit(what, value, unit, note=""):
    return {"what": what, "value": value, "unit": unit, "note": note}


def loopback(build):
    rows = [r for r in taken(build, "micro_loop", "--seconds", 1)["echo"] if r["server"] == "plain"]
    one = min((r for r in rows if r["depth"] == 1), key=lambda r: abs(r["bytes"] - 1100))
    most = max(rows, key=lambda r: r["bytes"] * r["k msg/s"])
    quick = max(rows, key=lambda r: r["k msg/s"])
    return [
        limit("loopback round trip, p50", one["p50 us"], "us", f"{one['bytes']:.0f} bytes there and back, one connection"),
        limit("loopback, one connection", most["bytes"] * most["k msg/s"] / 1000, "MB/s", f"each way, {most['bytes']:.0f} bytes at a time"),
        limit("echo server, one connection", quick["k msg/s"] * 1000, "messages/s", f"{quick['bytes']:.0f} bytes, {quick['depth']:.0f} in flight"),
    ]


def disk(build, folder):
    durable = taken(build, "micro_journal", "--dir", folder, "--only", "durable", "--seconds", 1)["durable"]
    sequential = taken(build, "micro_journal", "--dir", folder, "--only", "sequential", "--seconds", 1)["sequential"]
    call = next(r for r in durable if r["how"] == "call" and r["KiB"] == 4)
    most = max(durable, key=lambda r: r["writes/s"])
    best = {e: max((r for r in sequential if r["extents"] == e), key=lambda r: r["MB/s"]) for e in {r["extents"] for r in sequential}}
    return [
        limit("durable write of 4 KiB, p50", call["p50 us"], "us", "one at a time, into space that is allocated"),
        limit("durable writes", most["writes/s"], "writes/s", f"{most['KiB']:.0f} KiB, {most['in flight']:.0f} in flight"),
        *(limit(f"sequential write, {extents} extents", row["MB/s"], "MB/s", f"direct, {row['in flight']:.0f} in flight")
          for extents, row in sorted(best.items())),
    ]


READ_BYTES, READ_PIECE, READ_FLIGHTS = 2 << 30, 1 << 20, 4


def sequential_read(folder):
    """Past the page cache, in pieces, of which several are in flight."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        piece = os.urandom(READ_PIECE)
        for _ in range(READ_BYTES // READ_PIECE):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        direct = os.open(file.name, os.O_RDONLY | os.O_DIRECT)
        pieces = iter(range(0, READ_BYTES, READ_PIECE))

        def read_some(_):
            with mmap.mmap(-1, READ_PIECE) as room:
                for at in pieces:
                    os.preadv(direct, [room], at)

        begun = time.monotonic()
        with ThreadPoolExecutor(READ_FLIGHTS) as pool:
            list(pool.map(read_some, range(READ_FLIGHTS)))
        seconds = time.monotonic() - begun
        os.close(direct)
    return limit("sequential read", READ_BYTES / 1e6 / seconds, "MB/s", f"direct, {READ_PIECE >> 10} KiB at a time, {READ_FLIGHTS} in flight")


def memory(build):
    rows = {r["variant"]: r for r in taken(build, "micro_crc")["crc"]}
    return [limit(f"{name}, 64 KiB", rows[name]["64 KiB"], "GB/s", "one core")
            for name in ("memcpy, hot", "crc, best path", "memcpy then crc, ring", "fused copy, ring") if name in rows]


def machine_limits(build, folder):
    """Of this machine and of the file system of `folder`: a list of {what, value, unit, note}."""
    return [*loopback(build), *disk(build, folder), sequential_read(folder), *memory(build)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=lambda p: Path(p).resolve(), default=Path("build").resolve())
    parser.add_argument("--dir", default="/tmp")
    options = parser.parse_args()
    for row in machine_limits(options.build, options.dir):
        print(f"{row['what']:34} {row['value']:12.1f} {row['unit']:10} {row['note']}")


if __name__ == "__main__":
    main()
