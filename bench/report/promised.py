#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts brokers, loads them, and prints each promised figure beside its target.

Variants take turns within a round, and rounds begin with another variant each; what is told is the
median of the rounds, with the least and the most. Every measurement has a broker and an empty
directory of its own. Run it by bench/numbers.sh, which builds what it needs.
"""
import argparse
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import crowd

PARTS = ["machine", "start", "idle", "restart", "latency", "throughput", "backends", "groups"]
ATTEMPTS = 2
OTHERS_MAX = 0.35  # of a core; the kernel's own threads are part of it
LOADS = {  # the same bytes in flight for every variant
    "64 KiB": ["--request-bytes", "65536", "--in-flight", "64"],
    "1 MiB": ["--request-bytes", "1000KiB", "--in-flight", "8"],
}


class Broker:
    """A leatd on a free port with a directory of its own, removed at the end."""

    def __init__(self, run, *arguments, data=None):
        self.run = run
        self.data = data or tempfile.mkdtemp(prefix="leat-", dir=run.root)
        self.keep = data is not None
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % s.getsockname()[1]
        self.command = [run.binary("leatd"), "--data", self.data + "/data", "--listen",
                        self.address, *arguments]

    def __enter__(self):
        self.log = open(self.data + "/log", "ab")
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        if "ready" not in line:
            sys.exit("leatd did not start: see %s/log" % self.data)
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGTERM)
        if not self.keep:
            shutil.rmtree(self.data)

    def stop(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def cpu_seconds(self):
        """Of all threads, also of those that have ended; in steps of 10 ms."""
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        with open("/proc/%d/statm" % self.process.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Run:
    def __init__(self, options):
        self.options = options
        self.root = tempfile.mkdtemp(prefix="leat-numbers-", dir=options.dir)
        self.figures = []
        self.samples = {}
        self.pending = []  # of the measurement that runs
        self.measured = self.disturbed = 0

    def binary(self, name):
        return os.path.join(self.options.build, "bin", name)

    def json(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.exit("failed: " + " ".join(command))
        return json.loads(done.stdout)

    def raw(self, broker, *arguments, seconds=None):
        o = self.options
        out = self.json(self.binary("leat-bench"), "raw", "--brokers", broker.address, "--pid",
                        str(broker.process.pid), "--duration", str(seconds or o.seconds),
                        "--warmup", str(o.warmup), "--json", *arguments)
        return out["raw"][0]

    def add(self, name, value):
        self.pending.append((name, value))

    def median(self, name):
        return statistics.median(self.samples[name])

    def figure(self, name, unit, value, target=None, low=None, high=None, at_least=False, note=""):
        met = None
        if target is not None:
            met = value >= target if at_least else value <= target
        self.figures.append({"figure": name, "unit": unit, "value": value, "low": low,
                             "high": high, "target": target, "at_least": at_least, "met": met,
                             "note": note})

    def figure_of(self, name, unit, sample, **more):
        values = self.samples[sample]
        self.figure(name, unit, statistics.median(values), low=min(values), high=max(values),
                    **more)

    def attempt(self, measure, variant):
        """Measures once; the cores' worth of time that others took meanwhile."""
        if not self.options.any_load:
            wait_quiet()
        self.pending = []
        begun, busy, own = time.monotonic(), busy_seconds(), own_seconds()
        measure(variant)
        return (busy_seconds() - busy - own_seconds() + own) / (time.monotonic() - begun)

    def rounds(self, variants, measure):
        """measure(variant) for all, in turn, as often as asked. What other programs disturbed is
        repeated, a few times; whether it was does not depend on the result."""
        for number in range(self.options.rounds):
            at = number % len(variants)
            for variant in variants[at:] + variants[:at]:
                say("%d/%d %s" % (number + 1, self.options.rounds, variant))
                for _ in range(ATTEMPTS):
                    others = self.attempt(measure, variant)
                    if others < OTHERS_MAX or self.options.any_load:
                        break
                self.measured += 1
                self.disturbed += others >= OTHERS_MAX
                for name, value in self.pending:
                    self.samples.setdefault(name, []).append(value)


