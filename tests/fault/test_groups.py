#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Consumer groups on real processes, on both io backends.

rounds   kill -9 under members that join, commit, leave and join again. No acknowledged commit is lost or goes
         backwards, no generation is assigned twice, nothing has two owners in a generation, and members of a
         stable generation go on after the restart without joining again.
order    commits and deletions of the same groups at the same time, then a kill: what is replayed is what was seen, also
         when the log has been compacted.
memory   groups, members and commits until there is no more room: who is there goes on, and a restart finds all that
         was acknowledged.

    tests/fault/test_groups.py [--rounds N] [--seed N]
"""
import argparse
import random
import threading
import time

from groups import *
from node import *

SETTINGS = ("group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=100")
PARTITIONS = 8
MEMBERS = 4


class Ledger:
    """What the members know together. A commit that is under way is in doubt."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged, self.sent = [0] * PARTITIONS, [0] * PARTITIONS
        self.generations = {}  # generation: (stamp of its leader, {partition: member})
        self.last = {}  # of a member: its generation
        self.commits = self.went_on = self.rejoined = 0

    def found(self, partition, offset):
        with self.lock:
            least, most = self.acknowledged[partition], self.sent[partition]
        check(least <= max(offset, 0) <= most,
              f"partition {partition}: {offset} is committed, acknowledged were {least}, sent {most}")

    def assigned(self, member, generation, stamp, partitions):
        with self.lock:
            first, owners = self.generations.setdefault(generation, (stamp, {}))
            check(first == stamp, f"generation {generation} was assigned twice")
            for p in partitions:
                check(owners.setdefault(p, member) == member, f"generation {generation}: partition {p} has two owners")
            check(generation >= self.last.get(member, 0), f"{member}: generation {generation} after {self.last.get(member)}")
            self.last[member] = generation


class Rounds:
    """A broker that is killed, and when its next life is there."""

    def __init__(self, leatd):
        self.leatd = leatd
        self.changed = threading.Condition()
        self.life, self.over = 0, False
        self.failures = []

    def next_life(self, last):
        with self.changed:
            check(self.changed.wait_for(lambda: self.life > last or self.over, 60), "no next life")
            return self.life

    def begin(self):
        with self.changed:
            self.life += 1
            self.changed.notify_all()


class Member(threading.Thread):
    def __init__(self, rounds, ledger, seed):
        super().__init__(daemon=True)
        self.rounds, self.ledger, self.random = rounds, ledger, random.Random(seed)
        self.client, self.life, self.id, self.generation, self.mine = None, 0, "", -1, []

    def run(self):
        try:
            while not self.rounds.over:
                try:
                    self.connect()
                    self.live()
                except Gone:
                    pass
        except BaseException as e:
            self.rounds.failures.append(e)

    def connect(self):
        self.life = self.rounds.next_life(self.life)
        self.client = Groups(self.rounds.leatd.port)
        if self.mine and not self.retried(lambda: self.client.heartbeat("g", self.generation, self.id)):
            with self.ledger.lock:
                self.ledger.went_on += 1
            self.look()
        else:
            self.mine = []

    def retried(self, ask):
        while True:
            error = ask()
            if error not in GONE_FOR_NOW or self.rounds.over:
                return error
            select.select([], [], [], 0.002)

    def live(self):
        while not self.rounds.over:
            if not self.mine:
                self.join()
            elif self.random.random() < 0.02:
                self.client.leave("g", self.id)
                self.id, self.mine = "", []
            elif self.work() not in (0, *GONE_FOR_NOW):
                self.mine = []

    def join(self):
        error, generation, member, leader, members = self.client.join("g", self.id, session_ms=1000)
        if error:
            self.id = "" if error == UNKNOWN_MEMBER else self.id
            return
        self.id, self.generation = member.decode(), generation
        assignments = []
        if leader == member:
            stamp = self.random.getrandbits(64)
            shares = [bytes(range(i, PARTITIONS, len(members))) for i in range(len(members))]
            assignments = [(m, struct.pack(">Q", stamp) + share) for m, share in zip(members, shares)]
        error, assignment = self.client.sync("g", generation, self.id, assignments)
        if error or not assignment:
            return
        self.mine = list(assignment[8:])
        self.ledger.assigned(self.id, generation, assignment[:8], self.mine)
        with self.ledger.lock:
            self.ledger.rejoined += 1
        self.look()

    def look(self):
        """Everything of the former owner has been acknowledged or refused: this generation is the group's."""
        error, offsets = self.client.offsets("g")
        for p in self.mine if error == 0 else []:
            self.ledger.found(p, offsets.get(("t", p), 0))

    def work(self):
        if self.random.random() < 0.3:
            return self.client.heartbeat("g", self.generation, self.id)
        p = self.random.choice(self.mine)
        with self.ledger.lock:
            offset = self.ledger.sent[p] = self.ledger.sent[p] + 1
        errors = self.client.commit("g", {"t": {p: offset}}, self.generation, self.id)
        error = errors["t", p]
        with self.ledger.lock:
            if error == 0:
                self.ledger.acknowledged[p] = max(offset, self.ledger.acknowledged[p])
                self.ledger.commits += 1
        return error


