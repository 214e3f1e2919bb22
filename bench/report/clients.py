#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lets libleat and librdkafka do the same work on the same leatd, and prints one beside the other.

Each run is a process of its own (leat-versus) on a topic of its own, which is deleted afterwards; the clients take
turns within a round, and rounds begin with another client each. What is told is the median of the rounds. A case may
have several variants of librdkafka: the fastest of them is what libleat is compared with. Run it by
bench/clients.sh, which builds what it needs.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import time

from promised import Broker, Run, conditions, number, say, stolen_seconds

RATE_LEAST = 1.2  # libleat's records per second, in those of librdkafka
CPU_MOST = 1.0    # and its processor time for a record
SIZES = {"100 B": (100, 3000000), "1 KiB": (1024, 600000)}

# What librdkafka does without idempotence if nothing is said: batches of a partition overtake each other when one is
# sent again. libleat never lets them, and neither does librdkafka with one request in flight.
ANY_ORDER = ("librdkafka, any order", "librdkafka", [])
IN_ORDER = ("librdkafka, in order", "librdkafka", ["max.in.flight=1"])
LEAT = ("libleat", "libleat", [])
RDKAFKA = ("librdkafka", "librdkafka", [])


class Case:
    def __init__(self, name, what, durability, size, arguments, variants):
        self.name, self.what, self.durability, self.variants = name, what, durability, variants
        self.size, self.count = SIZES[size]
        self.arguments = arguments


def cases():
    for size in SIZES:
        for durability in ("memory", "fsync"):
            for codec in ("none", "lz4"):
                for idempotence in ("true", "false"):
                    variants = [LEAT, RDKAFKA] if idempotence == "true" else [LEAT, ANY_ORDER, IN_ORDER]
                    name = "produce %s, %s, codec %s, idempotence %s" % (
                        size, durability, codec, "on" if idempotence == "true" else "off")
                    yield Case(name, "produce", durability, size,
                               ["--codec", codec, "--idempotence", idempotence, "--reports"], variants)
    yield Case("produce 100 B, memory, codec none, idempotence on, no reports", "produce", "memory", "100 B", [], [LEAT, RDKAFKA])
    for size in SIZES:
        for codec in ("none", "lz4"):
            for checked in (True, False):
                name = "consume %s, codec %s, checksums %s" % (size, codec, "verified" if checked else "not verified")
                yield Case(name, "consume", "memory", size, ["--codec", codec] + ["--check-crcs"] * checked, [LEAT, RDKAFKA])


class Measurement:
    """One case on a broker of its own."""

    def __init__(self, run, case):
        self.run, self.case = run, case
        self.topics = 0
        self.count = max(1, int(case.count * run.options.scale))

    def leat(self, *arguments):
        subprocess.run([self.run.binary("leat"), "-q", "-b", self.broker.address, *arguments], check=True, stdout=subprocess.DEVNULL)

    def topic(self):
        self.topics += 1
        name = "t%d" % self.topics
        self.leat("topic", "create", name, "-c", "durability=" + self.case.durability)
        return name

    def versus(self, what, topic, client, arguments, settings):
        out = self.run.json(self.run.binary("leat-versus"), "--brokers", self.broker.address, "--pid", str(self.broker.process.pid),
                            "--client", client, "--topic", topic, "--size", str(self.case.size), "--count", str(self.count),
                            "--json", *arguments, what, *settings)
        return out["run"][0]

    def measure(self, variant):
        name, client, settings = next(v for v in self.case.variants if v[0] == variant)
        topic = self.filled if self.case.what == "consume" else self.topic()
        row = self.versus(self.case.what, topic, client, self.case.arguments, settings)
        if self.case.what == "produce":
            self.leat("topic", "delete", topic)
        for column in ("records/s", "ns/record", "broker ns/record", "cores", "resident MiB"):
            self.run.add("%s: %s: %s" % (self.case.name, name, column), row[column])

    def __enter__(self):
        self.broker = Broker(self.run).__enter__()
        if self.case.what == "consume":
            self.filled = self.topic()
            codec = self.case.arguments[self.case.arguments.index("--codec") + 1]
            self.versus("produce", self.filled, "libleat", ["--codec", codec], [])
            self.measure(self.case.variants[0][0])  # nothing is measured cold
        return self

    def __exit__(self, *what):
        self.broker.__exit__(*what)