def busy_seconds():
    """Of all processors since the start of the machine."""
    with open("/proc/stat") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    return (sum(fields[:3]) + fields[5] + fields[6]) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """Of this program and those of its children that have ended."""
    total = 0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def wait_quiet():
    """Until nobody works, but not for long."""
    for _ in range(30):
        before = busy_seconds()
        time.sleep(0.1)
        if busy_seconds() - before < 0.03:
            return


def say(text):
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K%s" % text)
        sys.stderr.flush()


# --- the parts ----------------------------------------------------------------------------------


def part_machine(run):
    """What the machine gives: loopback round trip, durable 4 KiB write, sequential bandwidth."""

    def measure(what):
        if what == "loop":
            out = run.json(run.binary("micro_loop"), "--seconds", "0.2", "--json")
            for row in out["echo"]:
                if row["server"] == "plain" and row["bytes"] == 1100 and row["depth"] == 1:
                    run.add("rtt us", row["p50 us"])
            return
        out = run.json(run.binary("micro_journal"), "--dir", run.root, "--only", what,
                       "--seconds", "0.2", "--json")
        for row in out.get("durable", []):
            if row["how"] == "call" and row["KiB"] == 4:
                run.add("durable 4 KiB us", row["p50 us"])
        best = {}
        for row in out.get("sequential", []):
            best[row["extents"]] = max(best.get(row["extents"], 0), row["MB/s"])
        for extents, rate in best.items():
            run.add("sequential %s MB/s" % extents, rate)

    run.rounds(["loop", "durable", "sequential"], measure)
    run.figure_of("loopback round trip, 1.1 KB, p50", "us", "rtt us")
    run.figure_of("durable 4 KiB write, p50", "us", "durable 4 KiB us")
    run.figure_of("sequential O_DIRECT, written extents", "MB/s", "sequential written MB/s")
    run.figure_of("sequential O_DIRECT, allocated extents", "MB/s", "sequential allocated MB/s")


def part_start(run):
    def measure(_):
        broker = Broker(run)
        out = run.json(run.binary("leat-bench"), "start", "--brokers", broker.address, "--json",
                       "--", *broker.command)
        run.add("first ack ms", out["start"][0]["first ack ms"])
        shutil.rmtree(broker.data)

    run.rounds(["start"], measure)
    run.figure_of("start to first acknowledged record", "ms", "first ack ms", target=100)


def part_idle(run):
    seconds = run.options.idle_seconds
    with Broker(run) as broker:
        run.raw(broker, "--in-flight", "1", "--request-bytes", "1", "--record-bytes", "1024",
                "--total", "1024")
        time.sleep(2)
        before = broker.cpu_seconds()
        time.sleep(seconds)
        spent = broker.cpu_seconds() - before
        rss = broker.rss_bytes()
    run.figure("idle memory", "MiB", rss / 2**20, target=32)
    run.figure("idle processor", "% of a core", 100 * spent / seconds, target=0.5)