def rounds(backend, count, seed):
    leatd = Leatd(f"{SCRATCH}/rounds-{backend}", *SETTINGS, backend=backend, shards=2).start()
    Client(leatd.port).create("t", PARTITIONS)
    Groups(leatd.port).find()
    r, ledger, rand = Rounds(leatd), Ledger(), random.Random(seed)
    members = [Member(r, ledger, seed * 100 + i) for i in range(MEMBERS)]
    for m in members:
        m.start()
    for _ in range(count):
        r.begin()
        enough = ledger.commits + rand.randrange(1, 400)
        wait_until("members commit", lambda: ledger.commits >= enough or r.failures)
        if r.failures:
            break
        leatd.kill()
        leatd.start()
    r.over = True
    r.begin()
    leatd.kill()
    for m in members:
        threading.Thread.join(m, 30)
        check(not m.is_alive(), "a member does not end")
    if r.failures:
        raise r.failures[0]
    leatd.start()
    client = Groups(leatd.port)
    wait_until("the group is loaded", lambda: client.offsets("g")[0] == 0)
    for p in range(PARTITIONS):
        ledger.found(p, client.offsets("g")[1].get(("t", p), 0))
    check(ledger.went_on > 0, "no member went on after a restart")
    leatd.stop()
    print(f"ok: {backend}: {count} kills, {ledger.commits} commits, {len(ledger.generations)} generations, "
          f"{ledger.went_on} times a member went on, {ledger.rejoined} times it joined")


def everything(leatd, groups):
    """{group: {(topic, partition): offset}} when all of it is loaded."""
    client, found = Groups(leatd.port), {}
    wait_until("all groups are loaded", lambda: client.list()[0] == 0)
    for group in groups:
        error, offsets = client.offsets(group)
        check(error == 0, f"offsets of {group}: error {error}")
        if offsets:
            found[group] = offsets
    client.close()
    return found


def order(backend, seed, compacted):
    """With `compacted`, most of the log has been rewritten before it is replayed."""
    more = ("offsets.topic.num.partitions=1", "offsets.topic.segment.bytes=1MiB", "log.cleaner.backoff.ms=50ms",
            "log.cleaner.min.cleanable.ratio=0.01", "log.cleaner.delete.retention.ms=0")
    leatd = Leatd(f"{SCRATCH}/order-{backend}-{compacted}", *SETTINGS, *(more if compacted else ()), backend=backend,
                  shards=2).start()
    Client(leatd.port).create("t", 4)
    Groups(leatd.port).find()
    rand, groups = random.Random(seed), [f"g{i}" for i in range(6)]
    for life in range(3):
        clients = [Groups(leatd.port) for _ in range(4)]
        for i in range(1000):
            client, group = rand.choice(clients), rand.choice(groups)
            if rand.random() < 0.03:
                client.send(DELETE, 1, struct.pack(">i", 1) + text(group))
            else:
                client.send(COMMIT, 7, client.commit_body(group, -1, "", {"t": {rand.randrange(4): i}},
                                                          "m" * 4000 if compacted else ""))
        for client in clients:
            while client.received < client.sent:
                client.receive()
            client.close()
        if compacted:
            wait_until("a pass of compaction", lambda: ": compacted up to offset" in leatd.said())
        before = everything(leatd, groups)
        leatd.kill()
        leatd.start()
        after = everything(leatd, groups)
        check(before == after, f"what is replayed is not what was seen:\n{before}\n{after}")
    leatd.stop()
    print(f"ok: {backend}: what is replayed is what was seen{', compacted' if compacted else ''}")


