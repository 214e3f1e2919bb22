#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Histories of clients of three nodes, one of which is killed (kill -9), stopped (SIGTERM) or frozen (SIGSTOP) at a time, and in the
end loses its disk, checked by check.py; every partition has three replicas, two of which must be in sync. history_clients is libleat: it is to get over all of it.
In the end all replicas are in sync, and every node's log holds the same records.

    tests/history/test_cluster.py [--faults N] [--seed N] [--keep FOLDER] [--memory]
"""
import argparse
import base64
import json
import random
import shutil
import signal
import time

from cluster_clients import *


def fetched(port, identity, rack):
    """(error, high watermark, preferred replica, size of the answer) of a Fetch 16 of partition 0 from offset 60."""
    part = struct.pack(">iiqiqi", 0, -1, 60, -1, -1, 100000) + b"\0"
    body = struct.pack(">hhihB", 1, 16, 5, -1, 0) + struct.pack(">iiibii", 0, 1, 100000, 0, 0, -1)
    body += b"\2" + identity + b"\2" + part + b"\0" + b"\1" + bytes([len(rack) + 1]) + rack.encode() + b"\0"
    with socket.create_connection(("127.0.0.1", port), 10) as s, s.makefile("rb") as answers:
        s.sendall(struct.pack(">i", len(body)) + body)
        answer = answers.read(struct.unpack(">i", answers.read(4))[0])
    at = answer.index(identity) + 17
    error, high = struct.unpack_from(">hq", answer, at + 4)
    return error, high, struct.unpack_from(">i", answer, at + 31)[0], len(answer)


def nearest(cluster):
    """A leader sends a consumer to the in-sync replica of its rack, and that one serves it (KIP-392)."""
    topic = json.loads(cluster.leat("topic", "describe", TRIMMED, "--output", "json")[1])[0]
    identity, leader = base64.urlsafe_b64decode(topic["id"] + "=="), topic["partitions"][0]["leader"]
    port = {i: cluster.nodes[i].wanted for i in NODES}
    for i in NODES:
        preferred = fetched(port[leader], identity, f"rack-{i}")[2]
        check(preferred == (-1 if i == leader else i), f"{preferred} is preferred in rack-{i}, which {leader} leads")
        wait_until(f"node {i} serves a consumer", lambda: fetched(port[i], identity, f"rack-{i}")[:3] == (0, 100, -1), 10)


def names_the_leader(cluster):
    """A replica that does not lead a partition says who does, and where (KIP-951): Produce 10, whose answer is looked through."""
    found = cluster.partitions(TRIMMED)[0]
    asked = next(i for i in NODES if i != found["leader"])
    records, name = batch([b"x"]), TRIMMED.encode()
    body = struct.pack(">hhihB", 0, 10, 5, -1, 0) + b"\0" + struct.pack(">hi", -1, 1000) + b"\2" + bytes([len(name) + 1]) + name
    body += b"\2" + struct.pack(">i", 0) + bytes([len(records) + 1]) + records + b"\0\0\0"
    with socket.create_connection(("127.0.0.1", cluster.nodes[asked].wanted), 10) as s, s.makefile("rb") as answers:
        s.sendall(struct.pack(">i", len(body)) + body)
        answer = answers.read(struct.unpack(">i", answers.read(4))[0])
    (error,) = struct.unpack_from(">h", answer, answer.index(name) + len(name) + 1 + 4)
    leader = struct.pack(">ii", found["leader"], found["epoch"])
    where = struct.pack(">i", found["leader"]) + b"\x0a127.0.0.1" + struct.pack(">i", cluster.nodes[found["leader"]].wanted)
    check(error == 6 and leader in answer and where in answer, f"error {error}, {found}: {answer}")


def fault(cluster, clients, number, kind):
    victim = random.choice((cluster.leader, cluster.controller, lambda: random.choice(NODES)))()
    node = cluster.nodes[victim]
    if kind in ("kill", "wipe"):
        node.kill()
    elif kind == "term":
        node.stop()
    else:  # for a while in which others may begin to lead, or not
        node.process.send_signal(signal.SIGSTOP)
        select.select([], [], [], random.choice((0.3, 1, 3)))
        node.process.send_signal(signal.SIGCONT)
    took = clients.more(ANSWERS)
    if kind == "wipe":
        shutil.rmtree(node.data)
    if kind != "freeze":
        node.start()
    begun = time.monotonic()
    wait_until(f"all in sync after {kind} of {victim}", lambda: cluster.in_sync(TOPIC, TRIMMED), BACK_S)
    print(f"{number}: {kind} node {victim}: everybody goes on after {took:.1f} s, in sync {time.monotonic() - begun:.1f} s "
          f"after its return", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=6)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", default=SCRATCH)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    print("seed", arguments.seed, flush=True)
    random.seed(arguments.seed)
    cluster = HistoryCluster(arguments.memory)
    cluster.start()
    nearest(cluster)
    names_the_leader(cluster)
    clients = Clients(cluster, arguments.seed, arguments.keep)
    clients.more(ANSWERS)
    for number in range(arguments.faults):
        fault(cluster, clients, number, random.choice(("kill", "kill", "kill", "term", "freeze")))
    fault(cluster, clients, arguments.faults, "wipe")  # the last, for a node without its disk votes no more
    clients.end()
    history = f"{arguments.keep}/cluster-{arguments.seed}.jsonl"
    cluster.stop()
    judge(cluster, history)


main()
