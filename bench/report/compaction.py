#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compaction's speed, and what a producer beside it feels; printed, not asserted.

    bench/report/compaction.py [--build build] [--dir /tmp] [--bytes 1GiB] [--rounds 5] [--seconds 4] [--value 1000]
                               [--codec none] [--live 10] [--rate 10000] [--set key=value]...

Each round fills a topic with keys of which each comes 100/LIVE times, while nothing may be compacted. Then a
producer at a fixed rate is measured twice against another topic, open loop: alone, and while the topic is compacted.
The speed of a pass is what it stood on before, by its own time (the broker's log line). Told is the median of the
rounds, with the least and the most.
"""
import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size(text):
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(float(text[:-3]) * factor)
    return int(text)


class Broker:
    def __init__(self, build, folder, settings):
        self.build, self.folder = build, folder
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % s.getsockname()[1]
        command = [build + "/bin/leatd", "--data", folder + "/data", "--listen", self.address]
        for setting in settings:
            command += ["--set", setting]
        self.log = open(folder + "/log", "ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        if "ready" not in self.process.stdout.readline().decode():
            sys.exit("leatd did not start: see %s/log" % folder)

    def said(self):
        with open(self.folder + "/log") as f:
            return f.read()

    def leat(self, *arguments, lines=None):
        done = subprocess.Popen([self.build + "/bin/leat", "-b", self.address, *arguments], stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL)
        for line in lines or ():
            done.stdin.write(line)
        done.stdin.close()
        if done.wait():
            sys.exit("leat %s failed" % " ".join(arguments))

    def load(self, options, seconds):
        """A producer at a fixed rate; milliseconds of p50, p99 and p99.9."""
        return subprocess.Popen(
            [self.build + "/bin/leat-bench", "--brokers", self.address, "--topic", "beside", "--rate", str(options.rate),
             "--size", "1000", "--linger", "0s", "--duration", "%ds" % seconds, "--warmup", "1s", "--pid",
             str(self.process.pid), "--json"], stdout=subprocess.PIPE)


def records(options):
    """key:value lines in text; each key comes again and again, in no order."""
    source = random.Random(1)
    pattern = source.randbytes(1 << 20).hex().encode()
    count = options.bytes // (options.value + 20)
    keys = max(count * options.live // 100, 1)
    for _ in range(count):
        at = source.randrange(len(pattern) - options.value)
        yield b"key-%09d:%s\n" % (source.randrange(keys), pattern[at:at + options.value])


def figures(load):
    return json.loads(load.communicate()[0])


def passes(broker):
    """(topic, bytes before, bytes after, keys, milliseconds) of each pass so far."""
    return [(t, int(before), int(left), int(keys), int(ms)) for t, before, left, keys, ms in re.findall(
        r"(c\d+)-0: compacted up to offset \d+: (\d+) bytes are (\d+) now, (\d+) keys, (\d+) ms", broker.said())]


def pick(told, name):
    """Of the load's JSON, in microseconds."""
    return told["latency"][0][name] * 1000


def round_of(broker, options, topic):
    """The load alone, then beside a pass over the topic: (alone, beside, the pass)."""
    alone = figures(broker.load(options, options.seconds))
    load = broker.load(options, options.seconds)
    time.sleep(1.2)  # its warm-up, and its start
    broker.leat("topic", "alter", topic, "--set", "min.cleanable.dirty.ratio=0")
    begun = time.monotonic()
    while not (done := [p for p in passes(broker) if p[0] == topic]):
        if time.monotonic() - begun > 600:
            sys.exit("no end of compaction: see %s/log" % broker.folder)
        time.sleep(0.05)
    return alone, figures(load), done[0]


def spread(values, form="%.0f"):
    return f"{form % statistics.median(values)} ({form % min(values)} to {form % max(values)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--dir", default=None)
    parser.add_argument("--bytes", type=size, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--value", type=int, default=1000)
    parser.add_argument("--codec", default="none")
    parser.add_argument("--live", type=int, default=10)
    parser.add_argument("--rate", type=int, default=10000)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="leat-compaction-", dir=options.dir)
    broker = Broker(options.build, folder, ["log.cleaner.backoff.ms=100ms", *options.set])
    try:
        rounds = []
        for n in range(options.rounds):
            broker.leat("topic", "create", f"c{n}", "-c", "cleanup.policy=compact", "-c", "segment.bytes=128MiB",
                        "-c", "min.cleanable.dirty.ratio=1")
            broker.leat("produce", f"c{n}", "-K", ":", "-z", options.codec, lines=records(options))
            rounds.append(round_of(broker, options, f"c{n}"))
        before, left, keys = rounds[0][2][1:4]
        print(f"a pass over {before / 1e6:.0f} MB, of which {left / 1e6:.0f} MB are left, {keys} keys, codec {options.codec}: "
              + spread([p[1] / 1e3 / p[4] for _, _, p in rounds]) + " MB/s (target 200)")
        print(f"beside it {options.rate} records of 1000 B each second, acks=all, of {options.rounds} rounds:")
        for name in ("p50", "p99", "p99.9"):
            print(f"  {name}: alone {spread([pick(a, name) for a, _, _ in rounds])} us, beside a pass "
                  f"{spread([pick(b, name) for _, b, _ in rounds])} us, "
                  + spread([pick(b, name) / pick(a, name) for a, b, _ in rounds], "%.2f") + " times"
                  + (" (target below 2)" if name == "p99" else ""))
    finally:
        broker.process.send_signal(signal.SIGTERM)
        broker.process.wait()
        shutil.rmtree(folder)


main()
