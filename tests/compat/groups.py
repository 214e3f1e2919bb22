# SPDX-License-Identifier: Apache-2.0
"""What the tests of groups share: a broker that hurries, records to consume, and what was consumed.

Every member commits each record before it takes the next one. So a record is consumed once while
members join and leave in good order, and at most once more for each member that was killed or lost its
broker: that is what "at least once" allows.
"""
import subprocess
import time

from broker import BUILD, Broker, same

HASTE = ["group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=100"]
LIMIT_S = 30
PARTITIONS = 6


def group_broker(shards, *settings):
    return Broker(*HASTE, *settings, shards=shards)


class Ledger:
    """Values that were published against values that were consumed."""

    def __init__(self, topic, partitions):
        self.topic, self.partitions = topic, partitions
        self.published, self.consumed = [], {}
        self.in_doubt = 0  # commits that were refused: their records may come again

    def take(self, value):
        self.consumed[value] = self.consumed.get(value, 0) + 1

    def missing(self):
        return [v for v in self.published if v not in self.consumed]

    def doubled(self):
        return sum(n - 1 for n in self.consumed.values())

    def check(self, what, doubled_most=0):
        assert not self.missing(), f"{what}: lost {self.missing()[:5]}"
        assert set(self.consumed) <= set(self.published), f"{what}: something that nobody published"
        doubled_most += self.in_doubt
        assert self.doubled() <= doubled_most, f"{what}: {self.doubled()} records came again, {doubled_most} may"
        print(f"ok: {what}: nothing lost, {self.doubled()} again")


def kcat_publish(b, ledger, count):
    """`count` more records for each partition."""
    for partition in range(ledger.partitions):
        values = [f"{partition}:{len(ledger.published) + i}" for i in range(count)]
        subprocess.run(["kcat", "-b", b.address, "-P", "-t", ledger.topic, "-p", str(partition)],
                       input="\n".join(values) + "\n", text=True, check=True, timeout=LIMIT_S, capture_output=True)
        ledger.published += values


def until(what, condition, step=lambda: time.sleep(0.01)):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s"
        step()


def make_topic(b, ledger):
    subprocess.run([f"{BUILD}/bin/leat", "-b", b.address, "topic", "create", ledger.topic, "-p",
                    str(ledger.partitions)], check=True, timeout=LIMIT_S, capture_output=True)


def all_step(members):
    return lambda: [m.step() for m in members]


def shared(members, partitions=PARTITIONS):
    """Everything has one owner and nobody has nothing."""
    owned = [p for m in members for p in m.owned]
    return sorted(owned) == list(range(partitions)) and all(m.owned for m in members)


def check_sharing(b, Member, name, **more):
    """Members of one group come, leave, and outlive a broker that is killed. Member(b, ledger, group, **more) has
    owned, a set, and step(), leave(), and committed(), which leaves too."""
    ledger = Ledger(f"shared-{name}", PARTITIONS)
    make_topic(b, ledger)
    kcat_publish(b, ledger, 20)
    members = [Member(b, ledger, name, **more)]
    until("the first member has all", lambda: shared(members), all_step(members))
    for _ in range(2):
        members.append(Member(b, ledger, name, **more))
        until(f"{len(members)} members share", lambda: shared(members), all_step(members))
        kcat_publish(b, ledger, 10)
    until("everything has come", lambda: not ledger.missing(), all_step(members))
    kcat_publish(b, ledger, 10)
    members.pop(1).leave()
    until("two members share after the third has left", lambda: shared(members), all_step(members))
    until("everything has come", lambda: not ledger.missing(), all_step(members))
    ledger.check(f"{name}: members come and leave")
    b.kill_and_start()
    kcat_publish(b, ledger, 10)
    until("everything has come after a restart", lambda: not ledger.missing() and shared(members), all_step(members))
    ledger.check(f"{name}: the broker was killed", doubled_most=PARTITIONS)
    ends = {p: sum(v.startswith(f"{p}:") for v in ledger.published) for p in range(PARTITIONS)}
    members.pop().leave()
    same(members.pop().committed(), ends, f"{name}: all is committed")
    b.kill_and_start()
    late = Member(b, ledger, name, **more)
    until("a later member has all", lambda: shared([late]), late.step)
    kcat_publish(b, ledger, 1)
    until("only what is new comes", lambda: not ledger.missing(), late.step)
    ledger.check(f"{name}: commits survive", doubled_most=PARTITIONS)
    late.leave()
