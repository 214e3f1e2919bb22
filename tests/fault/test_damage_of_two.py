#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""A node that finds damage when it starts gives up by itself only what others have. Two of three are damaged at once while the third lacks
what they had acknowledged: both wait, ask, and end with status 74, with nothing changed. When the file of one is restored, the other one mends
itself. What one node alone has, it does not give up either.

    tests/fault/test_damage_of_two.py
"""
from cluster import *

DAMAGE, TOPIC = 74, "t"
cluster = Cluster("damage-of-two")
written = []


def publish(count):
    lines = [f"{len(written) + n} " + "x" * 700 for n in range(count)]
    cluster.does("produce", TOPIC, text="".join(line + "\n" for line in lines))
    written.extend(lines)


def read():
    return cluster.does("consume", TOPIC, "-o", "beginning", "-e", "-f", "%v\n").splitlines()


def rot(node):
    """The first group of the journal, behind which others stand; returns what was there."""
    path = next(Path(node.data).glob("journal-*/durable-0000"))
    data = path.read_bytes()
    path.write_bytes(data[:4096 + 100] + bytes([data[4096 + 100] ^ 0x40]) + data[4096 + 101:])
    return path, data


def holds(node):
    """All that a start may not change before it is allowed to."""
    return {path.relative_to(node.data): path.stat().st_size for path in Path(node.data).glob("topics/*/*")}


def ended_damaged(node, held):
    wait_until("it has given up asking", lambda: node.process.poll() is not None, 60)
    check(node.process.poll() == DAMAGE, f"status {node.process.poll()}: {node.said()[-1500:]}")
    check("--accept-loss" in node.said() and "were asked" in node.said(), f"what is to be done: {node.said()[-1500:]}")
    check(holds(node) == held, "something was changed")


cluster.launch()
cluster.does("topic", "create", TOPIC, "--partitions", "1", "--replicas", "3", "--topic-config", "min.insync.replicas=2")
publish(300)
wait_until("all are in sync", lambda: cluster.in_sync(TOPIC), 60)
one, two, three = (cluster.nodes[i] for i in NODES)
three.stop()
wait_until("the third is out", lambda: 3 not in cluster.partitions(TOPIC, one)[0]["in_sync"], 30)
publish(300)
one.kill()
two.kill()
held = {node: holds(node) for node in (one, two)}
rot(one)
path, sound = rot(two)
for node in (one, two, three):
    node.launch()
for node in (one, two):
    ended_damaged(node, held[node])
print("neither gives up what the third does not have", flush=True)

path.write_bytes(sound)
two.launch()
one.launch()
wait_until("the other one mends itself", lambda: "what is damaged comes back from them" in one.said(), 60)
wait_until("all are in sync again", lambda: cluster.in_sync(TOPIC), 60)
check(read() == written, "a consumer has read something else than was acknowledged")
print("what one of them has again, the other one gets from it", flush=True)

cluster.does("topic", "create", "alone", "--partitions", "3", "--replicas", "1")
led = {p["partition"]: p["leader"] for p in cluster.partitions("alone")}
check(1 in led.values(), f"node 1 leads nothing of it: {led}")
cluster.does("produce", "alone", text="".join(f"{n}\n" for n in range(100)))
one.kill()
held[one] = holds(one)
rot(one)
one.launch()
ended_damaged(one, held[one])
check("alone-" in one.said(), f"which partition it is: {one.said()[-1500:]}")
print("what it alone has stays", flush=True)
cluster.does("topic", "delete", "alone")
one.launch()
wait_until("it mends itself when nobody needs that", lambda: cluster.in_sync(TOPIC), 60)
check(read() == written, "a consumer has read something else than was acknowledged")
cluster.stop()
cluster.same(TOPIC, 1)
