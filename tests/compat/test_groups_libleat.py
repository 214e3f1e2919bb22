#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Groups of libleat: what other clients' groups must do, and a crowd.

The crowd is 50 members over 200 partitions. While its processes are restarted one after the other, and one is killed, what
stays where it is must go on being read: the age of its records when they arrive says so.
"""
import subprocess
import time

from broker import BUILD, same
from groups import LIMIT_S, Ledger, check_sharing, group_broker, make_topic, until
from members import PROGRAM, Libleat, Process

CROWD, PER_PROCESS, CROWD_PARTITIONS, INTERVAL_MS = 50, 10, 200, 200
# What stays may arrive late by a busy machine, not by a rebalance: those last as long as the slowest member.
AGE_MOST_MS = 2000


def check_examples(b):
    """Two services exchange events through groups; each order is shipped once while both shippers live."""
    for example in ("producer", "consumer", "orders", "shipping"):
        alone = subprocess.run([f"{BUILD}/examples/example_{example}", "127.0.0.1:1"], capture_output=True, text=True, timeout=20)
        same((alone.returncode, alone.stdout, alone.stderr), (1, "", "cannot reach 127.0.0.1:1 (refused): is leatd running?\n"),
             f"{example} without a broker")
    for topic in ("example-orders", "example-shipments"):
        make_topic(b, Ledger(topic, 3))
    shippers = [subprocess.Popen([f"{BUILD}/examples/example_shipping", b.address, "3000"]) for _ in range(2)]
    done = subprocess.run([f"{BUILD}/examples/example_orders", b.address], capture_output=True, text=True, timeout=LIMIT_S)
    same((done.returncode, sorted(done.stdout.splitlines()), done.stderr), (0, [f"shipped {o}" for o in "ABCDE"], ""), "orders")
    for shipper in shippers:
        same(shipper.wait(LIMIT_S), 0, "a shipper's exit status")


class Crowd:
    """Processes of members, and who has what."""

    def __init__(self, b, session_ms):
        self.b, self.session_ms = b, session_ms
        self.processes, self.owners, self.changed = [], {}, set()
        self.seen = [set() for _ in range(CROWD_PARTITIONS)]
        self.ages = {}

    def start(self):
        self.processes.append(Process(self.b.address, "crowd", "crowd", PER_PROCESS, **{
            "session.timeout.ms": self.session_ms, "heartbeat.interval.ms": 300, "fetch.max.wait.ms": 100, "auto.commit.interval.ms": 500}))

    def step(self):
        time.sleep(0.01)
        for process in self.processes:
            self.hear(process)

    def hear(self, process):
        for number, what, rest in process.lines():
            words = rest.split(" ")
            if what == "record":
                partition = int(words[0])
                self.seen[partition].add(int(words[1]))
                self.ages[partition] = max(self.ages.get(partition, 0), int(words[2]))
            elif what in ("assigned", "revoked", "lost"):
                partition, owner = int(words[0]), (process, number)
                self.changed.add(partition)
                if what == "assigned":
                    self.owners[partition] = owner
                elif self.owners.get(partition) == owner:
                    del self.owners[partition]
            elif what == "error":
                print("a poll failed:", rest)

    def gone(self, process):
        self.processes.remove(process)
        self.hear(process)
        for partition in [p for p, owner in self.owners.items() if owner[0] is process]:
            del self.owners[partition]
            self.changed.add(partition)

    def settled(self):
        each = {}
        for owner in self.owners.values():
            each[owner] = each.get(owner, 0) + 1
        members = PER_PROCESS * len(self.processes)
        return len(self.owners) == CROWD_PARTITIONS and len(each) == members and max(each.values()) - min(each.values()) <= 1

    def settle(self, what):
        began = time.monotonic()
        until(what, self.settled, self.step)
        return time.monotonic() - began

    def oldest(self):
        """The greatest age of a record of a partition that has not moved since the last call."""
        stayed = [age for p, age in self.ages.items() if p not in self.changed]
        self.ages, self.changed = {}, set()
        return max(stayed, default=0), len(stayed)


def check_crowd(b, session_ms=3000):
    ledger = Ledger("crowd", CROWD_PARTITIONS)
    make_topic(b, ledger)
    crowd = Crowd(b, session_ms)
    for _ in range(CROWD // PER_PROCESS):
        crowd.start()
    print(f"{CROWD} members over {CROWD_PARTITIONS} partitions settle in {crowd.settle('the crowd settles'):.1f} s")
    producer = subprocess.Popen([PROGRAM, b.address, "--produce", "crowd", str(CROWD_PARTITIONS), str(INTERVAL_MS)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until("all partitions are read", lambda: all(crowd.seen), crowd.step)
    crowd.oldest()
    kept = []
    for _ in range(3):
        process = crowd.processes[0]
        process.close()
        crowd.gone(process)
        crowd.start()
        took = crowd.settle("the crowd settles after a restart")
        age, stayed = crowd.oldest()
        print(f"a restart of {PER_PROCESS} members: settled in {took:.1f} s, {stayed} partitions stayed, their records came after "
              f"{age} ms at most")
        kept.append(stayed)
        assert age < AGE_MOST_MS, "what stays was stopped"
    # One of the three may have been looked at before its members had joined.
    assert sorted(kept)[1] > CROWD_PARTITIONS // 4, "too much moved"
    victim = crowd.processes[0]
    victim.kill()
    crowd.gone(victim)
    took = crowd.settle("the crowd settles after a kill")
    age, stayed = crowd.oldest()
    print(f"a kill of {PER_PROCESS} members: settled in {took:.1f} s, {stayed} partitions stayed, their records came after {age} ms "
          "at most")
    assert age < AGE_MOST_MS, "what stays was stopped"
    producer.stdin.close()
    made = int(producer.stdout.read())
    same(producer.wait(LIMIT_S), 0, "the producer's exit status")
    ends = made // CROWD_PARTITIONS
    until("everything has come", lambda: all(len(s) == ends for s in crowd.seen), crowd.step)
    for process in crowd.processes:
        process.process.stdin.close()
    for process in crowd.processes:
        same(process.process.wait(LIMIT_S), 0, "a member's exit status")
    print(f"ok: all of {made} records came")


if __name__ == "__main__":
    with group_broker(1) as broker:
        check_sharing(broker, Libleat, "range", **{"partition.assignment.strategy": "range"})
        check_examples(broker)
    with group_broker(3) as broker:
        check_sharing(broker, Libleat, "cooperative-sticky", **{"partition.assignment.strategy": "cooperative-sticky"})
        check_crowd(broker)
