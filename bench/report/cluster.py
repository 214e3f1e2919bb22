#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Three nodes on one machine (cluster.sh): throughput, latency and CPU against one node; how long a partition has no leader after
kill -9 and after SIGTERM; what a node that comes back costs a producer. Every topic is durability=fsync, every producer acks=all.

Prints a table, and writes cluster.json into the build folder."""
import argparse
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--build", default="build")
parser.add_argument("--dir", default="/tmp/leat-bench-cluster")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--kills", type=int, default=20)
parser.add_argument("--partitions", type=int, default=1000)
parser.add_argument("--only", default=".")
arguments = parser.parse_args()
shutil.rmtree(arguments.dir, ignore_errors=True)
os.makedirs(arguments.dir)
os.environ["BUILD"], os.environ["SCRATCH"] = os.path.abspath(arguments.build), arguments.dir
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "fault"))
from cluster import *  # noqa: E402

found = {}


def told(name, value, unit):
    found[name] = {"value": value, "unit": unit}
    print(f"{name:58} {value:>12} {unit}", flush=True)


def wanted(name):
    return re.search(arguments.only, name)


def bench(brokers, *words):
    done = subprocess.run([f"{BUILD}/bin/leat-bench", "--brokers", brokers, "--json", *words], capture_output=True, text=True)
    check(done.returncode == 0, f"leat-bench {' '.join(words)}: {done.stderr[-400:]}")
    return json.loads(done.stdout)


def cpu(nodes):
    """User and system seconds of the processes."""
    ticks = 0
    for node in nodes:
        with open(f"/proc/{node.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


# --- one node against three -----------------------------------------------------------------------


def against_one():
    (port,) = free_ports(1)
    alone = Leatd(f"{SCRATCH}/alone", port=port).start()
    cluster = Cluster("three")
    cluster.launch()
    sides = {"one node": (f"127.0.0.1:{port}", [alone]), "three nodes, factor 3": (cluster.brokers, list(cluster.nodes.values()))}
    runs = {name: {"MB/s": [], "CPU s per GB": [], "p50 ms": [], "p99 ms": []} for name in sides}
    for number in range(arguments.rounds):
        for name, (brokers, nodes) in sides.items():
            before = cpu(nodes)
            r = bench(brokers, "--topic", f"full-{number}", "--partitions", "6", "--rate", "0", "--duration", "8s", "--warmup", "1s")
            used = cpu(nodes) - before
            rate = r["throughput"][0]["MB/s"]
            runs[name]["MB/s"].append(rate)
            runs[name]["CPU s per GB"].append(used / max(rate * 9 / 1000, 0.001))  # with the second of the warm-up
            r = bench(brokers, "--topic", f"calm-{number}", "--rate", "2000", "--linger", "0", "--duration", "6s", "--warmup", "1s")
            runs[name]["p50 ms"].append(r["latency"][0]["p50"])
            runs[name]["p99 ms"].append(r["latency"][0]["p99"])
    for name, figures in runs.items():
        for what, values in figures.items():
            told(f"{name}: {what} (median, {min(values):.2f} to {max(values):.2f})", round(statistics.median(values), 2), "")
    alone.stop()
    cluster.stop()


# --- leadership -----------------------------------------------------------------------------------


class Watcher(threading.Thread):
    """Publishes to some partitions, one batch at a time to each in turn, and notes how long each was not to be had."""

    def __init__(self, cluster, topic, partitions):
        super().__init__(daemon=True)
        self.cluster, self.topic, self.partitions = cluster, topic, partitions
        self.leaders, self.connections, self.ending = {}, {}, False
        self.since = {p: None for p in partitions}
        self.gaps = []

    def learn(self):
        for i, node in self.cluster.nodes.items():
            try:
                client = Client(node.wanted)
                self.leaders = client.leaders(self.topic)
                client.close()
                return
            except (OSError, Gone):
                continue

    def publish(self, partition):
        leader = self.leaders.get(partition, -1)
        if leader < 0:
            return False
        try:
            if leader not in self.connections:
                self.connections[leader] = Client(self.cluster.nodes[leader].wanted)
            return self.connections[leader].produce(self.topic, partition, batch([b"x"]))[0] == NO_ERROR
        except (OSError, Gone):
            self.connections.pop(leader, None)
            return False

    def run(self):
        while not self.ending:
            for p in self.partitions:
                begun = time.monotonic()
                good = self.publish(p)
                if good and self.since[p]:
                    self.gaps.append(time.monotonic() - self.since[p])
                    self.since[p] = None
                elif not good:
                    self.since[p] = self.since[p] or begun
                    self.learn()
            select.select([], [], [], 0.001)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def leadership():
    cluster = Cluster("moving")
    cluster.launch()
    count = arguments.partitions
    cluster.does("topic", "create", "many", "--partitions", str(count), "--replicas", "3", "--timeout", "60s")
    wait_until("all are in sync", lambda: all(len(p["in_sync"]) == 3 for p in cluster.partitions("many")), 60)
    for how, name in ((signal.SIGKILL, "kill -9"), (signal.SIGTERM, "SIGTERM")):
        gaps, back = [], []
        for number in range(arguments.kills):
            victim = NODES[number % 3]
            led = [p["partition"] for p in cluster.partitions("many") if p["leader"] == victim]
            watcher = Watcher(cluster, "many", led[:: max(len(led) // 20, 1)])
            watcher.learn()
            watcher.start()
            select.select([], [], [], 0.3)
            cluster.nodes[victim].process.send_signal(how)
            cluster.nodes[victim].ended()
            wait_until("everything is led", lambda: len(watcher.gaps) >= len(watcher.partitions) or not any(watcher.since.values()), 30)
            select.select([], [], [], 0.2)
            watcher.ending = True
            watcher.join()
            gaps += watcher.gaps or [0]
            begun = time.monotonic()
            cluster.nodes[victim].start()
            wait_until("all are in sync", lambda: all(len(p["in_sync"]) == 3 for p in cluster.partitions("many")), 60)
            back.append(time.monotonic() - begun)
            cluster.leat("topic", "elect", "many", "--timeout", "30s")
        told(f"{name}, {count} partitions, {arguments.kills} times: no leader, median", round(statistics.median(gaps), 3), "s")
        told(f"{name}: no leader, p99 over {len(gaps)} partitions", round(percentile(gaps, 0.99), 3), "s")
        told(f"{name}: no leader, the longest", round(max(gaps), 3), "s")
        told(f"{name}: all in sync after its return, median", round(statistics.median(back), 2), "s")
    cluster.stop()


# --- a node that comes back -----------------------------------------------------------------------


def comes_back():
    """The same rate while all are in sync, and while one copies what it has missed."""
    cluster = Cluster("back")
    cluster.launch()
    words = ("--topic", "busy", "--partitions", "6", "--rate", "20000", "--linger", "0.002", "--warmup", "1s")
    calm, busy, took = [], [], []
    for number in range(arguments.rounds):
        calm.append(bench(cluster.brokers, *words, "--duration", "6s")["latency"][0]["p99"])
        node = cluster.nodes[NODES[number % 3]]
        node.kill()
        bench(cluster.brokers, *words, "--duration", "10s")
        node.launch()
        begun = time.monotonic()
        result = {}
        thread = threading.Thread(target=lambda: result.update(bench(cluster.brokers, *words, "--duration", "6s")))
        thread.start()
        wait_until("all are in sync", lambda: cluster.in_sync("busy"), 60)
        took.append(time.monotonic() - begun)
        thread.join()
        busy.append(result["latency"][0]["p99"])
    told("20,000/s of 1 KiB, all in sync: p99 (median of rounds)", round(statistics.median(calm), 2), "ms")
    told("the same while a node copies 200 MB: p99", round(statistics.median(busy), 2), "ms")
    told("from its start to all in sync", round(statistics.median(took), 2), "s")
    cluster.stop()


for name, part in (("throughput", against_one), ("leadership", leadership), ("return", comes_back)):
    if wanted(name):
        part()
Path(f"{arguments.build}/cluster.json").write_text(json.dumps(found, indent=1) + "\n")
