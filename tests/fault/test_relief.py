#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""The disk of one of three nodes has no room left. It does not go on leading what it cannot take: others lead that, records are taken again, and
when there is room for a while it leads as before. Nothing that was acknowledged is missing.

    tests/fault/test_relief.py
"""
import signal

from cluster import *

TOPIC, PARTITIONS, NUMBER = "t", 3, 1


def publish(cluster, written, partition, count):
    lines = [f"{partition} {len(written[partition]) + n} " + "x" * 1000 for n in range(count)]
    status, _, _ = cluster.leat("produce", TOPIC, "-p", f"{partition}", "-X", "delivery.timeout.ms=2000", "-X", "retries=3",
                                text="".join(line + "\n" for line in lines))
    if status == 0:
        written[partition].extend(lines)
    return status == 0


def run(mount):
    cluster = Cluster("relief", "replica.lag.time.max.ms=3s", "leader.imbalance.check.interval.seconds=1", "log.segment.bytes=4MiB",
                      "disk.reserve.bytes=16MiB", data={NUMBER: f"{mount.path}/data"})
    written = [[] for _ in range(PARTITIONS)]
    victim = cluster.nodes[NUMBER]

    def leads():
        return NUMBER in [p["leader"] for p in cluster.partitions(TOPIC)]

    cluster.launch()
    cluster.does("topic", "create", TOPIC, "--partitions", f"{PARTITIONS}", "--replicas", "3", "--topic-config", "min.insync.replicas=2")
    cluster.does("topic", "create", "single", "--partitions", f"{PARTITIONS}", "--replicas", "1")
    cluster.does("topic", "create", "filler", "--partitions", "1", "--replicas", "3")
    wait_until("all are in sync", lambda: cluster.in_sync(TOPIC, "filler"), 60)
    check(leads(), f"node {NUMBER} leads none of {PARTITIONS} partitions")
    while mount.free() > 24 << 20:
        cluster.leat("produce", "filler", "-X", "delivery.timeout.ms=4000", text="".join(f"{'y' * 4000}\n" for n in range(2000)))
    cluster.leat("produce", "filler", "-X", "delivery.timeout.ms=4000", text="".join(f"{'y' * 4000}\n" for n in range(6000)))
    wait_until("its disk is full", lambda: "the disk of this broker is full" in victim.said(), 60)
    wait_until("others lead", lambda: not leads(), 60)
    for partition in range(PARTITIONS):
        wait_until(f"{TOPIC}-{partition} takes records", lambda: publish(cluster, written, partition, 10), 60)
    alone = next(p["partition"] for p in cluster.partitions("single") if p["replicas"] == [NUMBER])
    victim.process.send_signal(signal.SIGSTOP)
    wait_until("it is fenced", lambda: cluster.partitions("single")[alone]["leader"] == -1, 60)
    victim.process.send_signal(signal.SIGCONT)
    wait_until("it leads what only it has", lambda: cluster.partitions("single")[alone]["leader"] == NUMBER, 60)
    wait_until("and nothing else", lambda: not leads(), 60)
    print(f"node {NUMBER} has no room, and leads nothing that others can lead", flush=True)
    cluster.does("topic", "delete", "filler")
    wait_until("there is room", lambda: "the disk of this broker has room again" in victim.said(), 90)
    wait_until("it leads again", leads, 60)
    wait_until("all are in sync", lambda: cluster.in_sync(TOPIC), 60)
    for partition in range(PARTITIONS):
        check(publish(cluster, written, partition, 10), f"{TOPIC}-{partition} takes nothing")
        there = cluster.does("consume", TOPIC, "-p", f"{partition}", "-o", "beginning", "-e", "-f", "%v\n").splitlines()
        check(set(written[partition]) <= set(there), f"{TOPIC}-{partition} lacks what was acknowledged")
    print("it has room, and leads as before", flush=True)
    cluster.stop()


with Mount("relief-disk", "ext4", 256 << 20) as disk:
    run(disk)
