#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Groups of libleat: what other clients' groups must do, members of several clients in one group, and a crowd.

The crowd is 50 members over 200 partitions. While its processes are restarted one after the other, and one is killed, what
stays where it is must go on being read: the age of its records when they arrive says so.
"""
import os
import queue
import subprocess
import threading
import time

from broker import BUILD, same
from groups import LIMIT_S, PARTITIONS, Ledger, all_step, check_sharing, group_broker, kcat_publish, make_topic, shared, until

try:
    import confluent_kafka
except ImportError:
    confluent_kafka = None

PROGRAM = os.path.abspath(f"{BUILD}/tests/leat-member")
CROWD, PER_PROCESS, CROWD_PARTITIONS, INTERVAL_MS = 50, 10, 200, 200
# What stays may arrive late by a busy machine, not by a rebalance: those last as long as the slowest member.
AGE_MOST_MS = 2000


class Process:
    """leat-member with `count` members; lines() gives what they said since the last call."""

    def __init__(self, address, group, topic, count, **options):
        self.process = subprocess.Popen([PROGRAM, address, group, topic, str(count),
                                         *(f"{name}={value}" for name, value in options.items())],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = queue.SimpleQueue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.said.put(line.rstrip("\n").split(" ", 2))

    def lines(self):
        while True:
            try:
                yield self.said.get_nowait()
            except queue.Empty:
                return

    def close(self):
        self.process.stdin.close()
        same(self.process.wait(LIMIT_S), 0, "a member's exit status")
        self.reader.join(LIMIT_S)

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT_S)
        self.reader.join(LIMIT_S)


class Member:
    """As groups.check_sharing() wants it."""

    def __init__(self, b, ledger, group, **more):
        self.ledger, self.owned, self.offsets = ledger, set(), {}
        self.process = Process(b.address, group, ledger.topic, 1, **{
            "enable.auto.commit": "false", "max.poll.records": 1, "session.timeout.ms": 10000, "heartbeat.interval.ms": 100,
            "fetch.max.wait.ms": 50, **more})

    def step(self):
        time.sleep(0.005)
        for _, what, rest in self.process.lines():
            first = rest.split(" ")
            if what == "assigned":
                self.owned.add(int(first[0]))
            elif what in ("revoked", "lost"):
                self.owned.discard(int(first[0]))
            elif what == "record":
                self.ledger.take(first[3])
            elif what == "refused":
                print("a commit was refused:", rest)
                self.ledger.in_doubt += 1
            elif what == "committed":
                self.offsets[int(first[0])] = int(first[1])
            elif what == "closed":
                same(rest.strip(), "0", "closing")

    def leave(self):
        self.process.close()
        self.step()

    def committed(self):
        self.leave()
        return self.offsets


class Librdkafka:
    """A member of another library."""

    def __init__(self, b, ledger, group, **more):
        self.ledger, self.owned = ledger, set()
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": b.address, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
            "session.timeout.ms": 10000, "heartbeat.interval.ms": 100, "fetch.wait.max.ms": 50, "log_level": 0, **more})
        self.consumer.subscribe([ledger.topic], on_assign=self.given, on_revoke=self.taken, on_lost=self.taken)

    def given(self, consumer, partitions):
        self.owned |= {p.partition for p in partitions}

    def taken(self, consumer, partitions):
        self.owned -= {p.partition for p in partitions}

    def step(self):
        m = self.consumer.poll(0.02)
        if m is None or m.error():
            return
        self.ledger.take(m.value().decode())
        try:
            self.consumer.commit(message=m, asynchronous=False)
        except confluent_kafka.KafkaException as e:
            print("a commit was refused:", e.args[0].name())
            self.ledger.in_doubt += 1

    def leave(self):
        self.consumer.close()


def check_mixed(b, strategy):
    """libleat and librdkafka in one group."""
    if confluent_kafka is None:
        print("skipped: python3-confluent-kafka is not installed")
        return
    name = f"mixed-{strategy}"
    ledger = Ledger(name, PARTITIONS)
    make_topic(b, ledger)
    kcat_publish(b, ledger, 10)
    more = {"partition.assignment.strategy": strategy}
    members = [Librdkafka(b, ledger, name, **more)]
    until("the first has all", lambda: shared(members), all_step(members))
    for kind in (Member, Librdkafka, Member):
        members.append(kind(b, ledger, name, **more))
        until(f"{len(members)} members share", lambda: shared(members), all_step(members))
        kcat_publish(b, ledger, 5)
    until("everything has come", lambda: not ledger.missing(), all_step(members))
    while len(members) > 1:
        members.pop(0).leave()
        until(f"{len(members)} members share", lambda: shared(members), all_step(members))
    kcat_publish(b, ledger, 5)
    until("everything has come", lambda: not ledger.missing(), all_step(members))
    members.pop().leave()
    ledger.check(f"{strategy}: members of two libraries")


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
    for _ in range(3):
        process = crowd.processes[0]
        process.close()
        crowd.gone(process)
        crowd.start()
        took = crowd.settle("the crowd settles after a restart")
        age, stayed = crowd.oldest()
        print(f"a restart of {PER_PROCESS} members: settled in {took:.1f} s, {stayed} partitions stayed, their records came after "
              f"{age} ms at most")
        assert stayed > CROWD_PARTITIONS // 4, "too much moved"
        assert age < AGE_MOST_MS, "what stays was stopped"
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
        check_sharing(broker, Member, "range", **{"partition.assignment.strategy": "range"})
        check_mixed(broker, "range")
        check_examples(broker)
    with group_broker(3) as broker:
        check_sharing(broker, Member, "cooperative-sticky", **{"partition.assignment.strategy": "cooperative-sticky"})
        check_mixed(broker, "cooperative-sticky")
        check_crowd(broker)