def part_restart(run):
    size = run.options.log_bytes
    data = tempfile.mkdtemp(prefix="leat-", dir=run.root)
    with Broker(run, data=data) as broker:
        run.raw(broker, "--topic", "filled", *LOADS["1 MiB"], "--total", str(size), seconds=600)
        # Killed under load, so that the journal is as full as it gets.
        load = subprocess.Popen([run.binary("leat-bench"), "raw", "--brokers", broker.address,
                                 "--topic", "filled", *LOADS["64 KiB"], "--duration", "60"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        broker.stop(signal.SIGKILL)
        load.wait()
    values = []
    for _ in range(run.options.rounds):
        again = Broker(run, data=data)
        out = run.json(run.binary("leat-bench"), "start", "--brokers", again.address, "--topic",
                       "filled", "--stop", "kill", "--json", "--", *again.command)
        values.append(out["start"][0]["first ack ms"])
    run.samples["restart ms"] = values
    shutil.rmtree(data)
    run.figure("restart after kill -9 under load, %.1f GB of log" % (size / 1e9), "ms", values[0],
               target=2000, low=min(values), high=max(values),
               note="first restart; the others follow a kill without load")


def part_latency(run):
    def measure(variant):
        with Broker(run) as broker:
            row = run.raw(broker, "--in-flight", "1", "--request-bytes", "1", "--record-bytes",
                          "1024", "--topic", variant, "--durability", variant)
        run.add("single %s us" % variant, row["p50 us"])

    run.rounds(["fsync", "memory"], measure)
    target = None
    if "rtt us" in run.samples:
        target = run.median("rtt us") + 2 * run.median("durable 4 KiB us")
    run.figure_of("durable single 1 KiB record, p50", "us", "single fsync us", target=target)
    run.figure_of("the same, durability memory", "us", "single memory us")


VARIANTS = {
    "null": (["--set", "null.mode=true"], ["--durability", "memory"]),
    "memory": ([], ["--durability", "memory"]),
    "durable": ([], ["--durability", "fsync"]),
    "durable, 1000 partitions": ([], ["--durability", "fsync", "--partitions", "1000"]),
}


def measure_load(run, variant, load, name, *extra):
    broker_arguments, load_arguments = VARIANTS[variant]
    with Broker(run, *broker_arguments, *extra) as broker:
        row = run.raw(broker, *load_arguments, *LOADS[load])
    if row["errors"]:
        sys.exit("%s: %d requests were refused" % (name, row["errors"]))
    run.add(name + " MB/s", row["MB/s"])
    run.add(name + " s/GB", row["broker s/GB"])


def part_throughput(run):
    cells = ["%s, %s" % (v, l) for v in VARIANTS for l in LOADS]

    def measure(cell):
        variant, load = cell.rsplit(", ", 1)
        measure_load(run, variant, load, cell)

    run.rounds(cells, measure)
    for load in LOADS:
        null = run.median("null, %s MB/s" % load)
        disk = run.samples.get("sequential written MB/s")
        ceiling = min(null, statistics.median(disk)) if disk else null
        one = run.median("durable, %s MB/s" % load)
        run.figure_of("null, %s" % load, "MB/s", "null, %s MB/s" % load)
        run.figure_of("memory, %s" % load, "MB/s", "memory, %s MB/s" % load, target=0.8 * null,
                      at_least=True)
        run.figure_of("memory, %s, broker" % load, "s/GB", "memory, %s s/GB" % load, target=0.5)
        run.figure_of("durable, %s" % load, "MB/s", "durable, %s MB/s" % load,
                      target=0.6 * ceiling, at_least=True)
        run.figure_of("durable, %s, broker" % load, "s/GB", "durable, %s s/GB" % load)
        run.figure_of("durable, 1000 partitions, %s" % load, "MB/s",
                      "durable, 1000 partitions, %s MB/s" % load, target=0.7 * one, at_least=True)


def part_backends(run):
    modes = {"uring": ["--io", "uring"], "epoll": ["--io", "epoll"],
             "uring, 2 shards": ["--io", "uring", "--shards", "2"]}
    cells = ["%s; %s" % (v, m) for v in ("null", "memory", "durable") for m in modes]

    def measure(cell):
        variant, mode = cell.split("; ")
        measure_load(run, variant, "64 KiB", cell, *modes[mode])

    run.rounds(cells, measure)
    for cell in cells:
        run.figure_of("%s, 64 KiB" % cell, "MB/s", cell + " MB/s",
                      note="broker %.3f s/GB" % run.median(cell + " s/GB"))


def groups_settle(run):
    """Members of one group come one after the other; then one more comes."""
    with Broker(run) as broker, crowd.Crowd(broker, 200) as c:
        for _ in range(50):
            c.add("g")
            c.run(0.05)
        run.add("settle s", c.settle())
        c.run(1)
        c.add("g")
        run.add("one more s", c.settle())


def groups_idle(run, groups=1000, members=10, seconds=12):
    with Broker(run, "--set", "limits.connections=12000") as broker, crowd.Crowd(broker, 20) as c:
        for i in range(groups * members):
            c.add("g%d" % (i % groups))
            c.run(0)
        c.settle()
        c.run(2 * c.interval)
        before, beats = broker.cpu_seconds(), c.beats
        c.run(seconds)
        spent = broker.cpu_seconds() - before
        run.add("idle groups %", 100 * spent / seconds)
        run.add("beats a second", (c.beats - beats) / seconds)
        run.add("idle groups MiB", broker.rss_bytes() / 2**20)


def groups_restart(run, groups=1000, partitions=100):
    data = tempfile.mkdtemp(prefix="leat-", dir=run.root)
    with Broker(run, data=data) as broker:
        address = crowd.address_of(broker)
        crowd.create_topic(address, "t", partitions)
        crowd.find_coordinator(address)
        with socket.create_connection(address) as s:
            for i in range(groups):
                crowd.commit(s, "g%d" % i, "t", partitions)
                s.recv(1 << 16)
        broker.stop(signal.SIGKILL)
    begun = time.monotonic()
    with Broker(run, data=data) as broker:
        ready = time.monotonic()
        while crowd.list_error(crowd.address_of(broker)):
            time.sleep(0.001)
        run.add("load offsets ms", 1000 * (time.monotonic() - ready))
        run.add("restart with offsets ms", 1000 * (time.monotonic() - begun))
    shutil.rmtree(data)


def part_groups(run):
    cells = {"settle": groups_settle, "idle": groups_idle, "restart": groups_restart}
    run.rounds(list(cells), lambda cell: cells[cell](run))
    run.figure_of("50 members, 200 partitions: last join to settled", "s", "settle s", target=5)
    run.figure_of("one more member: join to settled", "s", "one more s",
                  note="others hear of it by a heartbeat, every 3 s")
    run.figure_of("1000 groups of 10 members, heartbeats every 3 s", "% of a core", "idle groups %",
                  target=5, note="%.0f heartbeats/s, 10000 connections" % run.median("beats a second"))
    run.figure_of("their memory", "MiB", "idle groups MiB")
    run.figure_of("100,000 committed offsets: ready to loaded", "ms", "load offsets ms")
    run.figure_of("the same: start to loaded", "ms", "restart with offsets ms")


# --- the report ---------------------------------------------------------------------------------


def stolen_seconds():
    with open("/proc/stat") as f:
        return int(f.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def conditions(run):
    o = run.options
    model = "unknown"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"processor": model, "processors": os.cpu_count(), "kernel": platform.release(),
            "rounds": o.rounds, "seconds": o.seconds, "warm-up": o.warmup,
            "load before": os.getloadavg()[0]}


def number(value):
    if value is None:
        return "-"
    return "%.3g" % value if value < 1 else "%.1f" % value if value < 1000 else "%.0f" % value


def print_table(run, facts):
    print(", ".join("%s %s" % (k, number(v) if isinstance(v, float) else v)
                    for k, v in facts.items()))
    rows = [("figure", "median", "least", "most", "unit", "target", "met", "")]
    for f in run.figures:
        sign = ">= " if f["at_least"] else "<= "
        target = "-" if f["target"] is None else sign + number(f["target"])
        met = {None: "", True: "yes", False: "NO"}[f["met"]]
        rows.append((f["figure"], number(f["value"]), number(f["low"]), number(f["high"]),
                     f["unit"], target, met, f["note"]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [row[i].rjust(widths[i]) for i in (1, 2, 3)]
        cells += [row[i].ljust(widths[i]) for i in (4, 5, 6)]
        print("  ".join(cells + [row[7]]).rstrip())


def size_of(text):
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("GB", 10**9),
                         ("MB", 10**6), ("", 1)):
        if text.endswith(unit):
            return int(float(text[: len(text) - len(unit)]) * factor)
    raise ValueError(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--dir", default=None, help="where data goes: on the disk that counts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--idle-seconds", type=float, default=10)
    parser.add_argument("--log-bytes", type=size_of, default=2 * 2**30)
    parser.add_argument("--only", default=",".join(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--any-load", action="store_true",
                        help="neither wait for other programs nor repeat what they disturbed")
    parser.add_argument("--json", help="the file for all figures; default numbers.json in --build")
    run = Run(parser.parse_args())
    output = run.options.json or os.path.join(run.options.build, "numbers.json")
    wanted = run.options.only.split(",")
    if not set(wanted) <= set(PARTS):
        parser.error("--only: of " + ",".join(PARTS))
    facts = conditions(run)
    begun, stolen = time.monotonic(), stolen_seconds()
    try:
        for part in PARTS:
            if part in wanted:
                globals()["part_" + part](run)
    finally:
        shutil.rmtree(run.root, ignore_errors=True)
    facts["load after"] = os.getloadavg()[0]
    facts["measurements"] = run.measured
    facts["of them disturbed"] = run.disturbed
    facts["stolen"] = (stolen_seconds() - stolen) / (time.monotonic() - begun)
    say("")
    print_table(run, facts)
    with open(output, "w") as f:
        json.dump({"conditions": facts, "figures": run.figures, "samples": run.samples}, f,
                  indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