def row_of(run, case):
    def median(variant, column):
        return statistics.median(run.samples["%s: %s: %s" % (case.name, variant, column)])

    others = [v[0] for v in case.variants[1:]]
    best = max(others, key=lambda v: median(v, "records/s"))
    rate = median("libleat", "records/s") / median(best, "records/s")
    cpu = median("libleat", "ns/record") / median(best, "ns/record")
    rows = [{"case": case.name, "client": v[0], "records/s": median(v[0], "records/s"),
             "least": min(run.samples["%s: %s: records/s" % (case.name, v[0])]),
             "most": max(run.samples["%s: %s: records/s" % (case.name, v[0])]),
             "MB/s": median(v[0], "records/s") * case.size / 1e6, "ns/record": median(v[0], "ns/record"),
             "broker ns/record": median(v[0], "broker ns/record"), "resident MiB": median(v[0], "resident MiB")} for v in case.variants]
    rows[0].update({"rate of best": rate, "cpu of it": cpu, "met": rate >= RATE_LEAST and cpu <= CPU_MOST})
    return rows


def print_rows(rows):
    columns = ["client", "records/s", "least", "most", "MB/s", "ns/record", "broker ns/record", "resident MiB", "rate of best",
               "cpu of it", "met"]
    cells = [columns]
    for row in rows:
        cells.append([{True: "yes", False: "NO", None: ""}[row.get(c)] if c == "met" else row[c] if c == "client" else
                      "%.2f" % row[c] if c in ("rate of best", "cpu of it") and c in row else number(row[c]) if c in row else ""
                      for c in columns])
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    case = None
    print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(columns, widths))))
    for row, line in zip(rows, cells[1:]):
        if row["case"] != case:
            case = row["case"]
            print(case)
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip())


def version_of(run):
    """As librdkafka itself says it."""
    said = subprocess.run(["ldd", run.binary("leat-versus")], capture_output=True, text=True, check=True).stdout
    package = subprocess.run(["pkg-config", "--modversion", "rdkafka"], capture_output=True, text=True, check=False).stdout.strip()
    return package if "librdkafka" in said and re.match(r"\d", package) else "?"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--dir", default=None, help="where data goes: on the disk that counts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="of the number of records")
    parser.add_argument("--only", default="", type=re.compile, metavar="REGEX", help="cases whose name it matches")
    parser.add_argument("--any-load", action="store_true",
                        help="neither wait for other programs nor repeat what they disturbed")
    parser.add_argument("--json", help="the file for all figures; default clients.json in --build")
    parser.set_defaults(seconds=0, warmup=0)
    run = Run(parser.parse_args())
    output = run.options.json or os.path.join(run.options.build, "clients.json")
    only = run.options.only or re.compile("")
    facts = {k: v for k, v in conditions(run).items() if k not in ("seconds", "warm-up")}
    facts["librdkafka"] = version_of(run)
    rows, begun, stolen = [], time.monotonic(), stolen_seconds()
    try:
        for case in cases():
            if only.search(case.name):
                with Measurement(run, case) as m:
                    run.pending, run.samples = [], {**run.samples}
                    run.rounds([v[0] for v in case.variants], m.measure)
                rows += row_of(run, case)
    finally:
        shutil.rmtree(run.root, ignore_errors=True)
    facts["measurements"], facts["of them disturbed"] = run.measured, run.disturbed
    facts["stolen"] = (stolen_seconds() - stolen) / (time.monotonic() - begun)
    say("")
    print(", ".join("%s %s" % (k, number(v) if isinstance(v, float) else v) for k, v in facts.items()))
    print("acks=all, linger 5 ms, 64 MiB of buffer, one partition, records without key, every delivery reported to the caller unless said\n"
          "otherwise; batch sizes are the libraries' own (libleat 256 KiB, librdkafka 1 MB). met: at least %.1f of the best rate of\n"
          "librdkafka at no more processor time for a record." % RATE_LEAST)
    print_rows(rows)
    with open(output, "w") as f:
        json.dump({"conditions": facts, "rows": rows, "samples": run.samples}, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
