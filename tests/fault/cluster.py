# SPDX-License-Identifier: Apache-2.0
"""Three real processes that are one cluster."""
import json
import random
import shutil
import subprocess
from pathlib import Path

from node import *

NODES, BACK_S = (1, 2, 3), 60  # seconds
SETTINGS = ("journal.file.bytes=2MiB", "journal.bytes.max=48MiB", "disk.reserve.bytes=1MiB")


def free_ports(count):
    ports = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                ports.append(port)
            except OSError:
                pass
    return ports


def stored(folder):
    """The bytes of all batches in a log's segments; what was allocated ahead is zero. Of segments that begin with the same
    offset the newest stands for the others."""
    newest = {}
    for path in Path(folder).glob("*.log"):
        base, _, generation = path.stem.partition("-")
        newest[base] = max(newest.get(base, (-1, None)), (int(generation or 0), path))
    out = bytearray()
    for base in sorted(newest):
        data, at = newest[base][1].read_bytes(), 0
        while at + BATCH_HEADER <= len(data):
            size = struct.unpack_from(">i", data, at + 8)[0]
            if size <= 0:
                break
            at += 12 + size
        out += data[:at]
    return bytes(out)


class Cluster:
    def __init__(self, name, *settings):
        ports = dict(zip(NODES, free_ports(len(NODES))))
        self.brokers = ",".join(f"127.0.0.1:{ports[i]}" for i in NODES)
        self.nodes = {}
        for i in NODES:
            data = f"{SCRATCH}/{name}-{i}"
            shutil.rmtree(data, ignore_errors=True)
            self.nodes[i] = Leatd(data, *SETTINGS, *settings, f"node.id={i}", f"broker.rack=rack-{i}", f"peers=[{self.brokers}]",
                                  port=ports[i])
            open(self.nodes[i].log, "wb").close()

    def leat(self, *words, text="", timeout=60):
        done = subprocess.run([f"{BUILD}/bin/leat", "-b", self.brokers, *words], input=text, capture_output=True, text=True,
                              timeout=timeout)
        return done.returncode, done.stdout, done.stderr

    def does(self, *words, text=""):
        status, out, said = self.leat(*words, text=text)
        check(status == 0, f"leat {' '.join(words)}: {said}")
        return out

    def launch(self):
        for node in self.nodes.values():
            node.launch()
        wait_until("all nodes serve", lambda: all("ready:" in n.said() for n in self.nodes.values()), BACK_S)
        wait_until("three brokers", self.healthy, BACK_S)

    def healthy(self):
        return self.leat("cluster", "health")[0] == 0

    def partitions(self, topic, node=None):
        where = ("-b", f"127.0.0.1:{node.wanted}") if node else ()
        status, out, _ = self.leat(*where, "topic", "describe", topic, "--output", "json")
        return json.loads(out)[0]["partitions"] if status == 0 else []

    def in_sync(self, *topics):
        """As each node knows it: one that was frozen may still tell, and serve, what was so before."""
        views = []
        for node in self.nodes.values():
            found = [p for topic in topics for p in self.partitions(topic, node)]
            views.append([(p["leader"], p["epoch"], p["in_sync"]) for p in found])
        return len(views[0]) >= len(topics) and all(v == views[0] for v in views) and \
            all(len(isr) == len(NODES) for _, _, isr in views[0])

    def stop(self):
        for node in self.nodes.values():
            node.stop()

    def same(self, topic, partitions):
        """Every replica, byte by byte, offsets and epochs included; the cluster is stopped."""
        for partition in range(partitions):
            logs = [stored(f"{node.data}/topics/{topic}-{partition}") for node in self.nodes.values()]
            check(logs[0], f"nothing is in {topic}-{partition}")
            check(logs[0] == logs[1] == logs[2], f"the replicas of {topic}-{partition} differ: {[len(log) for log in logs]} bytes")
