#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 200
"""What nobody can prove is waited for, of two replicas of a durable topic.

An empty directory in the place of one whose disk is not mounted leads nothing, and neither does the replica that was away when it
acknowledged alone: when the disk is back, the operator elects, and everything is there. A replica that checks, but holds something else than
its leader, and starts while that one is away, does not count before it was compared.

    tests/fault/test_unproved.py
"""
from cluster import *

RECORD, STAYS_S = b"z" * 1000, 4


def placed(cluster, topic):
    """A topic of two replicas: the node that leads it, and the one that follows."""
    cluster.does("topic", "create", topic, "-p", "1", "-r", "2", "-c", "min.insync.replicas=1")
    wait_until("both are in sync", lambda: (p := cluster.partitions(topic)) and len(p[0]["in_sync"]) == 2, BACK_S)
    found = cluster.partitions(topic)[0]
    leader = found["leader"]
    return cluster.nodes[leader], cluster.nodes[next(i for i in found["in_sync"] if i != leader)]


def produce(node, topic, values):
    client = Client(node.wanted)
    answers = [client.produce(topic, 0, batch([value]))[0] for value in values]
    client.close()
    return answers


def values_of(node, topic):
    client = Client(node.wanted)
    found = [value for _, _, data in client.batches(topic, 0, 0) for _, _, value in records_of(data)]
    client.close()
    return found


def leader(cluster, topic):
    return (cluster.partitions(topic) or [{"leader": -1}])[0]["leader"]


def is_alone(cluster, topic, node):
    return (p := cluster.partitions(topic)) and p[0]["in_sync"] == [number(cluster, node)]


def has_let_go(node):
    """The ring of a process that was killed ends behind it, and has its listener that long."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((node.host, node.wanted))
        except OSError:
            return False
    return True


def swap(node, away, back):
    """Its directory goes to `away`, and what is in `back` is there instead, if anything is."""
    node.kill()
    wait_until("its port is free", lambda: has_let_go(node))
    Path(node.data).rename(away)
    if back:
        Path(back).rename(node.data)


def number(cluster, node):
    return next(i for i, n in cluster.nodes.items() if n is node)


def not_mounted(cluster):
    a, b = placed(cluster, "m")
    both, alone = [b"both %d" % n for n in range(3)], [b"alone %d" % n for n in range(5)]
    check(produce(a, "m", both) == [NO_ERROR] * 3, "a record is refused")
    b.kill()
    wait_until("the leader is alone", lambda: is_alone(cluster, "m", a), BACK_S)
    check(produce(a, "m", alone) == [NO_ERROR] * 5, "a record is refused")
    away, empty = f"{a.data}.away", f"{a.data}.empty"
    for folder in (away, empty):
        shutil.rmtree(folder, ignore_errors=True)
    swap(a, away, None)
    b.launch()  # two of three make a quorum
    wait_until("nobody leads", lambda: leader(cluster, "m") < 0, BACK_S)
    told = cluster.partitions("m")[0]
    check((told["eligible"], told["last_known"]) == ([number(cluster, a)], []) and number(cluster, a) in told["offline"], f"{told}")
    a.launch()
    wait_until("all brokers are heard", lambda: json.loads(cluster.leat("cluster", "health", "--output", "json")[1])["fenced_brokers"] == [],
               BACK_S)
    until = time.monotonic() + STAYS_S
    while time.monotonic() < until:
        check(leader(cluster, "m") < 0, "a replica leads that lacks what was acknowledged")
        select.select([], [], [], 0.1)
    told = cluster.partitions("m")[0]
    check((told["eligible"], told["offline"], told["last_known"]) == ([], [], []), f"{told}")
    swap(a, empty, away)
    a.launch()
    wait_until("the node is back", lambda: "ready:" in a.said(), BACK_S)
    wait_until("the operator elects", lambda: cluster.leat("topic", "elect", "m", "--unclean")[0] == 0 and leader(cluster, "m") == number(cluster, a),
               BACK_S)
    check(values_of(a, "m") == both + alone, "records are missing")
    wait_until("both are in sync", lambda: len(cluster.partitions("m")[0]["in_sync"]) == 2, BACK_S)
    print("ok: an empty directory leads nothing, and when the disk is back everything is there", flush=True)


def not_compared(cluster):
    a, b = placed(cluster, "c")
    values = [b"%08d" % n + RECORD for n in range(20000)]
    cluster.does("produce", "c", text="".join(f"{value.decode()}\n" for value in values))
    b.stop()
    forge(newest(f"{b.data}/topics/c-0")[0])
    b.launch("--set", "log.scrub.interval.ms=4s")
    wait_until("it is found to be another", lambda: "are other than what" in b.said(), BACK_S)
    wait_until("it does not count", lambda: is_alone(cluster, "c", a), BACK_S)
    for node in (a, b):
        node.kill()
    if "are whole again" in b.said():
        print("skipped: it was mended before it was killed", flush=True)
    for node in (b, a):
        node.launch("--set", "log.scrub.interval.ms=1h")
        wait_until("the node is back", lambda: "ready:" in node.said(), BACK_S)
    wait_until("both are in sync", lambda: len(cluster.partitions("c")[0]["in_sync"]) == 2, BACK_S)
    a.kill()
    wait_until("the other leads", lambda: leader(cluster, "c") == number(cluster, b), BACK_S)
    check(values_of(b, "c") == values, "another record is served than was acknowledged")
    a.launch()
    wait_until("the node is back", lambda: "ready:" in a.said(), BACK_S)
    print("ok: a replica that checks and is another does not count before it was compared", flush=True)


def run():
    cluster = Cluster("unproved", "log.segment.bytes=64MiB", "default.replication.factor=3")
    cluster.launch()
    not_mounted(cluster)
    not_compared(cluster)
    cluster.stop()


run()
