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


def port_is_free(port):
    """A killed process has it until the kernel has ended its ring: one with another directory does not wait for that, as the next life does
    for the lock."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def batches_of(data):
    """The whole batches that a segment begins with."""
    at = 0
    while at + BATCH_HEADER <= len(data):
        size = struct.unpack_from(">i", data, at + 8)[0]
        if size <= 0:
            break
        at += 12 + size
    return data[:at]


def newest(folder):
    """The files of a log's segments; of those that begin with the same offset the newest stands for the others."""
    found = {}
    for path in Path(folder).glob("*.log"):
        base, _, generation = path.stem.partition("-")
        found[base] = max(found.get(base, (-1, None)), (int(generation or 0), path))
    return [found[base][1] for base in sorted(found)]


def stored(folder):
    """The bytes of all batches in a log's segments; what was allocated ahead is zero."""
    return b"".join(batches_of(path.read_bytes()) for path in newest(folder))


def in_files(folder):
    """Of the bytes of stored() those that the files hold: the last block of the newest segment, unless it is full, is a checkpoint's."""
    *older, last = [len(batches_of(path.read_bytes())) for path in newest(folder)]
    return sum(older) + last // 4096 * 4096


def last_batch(folder):
    """As `leat log dump` shows it, wherever it lies: in a file, or, the last block, in a checkpoint."""
    for path in reversed(newest(folder)):  # nothing may have come yet behind a roll
        done = subprocess.run([f"{BUILD}/bin/leat", "log", "dump", path], capture_output=True, text=True)
        check(done.returncode == 0, f"leat log dump: {done.stderr}")
        if found := re.findall(r"^batch .*?( size=\d+ offset=\d+ last_offset=\d+ records=\d+ leader_epoch=\d+)", done.stdout, re.M):
            return found[-1]
    return None


# --- damage to a segment, of which the node knows nothing -----------------------------------------


def segments(node, topic, partition):
    return sorted(Path(f"{node.data}/topics/{topic}-{partition}").glob("*.log"))


def written(path):
    """Bytes of whole batches; behind them lies what was allocated ahead."""
    return len(batches_of(path.read_bytes()))


def flip(path):
    with open(path, "r+b") as f:
        at = random.randrange(max(written(path), 1))
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1 << random.randrange(8)]))


def cut(path):
    with open(path, "r+b") as f:
        f.truncate(random.randrange(written(path) // 4096 + 1) * 4096)


def overwrite(path):
    """With a piece of another segment: each batch of it is sound."""
    others = [p for p in path.parent.glob("*.log") if p != path and written(p) > 8192]
    other = random.choice(others or [path])
    with open(other, "rb") as f, open(path, "r+b") as g:
        f.seek(4096 * random.randrange(written(other) // 4096 - 1))
        g.seek(4096 * random.randrange(max(written(path) // 4096 - 1, 1)))
        g.write(f.read(8192))


def forge(path):
    """Another byte in a record, with a checksum that holds, and without the sums that were kept of it. The node is stopped."""
    data = bytearray(path.read_bytes())
    size = 12 + struct.unpack_from(">i", data, 8)[0]
    data[size - 20] ^= 1
    struct.pack_into(">I", data, 17, crc32c(bytes(data[21:size])))
    with open(path, "r+b") as f:
        f.write(data[:size])
    for kept in (".sums", ".index"):
        path.with_suffix(kept).unlink(missing_ok=True)


class Cluster:
    def __init__(self, name, *settings, network=None, data=None):
        """`network`: each node in its namespace; `data`: folders other than the usual ones."""
        ports = dict.fromkeys(NODES, 9092) if network else dict(zip(NODES, free_ports(len(NODES))))
        host = {i: f"10.77.0.{i}" if network else "127.0.0.1" for i in NODES}
        self.address = {i: f"{host[i]}:{ports[i]}" for i in NODES}
        self.brokers = ",".join(self.address.values())
        self.nodes = {}
        for i in NODES:
            folder = (data or {}).get(i) or f"{SCRATCH}/{name}-{i}"
            shutil.rmtree(folder, ignore_errors=True)
            more = ("security.open=true",) if network else ()
            self.nodes[i] = Leatd(folder, *SETTINGS, *settings, *more, f"node.id={i}", f"broker.rack=rack-{i}", f"peers=[{self.brokers}]",
                                  port=ports[i], host=host[i], inside=network.inside(i) if network else ())
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
        return self.partitions_of([topic], node)

    def partitions_of(self, topics, node=None):
        where = ("-b", f"{node.host}:{node.wanted}") if node else ()
        status, out, _ = self.leat(*where, "topic", "describe", *topics, "--output", "json")
        return [p for t in json.loads(out) for p in t["partitions"]] if status == 0 else []

    def in_sync(self, *topics):
        """As each node knows it: one that was frozen may still tell, and serve, what was so before."""
        views = []
        for node in self.nodes.values():
            found = self.partitions_of(topics, node)
            views.append([(p["leader"], p["epoch"], p["in_sync"]) for p in found])
        return len(views[0]) >= len(topics) and all(v == views[0] for v in views) and \
            all(len(isr) == len(NODES) for _, _, isr in views[0])

    def stop(self):
        for node in self.nodes.values():
            node.stop()

    def differ(self, topic, partitions):
        """In what replicas differ, byte by byte, offsets and epochs included; None: in nothing. The cluster is stopped."""
        for partition in range(partitions):
            folders = [f"{node.data}/topics/{topic}-{partition}" for node in self.nodes.values()]
            logs, size, ends = [stored(folder) for folder in folders], min(map(in_files, folders)), list(map(last_batch, folders))
            check(logs[0], f"nothing is in {topic}-{partition}")
            if len({log[:size] for log in logs}) > 1 or len(set(ends)) > 1:
                return f"the replicas of {topic}-{partition} differ: {[len(log) for log in logs]} bytes in their files, the last batches are {ends}"
        return None

    def same(self, topic, partitions):
        check(not (differing := self.differ(topic, partitions)), differing)
