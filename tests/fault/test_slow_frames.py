#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""A dozen connections to each of three nodes announce the largest request that there may be and send it at 100 KB/s, for ever anew.
What holds the cluster together, and small requests of clients, must not stand behind them; a large request of somebody else gets
its turn; the log says who was ended and why. Before and after, one that is as slow is let finish, for nobody waits.

    tests/fault/test_slow_frames.py [--seconds N]
"""
import argparse
import threading

from cluster import *

parser = argparse.ArgumentParser()
parser.add_argument("--seconds", type=int, default=20)
arguments = parser.parse_args()
HOGS, STEP_S, STEP_BYTES = 12, 0.2, 20000
LARGEST = (16 << 20) - 4096  # of a frame, with a pool of 64 MiB
SMALL, LARGE = batch([bytes(1000)]), batch([bytes(900 << 10)])
PATIENCE_S = 10  # an answer takes milliseconds; what stands behind such connections stood there for minutes
ENDED = "a request comes too slowly for the memory that it holds while others wait"


class Hogs(threading.Thread):
    """HOGS connections to one node; whichever is ended comes again."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stop, self.ended, self.beginning = port, threading.Event(), 0, 0
        self.connections = [self.open() for _ in range(HOGS)]

    def open(self):
        c = socket.create_connection(("127.0.0.1", self.port), 30)
        c.setblocking(False)
        c.send(struct.pack(">ihhih", LARGEST, PRODUCE, 9, 1, -1) + b"\0")
        return c

    def run(self):
        while not self.stop.wait(STEP_S):
            for i, c in enumerate(self.connections):
                try:
                    c.send(bytes(STEP_BYTES))
                except BlockingIOError:
                    pass  # it waits for its turn
                except OSError:
                    self.ended += 1
                    c.close()
                    self.connections[i] = self.open()
        for c in self.connections:
            c.close()


def epochs(cluster):
    """Who leads what, in which epoch: of the quorum and of every partition."""
    quorum = cluster.does("cluster", "quorum").splitlines()[0]
    return re.match(r"leader \d+, epoch \d+", quorum)[0], [(p["leader"], p["epoch"]) for p in cluster.partitions("t")]


def timed(client, partition, data):
    begun = time.monotonic()
    error, _ = client.produce("t", partition, data)
    check(error == NO_ERROR, f"{len(data)} bytes: error {error}")
    return time.monotonic() - begun


def alone(port):
    """A produce request of 1 MB in 8 s."""
    frame = struct.pack(">hhih", PRODUCE, 3, 1, -1) + produce_body("t", {0: LARGE})
    with socket.create_connection(("127.0.0.1", port), 30) as c:
        c.sendall(struct.pack(">i", len(frame)))
        for at in range(0, len(frame), 24000):
            c.sendall(frame[at:at + 24000])
            time.sleep(STEP_S)
        check(len(c.recv(4096)) > 4, "a slow request that kept nobody waiting was not answered")


def main():
    cluster = Cluster("slow-frames", "limits.memory=512MiB")
    cluster.launch()
    cluster.does("topic", "create", "t", "--partitions", "3", "--replicas", "3", "--topic-config", "min.insync.replicas=2")
    wait_until("all replicas are in sync", lambda: cluster.in_sync("t"), BACK_S)
    before = epochs(cluster)
    ports = {p["partition"]: cluster.nodes[p["leader"]].wanted for p in cluster.partitions("t")}
    alone(ports[0])
    hogs = [Hogs(node.wanted) for node in cluster.nodes.values()]
    for h in hogs:
        h.start()
    small, large, stop = [], [], time.monotonic() + arguments.seconds

    def produce_large():
        client = Client(ports[0], timeout=120)
        while time.monotonic() < stop:
            large.append(timed(client, 0, LARGE))

    other = threading.Thread(target=produce_large, daemon=True)
    other.start()
    clients = {p: Client(port) for p, port in ports.items()}
    while time.monotonic() < stop:
        small += [timed(client, p, SMALL) for p, client in clients.items()]
        time.sleep(0.05)
    check(max(small) < PATIENCE_S, f"a small request took {max(small):.1f} s")
    after = epochs(cluster)
    check(after == before, f"leaders were elected: {before} became {after}")
    other.join(60)
    check(not other.is_alive() and large, "a large request of somebody else did not get its turn")
    for h in hogs:
        h.stop.set()
        h.join()
        check(h.ended > 0, "nobody was ended who kept others waiting")
    check(all(ENDED in node.said() for node in cluster.nodes.values()), "the log does not say why")
    alone(ports[0])
    cluster.stop()
    print(f"{len(small)} small requests, {max(small) * 1000:.0f} ms at most, {len(large)} large ones, {max(large):.1f} s at most; "
          f"{sum(h.ended for h in hogs)} slow connections ended")


main()