def flood(leatd, count, send):
    """The errors of `count` requests; send(client, i) says where in an answer its error stands."""
    clients, errors, ahead = [Groups(leatd.port) for _ in range(8)], [], 16 * 8
    for i in range(count + ahead):
        client = clients[i % len(clients)]
        if i < count:
            at = send(client, i)
        if i >= ahead:
            errors.append(Reader(client.receive()[at:]).take("h"))
    for client in clients:
        client.close()
    return errors


def memory(backend):
    leatd = Leatd(f"{SCRATCH}/memory-{backend}", *SETTINGS, "limits.memory=64MiB", backend=backend, shards=1).start()
    Client(leatd.port).create("t", PARTITIONS)
    good = Groups(leatd.port)
    good.find()
    _, generation, member, _, _ = good.join("good", session_ms=60000)
    check(good.sync("good", generation, member, [(member, b"all")]) == (0, b"all"), "the first member has no assignment")
    offsets = {"t": {p: 1 for p in range(PARTITIONS)}}

    def goes_on(what):
        check(good.heartbeat("good", generation, member) == 0, f"{what}: a heartbeat is refused")
        for p in range(PARTITIONS):
            offsets["t"][p] += 1
        check(set(good.commit("good", offsets, generation, member).values()) == {0}, f"{what}: a commit is refused")
        check(good.list()[0] == 0, f"{what}: groups are not listed")

    def commit(client, i):
        client.send(COMMIT, 7, client.commit_body(f"o{i}", -1, "", {"t": {0: i}}, "m" * 3000))
        return -2

    goes_on("an empty broker")
    asked = flood(leatd, 6000, lambda c, i: c.send(JOIN, 5, c.join_body(f"e{i}", session_ms=2000)) or 4)
    check(set(asked) == {MEMBER_ID_REQUIRED, NOT_AVAILABLE}, f"ids that nobody wants: {set(asked)}")
    goes_on("ids that nobody comes back with")
    wait_until("they are forgotten", lambda: good.list()[1] == [b"good"])
    body = text("") + text("consumer") + struct.pack(">i", 1) + text("range") + blob(b"x" * (1 << 20))
    large = flood(leatd, 40, lambda c, i: c.send(JOIN, 3, text(f"m{i}") + struct.pack(">ii", 500, 500) + body) or 4)
    check(set(large) == {0, NOT_AVAILABLE}, f"large members: {set(large)}")
    goes_on("members of 1 MiB each")
    wait_until("they are removed", lambda: good.join("after", session_ms=500)[0] == 0)
    errors = flood(leatd, 3000, commit)
    check(set(errors) == {0, NOT_AVAILABLE}, f"commits: {set(errors)}")
    goes_on("commits without end")
    leatd.kill()
    leatd.start()
    found = everything(leatd, ["good"] + [f"o{i}" for i in range(3000)])
    check(found.pop("good") == {("t", p): o for p, o in offsets["t"].items()}, "a commit is lost")
    check(len(found) == errors.count(0), f"{errors.count(0)} commits were acknowledged, {len(found)} are there")
    check(all(found[g] == {("t", 0): int(g[1:])} for g in found), "another offset than was committed")
    good = Groups(leatd.port)
    goes_on("after a restart")
    leatd.stop()
    print(f"ok: {backend}: {asked.count(MEMBER_ID_REQUIRED)} ids, {large.count(0)} large members, {len(found)} groups had room")


parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=8)
parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
arguments = parser.parse_args()
print("seed", arguments.seed)
for io in ("uring", "epoll"):
    rounds(io, arguments.rounds, arguments.seed)
    order(io, arguments.seed, False)
    order(io, arguments.seed, True)
    memory(io)
