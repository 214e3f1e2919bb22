#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""A client that keeps every connection taken that a node gives clients does not keep other nodes out: one that starts then joins, and
replicates what a client that is there already publishes. When the connections are gone, everybody is served again.

    tests/fault/test_connections.py
"""
import threading

from cluster import *

CONNECTIONS, AGAIN_S = 100, 0.02


class Idle:
    """Asks for nothing, and connects anew wherever it is sent away."""

    def __init__(self, nodes):
        self.nodes, self.sockets, self.over = nodes, {node: [] for node in nodes}, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for sockets in self.sockets.values():
            for s in sockets:
                s.close()

    def run(self):
        while not self.over.wait(AGAIN_S):
            for node, sockets in self.sockets.items():
                gone = [s for s in sockets if select.select([s], [], [], 0)[0]]
                for s in gone:
                    s.close()
                    sockets.remove(s)
                while len(sockets) < 2 * CONNECTIONS:
                    try:
                        sockets.append(socket.create_connection((node.host, node.wanted), 2))
                    except OSError:
                        break


def run():
    cluster = Cluster("connections", f"limits.connections={CONNECTIONS}")
    cluster.launch()
    cluster.does("topic", "create", "t", "-p", "1", "-r", "3", "--topic-config", "min.insync.replicas=3")
    leader = cluster.nodes[cluster.partitions("t")[0]["leader"]]
    restarted = next(node for node in cluster.nodes.values() if node is not leader)
    client = Client(leader.wanted)
    check(client.produce("t", 0, batch([b"before"]))[0] == NO_ERROR, "a record is refused")
    with Idle([node for node in cluster.nodes.values() if node is not restarted]):
        wait_until("the leader refuses clients", lambda: "connection refused" in leader.said(), BACK_S)
        restarted.kill()
        restarted.launch()
        wait_until("the node is back", lambda: "ready:" in restarted.said(), BACK_S)
        wait_until("all three take a record", lambda: client.produce("t", 0, batch([b"beside"]))[0] == NO_ERROR, BACK_S)
        print("ok: a node that starts finds its cluster beside a client that takes every connection", flush=True)
    wait_until("the cluster is healthy", cluster.healthy, BACK_S)
    client.close()
    cluster.stop()


run()
