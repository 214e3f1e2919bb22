#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
"""The clients of test_cluster.py, and three nodes that each have a network of their own: killed, stopped and frozen as there; cut off from
everybody, one from another, in one direction alone; with a full disk, and with segments that rot on one of them. Clients are to get
over all of it; in the end all replicas are in sync and hold the same records, and the history is right. Where namespaces are not allowed
it is skipped.

    tests/history/test_namespaces.py [--faults N] [--seed N] [--keep FOLDER]
"""
import argparse
import random
import signal
import time

from cluster_clients import *

import network

ROTTEN, FULL = 3, 2  # the nodes with bad disks and with small ones


def pause(low, high):
    """For a while in which others may begin to lead, or not."""
    select.select([], [], [], random.uniform(low, high))


def small_disk():
    """A file system of its own for a node; None: there is none here."""
    mount = Mount("chaos-disk", size=400 << 20)
    try:
        mount.__enter__()
    except SystemExit:
        print("no file system of its own can be made here: no disk is filled", flush=True)
        return None
    atexit.register(mount.__exit__)
    return mount


class Chaos:
    def __init__(self, cluster, net, mount):
        self.cluster, self.net, self.mount = cluster, net, mount

    def victim(self):
        return random.choice((self.cluster.leader, self.cluster.controller, lambda: random.choice(NODES)))()

    def kill(self):
        victim = self.victim()
        self.cluster.nodes[victim].kill()
        return victim

    def stop(self):
        victim = self.victim()
        self.cluster.nodes[victim].stop()
        return victim

    def freeze(self):
        victim = self.victim()
        process = self.cluster.nodes[victim].process
        process.send_signal(signal.SIGSTOP)
        pause(0.1, 4)
        process.send_signal(signal.SIGCONT)
        return victim

    def isolate(self):
        victim = self.victim()
        self.net.isolate(victim)
        pause(0.3, 6)
        return victim

    def cut_one_way(self):
        victim = self.victim()
        for other in NODES:
            if other != victim:
                self.net.cut(victim, other)
        pause(0.3, 6)
        return victim

    def cut_between(self):
        """Both still reach the third, and clients reach all."""
        one, other = random.sample(NODES, 2)
        self.net.cut(one, other)
        if random.random() < 0.5:
            self.net.cut(other, one)
        pause(0.3, 6)
        return one, other

    def choreography(self):
        """Pause one, kill another, pause the third, resume the first."""
        one, other, third = (self.cluster.nodes[i].process for i in random.sample(NODES, 3))
        one.send_signal(signal.SIGSTOP)
        pause(0.1, 1)
        other.kill()
        other.wait()
        pause(0.1, 2)
        third.send_signal(signal.SIGSTOP)
        one.send_signal(signal.SIGCONT)
        pause(0.5, 3)
        third.send_signal(signal.SIGCONT)
        return "all"

    def fill(self):
        path = f"{self.mount.path}/ballast"
        with open(path, "wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, max(self.mount.free() - random.randrange(4 << 20), 4096))
        pause(0.5, 5)
        os.unlink(path)
        return FULL

    def rot(self):
        done = []
        for partition in random.sample(range(PARTITIONS), 3):
            found = [p for p in segments(self.cluster.nodes[ROTTEN], TOPIC, partition)[:-1] if written(p) > 16384]
            if found:
                path = random.choice(found)
                random.choice((flip, cut, overwrite))(path)
                done.append(f"{partition}/{path.name}")
        return f"{ROTTEN} {' '.join(done)}"

    def heal(self):
        """What has ended starts again, also what has found no room for its metadata."""
        self.net.heal()
        for node in self.cluster.nodes.values():
            if node.process.poll() is not None:
                node.start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=9)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", default=SCRATCH)
    parser.add_argument("--kill", action="store_true", help="kill -9 alone")
    arguments = parser.parse_args()
    print("seed", arguments.seed, flush=True)
    random.seed(arguments.seed)
    net = network.Network(NODES)
    mount = small_disk()
    cluster = HistoryCluster(name="chaos", network=net, data={FULL: f"{mount.path}/data"} if mount else None,
                             settings=("log.segment.bytes=2MiB", "log.scrub.interval.ms=10s"))
    cluster.start()
    chaos = Chaos(cluster, net, mount)
    clients = Clients(cluster, arguments.seed, arguments.keep)
    clients.more(ANSWERS)
    kinds = [chaos.kill, chaos.stop, chaos.freeze, chaos.isolate, chaos.cut_one_way, chaos.cut_between, chaos.choreography, chaos.rot]
    kinds += [chaos.fill] if mount else []
    kinds = [chaos.kill] if arguments.kill else kinds
    slowest, most = 0, 0
    order = []
    for number in range(arguments.faults):
        order = order or random.sample(kinds, len(kinds))
        kind = order.pop()
        begun = time.monotonic()
        what = kind()
        took = time.monotonic() - begun
        if kind in (chaos.kill, chaos.stop):
            clients.more(ANSWERS)  # before it is back
        chaos.heal()
        healed = time.monotonic()
        clients.more(ANSWERS)
        slowest = max(slowest, time.monotonic() - healed)
        wait_until(f"all in sync after {kind.__name__} of {what}", lambda: cluster.in_sync(TOPIC, TRIMMED), BACK_S)
        most = max(most, time.monotonic() - healed)
        print(f"{number}: {kind.__name__} {what} for {took:.1f} s, in sync {time.monotonic() - healed:.1f} s after it", flush=True)
    clients.end()
    rotten = cluster.nodes[ROTTEN].data
    wait_until("the scrub finds all damage", lambda: cluster.leat("log", "verify", "--force-read", rotten)[0] == 0, BACK_S)
    cluster.stop()
    for node in cluster.nodes.values():
        status, out, said = cluster.leat("log", "verify", node.data)
        print(f"{node.data}: {out.splitlines()[-1] if out else said}", flush=True)
    judge(cluster, f"{arguments.keep}/cluster-{arguments.seed}.jsonl")
    print(f"{arguments.faults} faults: {sum(clients.acknowledged)} acknowledged, clients went on within {slowest:.1f} s, all in sync "
          f"within {most:.1f} s")


network.enter()
main()
