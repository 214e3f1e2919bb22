#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Every client publishes to and consumes from a cluster of three nodes while each node in turn is stopped by SIGTERM and started
again.

All of them are at work at the same time, each in a topic of three copies and a group of its own name: acks=all, two copies must
be in sync, and the producers are idempotent but for the one that cannot be. While a node is away, and again when it is back,
everybody has to go on in every partition before anything else happens. In the end nothing that was acknowledged is missing or
altered, each partition has the records in the order in which they were sent, once if the producer is idempotent, the group has
read all of them and never fell back behind a commit, and no program was told of an error that its library gets over by itself.

    tests/compat/test_cluster_restart.py [CLIENT...]
"""
import sys
import tempfile
import threading

from groups import HASTE
from load import PARTITIONS, now, loads
from cluster import *  # of tests/fault, whose place load.py has told

PACE_S = 0.02   # a record for each partition of each client
GO_ON = 50      # records of a partition; who has done so many more goes on
GO_ON_S = 90    # only a failed test comes near


class Feeder(threading.Thread):
    def __init__(self, clients):
        super().__init__(daemon=True)
        self.clients, self.ending = clients, threading.Event()

    def run(self):
        while not self.ending.wait(PACE_S):
            for client in self.clients:
                client.feed()

    def end(self):
        self.ending.set()
        self.join()


def everybody(clients, what, condition):
    """Waits until it holds for each client without a problem; who was last, and when."""
    begun, left = time.monotonic(), [c for c in clients if not c.problems]
    last = "nobody"
    while left:
        for client in list(left):
            with client.changed:
                if not client.alive():
                    client.problem(f"a program has ended: {[process.poll() for process in client.processes]} {client.said}")
                done = condition(client)
            if done or client.problems:
                last = client.name
                left.remove(client)
        if time.monotonic() - begun > GO_ON_S:
            for client in left:
                client.problem(f"{what}: not within {GO_ON_S} s; {client.progress()} of {[len(s) for s in client.sent]}")
            break
        select.select([], [], [], 0.01)
    return f"{time.monotonic() - begun:.1f} s ({last})"


def go_on(clients, what):
    marks = {client: client.progress() for client in clients}
    return everybody(clients, what, lambda client: all(n >= mark + GO_ON for n, mark in zip(client.progress(), marks[client])))


def restart(cluster, clients, number):
    node = cluster.nodes[number]
    begun = time.monotonic()
    node.stop()
    stopped = time.monotonic() - begun
    without = go_on(clients, f"going on without node {number}")
    begun = time.monotonic()
    node.start()
    cluster.does("cluster", "health", "--exit-when-healthy", "--timeout", f"{BACK_S}s")
    wait_until("everything is in sync", lambda: cluster.in_sync(*(c.topic for c in clients)), BACK_S)
    synced = time.monotonic() - begun
    back = go_on(clients, f"going on with node {number} back")
    print(f"ok: node {number}: stopped in {stopped:.1f} s, all go on without it after {without}; in sync {synced:.1f} s after its "
          f"start, all go on after {back}", flush=True)


def stored(cluster, client):
    """The values of each partition by their offsets, as its leader has them; written into the client's history."""
    log = []
    for found in cluster.partitions(client.topic):
        p = found["partition"]
        reader = Client(cluster.nodes[found["leader"]].wanted)
        invoke = now()
        records = [(offset, value.decode()) for _, _, data in reader.batches(client.topic, p, 0) for offset, _, value in records_of(data)]
        reader.close()
        client.history.write("scanner", "poll", invoke, topic=client.topic, partition=p, scan="last",
                             records=[[offset, value, None] for offset, value in records])
        check([offset for offset, _ in records] == list(range(len(records))), f"{client.topic}-{p} has gaps")
        log.append([value for _, value in records])
    return log


def committed(cluster, client):
    groups = json.loads(cluster.does("group", "describe", client.group, "--output", "json"))
    return {o["partition"]: o["committed"] for g in groups for o in g["partitions"] if o["topic"] == client.topic}


def finish(clients):
    """All is acknowledged and read, and everybody leaves."""
    threads = [threading.Thread(target=client.publish_end) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everybody(clients, "reading all of it", lambda client: client.caught_up())
    threads = [threading.Thread(target=client.end) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run(folder, wanted):
    cluster = Cluster("compat", *HASTE, "min.insync.replicas=2")
    cluster.launch()
    clients, missing = loads(cluster, folder, wanted)
    for name, why in missing.items():
        print(f"{name} is left out: {why}", flush=True)
    try:
        return judge(cluster, clients)
    finally:
        for client in clients:
            client.kill()


def judge(cluster, clients):
    feeder = Feeder(clients)
    feeder.start()
    print(f"ok: all are at work after {go_on(clients, 'beginning')}", flush=True)
    for number in NODES:
        restart(cluster, clients, number)
    feeder.end()
    finish(clients)
    for client in clients:
        client.judge(stored(cluster, client), committed(cluster, client))
    cluster.stop()
    for client in clients:
        if not client.problems:
            cluster.same(client.topic, PARTITIONS)
        for what in client.problems:
            print(f"FAILED: {client.name} {client.version}: {what}")
        print(f"{'FAILED' if client.problems else 'ok'}: {client.name} {client.version}: {client.told()}", flush=True)
    return any(client.problems for client in clients)


with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
    failed = run(scratch, sys.argv[1:])
sys.exit(1 if failed else 0)
