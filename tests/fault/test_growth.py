#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""One node becomes three. Topics of which nobody has said how many replicas they have, one that the console has made, one
that a producer has, and the broker's own for groups, get replicas on each node that comes, with all that is in them; also
after the first node has been killed and started again. A topic that was created with a number keeps it, and so does one
whose number an operator has changed. Then the first node, which had everything, goes, and what has grown is served.

    tests/fault/test_growth.py
"""
from cluster import *

LINES = "".join(f"line-{i}\n" for i in range(1000))


class Growing(Cluster):
    """The first node is a cluster by itself, and the only one that the others are told of."""

    def __init__(self):
        super().__init__("growth")
        for node in self.nodes.values():
            node.settings[-1] = f"peers=[{self.address[1]}]"
        self.brokers = self.address[1]

    def replicas(self, topic):
        return [len(p["replicas"]) for p in self.partitions(topic)]

    def grown(self, topic, count):
        found = self.partitions(topic)
        return bool(found) and all(len(p["replicas"]) == len(p["in_sync"]) == count for p in found)

    def comes(self, number):
        self.nodes[number].start()
        self.brokers = ",".join(self.address[i] for i in NODES if i <= number)
        for topic in ("made", "sent", "__consumer_offsets"):
            wait_until(f"{topic} has {number} replicas", lambda topic=topic: self.grown(topic, number), BACK_S)


c = Growing()
c.nodes[1].start()
c.does("topic", "create", "made", "-p", "3")
c.does("topic", "create", "asked", "-r", "1")
c.does("topic", "create", "narrow")
for topic in ("made", "sent", "asked", "narrow"):
    c.does("produce", topic, text=LINES)
read = c.does("consume", "sent", "-g", "readers", "-o", "beginning", "-e")
check(sorted(read.split()) == sorted(LINES.split()), f"{len(read.split())} of 1000 lines are read")

c.comes(2)
wait_until("narrow has 2 replicas", lambda: c.grown("narrow", 2), BACK_S)
c.does("topic", "reassign", "narrow", "--replicas", "2", "--shrink")
wait_until("narrow has 1 replica", lambda: c.grown("narrow", 1), BACK_S)
c.nodes[1].end(signal.SIGKILL)
c.nodes[1].start()
c.comes(3)
check(c.replicas("asked") == [1] and c.replicas("narrow") == [1], f"{c.replicas('asked')} {c.replicas('narrow')}: chosen")
wait_until("all is well", c.healthy, BACK_S)

for number in ("2", "3"):
    c.does("cluster", "add", number)
c.nodes[1].end(signal.SIGKILL)
c.brokers = f"{c.address[2]},{c.address[3]}"
for topic in ("made", "sent", "narrow"):
    read = c.does("consume", topic, "-o", "beginning", "-e")
    check(sorted(read.split()) == sorted(LINES.split()), f"{topic}: {len(read.split())} of 1000 lines are left")
read = c.does("consume", "sent", "-g", "readers", "-o", "beginning", "-e")
check(not read, f"the group has forgotten how far it came: {read[:100]}")
for number in (2, 3):
    check(c.nodes[number].end() == 0, f"node {number} ends badly:\n{c.nodes[number].said()[-2000:]}")
print("grown from one node to three, and served without the first")
