#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""A reassignment that may copy a KiB a second does not get far, and slows nothing else down; without the throttle it arrives.

    tests/fault/test_throttle.py
"""
import json

from cluster import *

RATE = "follower.replication.throttled.rate"
cluster = Cluster("throttle")


def moving():
    return "big" in cluster.does("topic", "reassign")


def replicas():
    return cluster.partitions("big")[0]["replicas"]


cluster.launch()
cluster.does("topic", "create", "big", "--partitions", "1", "--replicas", "1")
cluster.does("produce", "big", text="".join(f"{n} {'x' * 1000}\n" for n in range(8000)))
(source,) = replicas()
target = next(i for i in NODES if i != source)
for node in NODES:
    cluster.does("cluster", "config", str(node), "--set", f"{RATE}=1KiB")
wait_until("all know the rate", lambda: all("1024" in cluster.does("cluster", "config", str(i), "--output", "json") for i in NODES))
cluster.does("topic", "reassign", "big", "--partition", "0", "--replicas", str(target))
wait_until("it is on its way", moving)
health = json.loads(cluster.does("cluster", "health", "--output", "json"))
check(health["healthy"] and (health["moving"], health["under_replicated"]) == (1, 0), f"what comes is missing: {health}")
check("\n1 partition on its way to other replicas (leat topic reassign)\n" in cluster.does("cluster", "health"), "it is not said what comes")
# What is in sync is copied as ever: much more than the rate would let pass.
cluster.does("topic", "create", "other", "--partitions", "3", "--replicas", "3", "--topic-config", "min.insync.replicas=3")
cluster.does("produce", "other", "-X", "acks=all", text="".join(f"{n} {'y' * 1000}\n" for n in range(8000)))
check(moving() and replicas() != [target], "the throttle was not obeyed")
for node in NODES:
    cluster.does("cluster", "config", str(node), "--unset", RATE)
wait_until("it has arrived", lambda: replicas() == [target] and not moving(), 60)
lines = cluster.does("consume", "big", "-o", "beginning", "-e", "-f", "%v\n").splitlines()
check([line.split()[0] for line in lines] == [str(n) for n in range(8000)], "not all records have come")
cluster.stop()
print("throttled and let go")
