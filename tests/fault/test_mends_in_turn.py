#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Three partitions are damaged on the only node that has them, and one that another node has as well. No more than two are mended at once;
what cannot be had must not keep the other one waiting, and all are whole when the node is back that has the rest.

    tests/fault/test_mends_in_turn.py
"""
from cluster import *

cluster = Cluster("mends-in-turn", "log.segment.bytes=1MiB", "message.max.bytes=64KiB", "log.scrub.interval.ms=3s")


def in_sync(topic):
    return all(len(p["in_sync"]) == 2 for p in cluster.partitions(topic))


cluster.launch()
one, other, third = (f"{i}" for i in NODES)
for topic, count, on in (("alone", 3, f"{one},{other}"), ("had", 1, f"{third},{one}")):
    cluster.does("topic", "create", topic, "--partitions", f"{count}", "--replicas", "2", "--topic-config", "min.insync.replicas=1")
    cluster.does("topic", "reassign", topic, "--replicas", on)
    wait_until(f"{topic} is on {on}", lambda: all(sorted(p["replicas"]) == sorted(map(int, on.split(","))) for p in cluster.partitions(topic)), 60)
    wait_until("all are in sync", lambda: in_sync(topic), 60)
    for partition in range(count):
        cluster.does("produce", topic, "-p", f"{partition}", "-X", "batch.size=32768", text=f"{'x' * 1000}\n" * 3000)
    wait_until("all are in sync", lambda: in_sync(topic), 60)
cluster.nodes[int(other)].stop()
wait_until("node 1 has what node 2 had", lambda: all(p["in_sync"] == [int(one)] for p in cluster.partitions("alone")), 60)
node = cluster.nodes[int(one)]
node.stop()
for partition in range(3):
    flip(segments(node, "alone", partition)[0])
node.launch()
wait_until("they are asked for", lambda: node.said().count("cannot be had") > 2, 60)
flip(segments(node, "had", 0)[0])
wait_until("what another has is mended", lambda: "had-0: offsets" in node.said(), 60)
cluster.nodes[int(other)].launch()
for topic in ("alone", "had"):
    wait_until("all are in sync again", lambda: in_sync(topic), 90)
print("what nobody has whole does not keep others waiting", flush=True)
cluster.stop()
