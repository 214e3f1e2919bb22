#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 1800
"""Real kills under load, on both backends, for durable and memory topics, with one shard and several.

A round: many batches in flight to six partitions, then kill -9 in the middle (in some rounds after a pause
by SIGSTOP, in some a SIGTERM: a clean stop, after which nothing is to be replayed), then a start. What
was acknowledged is compared batch by batch: offset, records, id, checksum; no gaps, no batch twice, none
that nobody sent. Now and then everything is compared again, and all but the end of each partition is
deleted (DeleteRecords): that does not come back either.

    TEST_KILL_ROUNDS=300 tests/run.sh fault_kill_loop     300 rounds for each backend (25 otherwise)
"""
import os
import random
import re
import signal
import sys
import time

from node import Node, Template, produce_answer

ROUNDS = int(os.environ.get("TEST_KILL_ROUNDS", "25"))
TOPICS = ["durable", "memory"]
PARTITIONS = 3
IN_FLIGHT = 200
WHOLE_EVERY = 20  # rounds between two looks at everything; else at what is new


class Log:
    """One partition: what was sent, what was told, what was seen."""

    def __init__(self, topic, partition):
        self.topic, self.partition = topic, partition
        self.sent = {}   # id -> (records, checksum)
        self.told = {}   # base offset -> id
        self.seen = []   # (base, records, id): confirmed by an earlier look
        self.ids = set() # of these
        self.start = 0   # nothing below is readable

    def name(self):
        return f"{self.topic}-{self.partition}"

    def look(self, link, whole):
        """Compares what is there, from the beginning or behind what was confirmed."""
        expected = self.seen if whole else []
        start = self.start if whole or not self.seen else self.seen[-1][0] + self.seen[-1][1]
        index, end = 0, expected[0][0] if expected else start
        for base, records, number, crc in link.read(self.topic, self.partition, start):
            if base != end:
                raise SystemExit(f"{self.name()}: a batch at {base} where {end} was next")
            if self.sent.get(number) != (records, crc):
                raise SystemExit(f"{self.name()}: nobody sent what stands at {base} (id {number})")
            if index < len(expected):
                if expected[index] != (base, records, number):
                    raise SystemExit(f"{self.name()}: {expected[index]} has become {(base, records, number)}")
            else:
                if number in self.ids:
                    raise SystemExit(f"{self.name()}: id {number} stands twice, again at {base}")
                self.ids.add(number)
                self.seen.append((base, records, number))
            index += 1
            end = base + records
        if index < len(expected):
            raise SystemExit(f"{self.name()} ends at {end}; it reached {expected[-1][0]} before")
        there = {base: number for base, _, number in self.seen}
        lost = [(base, number) for base, number in self.told.items() if there.get(base) != number]
        if lost:
            raise SystemExit(f"{self.name()}: {len(lost)} acknowledged batches are lost or elsewhere: {lost[:3]}; "
                             f"the log ends at {end}")
        if whole and self.start != link.start_offset(self.topic, self.partition):
            raise SystemExit(f"{self.name()} starts at {link.start_offset(self.topic, self.partition)}, "
                             f"deleted was up to {self.start}")
        compared = len(self.told)
        self.told = {} # confirmed: from now on they are among the seen
        return compared

    def trim(self, link):
        """Deletes all but the newest few hundred batches."""
        if len(self.seen) > 300:
            base, records, _ = self.seen[-300]
            self.start = base + records // 2
            link.delete_records(self.topic, self.partition, self.start)
            del self.seen[:-300]


class Load:
    """Sends until the connection breaks or time is up; answers are told at once."""

    def __init__(self, node, logs, templates, chance):
        self.link = node.link()
        self.logs, self.templates, self.chance = logs, templates, chance
        self.waiting = []
        self.errors = 0

    def take(self, wait):
        for body in self.link.answers(wait):
            log, number = self.waiting.pop(0)
            error, base = produce_answer(body)
            if error:
                self.errors += 1
            else:
                log.told[base] = number

    def run(self, seconds, next_id):
        limit = time.monotonic() + seconds
        try:
            while time.monotonic() < limit:
                while len(self.waiting) < IN_FLIGHT:
                    log = self.chance.choice(self.logs)
                    template = self.chance.choice(self.templates)
                    next_id += 1
                    batch = template.batch(next_id)
                    log.sent[next_id] = template.records, int.from_bytes(batch[17:21], "big")
                    self.waiting.append((log, next_id))
                    self.link.produce(log.topic, log.partition, batch)
                self.take(0.01)
        except ConnectionError:
            pass
        return next_id

    def drain(self, seconds=1.0):
        """What was answered before the end is told, too."""
        try:
            limit = time.monotonic() + seconds
            while self.waiting and time.monotonic() < limit:
                self.take(0.1)
        except ConnectionError:
            pass
        self.link.close()


def one_round(node, load, chance, number, next_id):
    """Ends the node in the middle of the load. Returns how, and the next id."""
    next_id = load.run(chance.uniform(0.03, 0.25), next_id)
    how = "kill"
    if number % 10 == 7:
        how = "pause and kill"
        node.process.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(0.01, 0.3))
    elif number % 10 == 4:
        how = "pause"
        node.process.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(0.01, 0.3))
        node.process.send_signal(signal.SIGCONT)
        next_id = load.run(0.05, next_id)
        if load.errors:
            raise SystemExit(f"{load.errors} errors after a pause")
    elif number % 10 == 9:
        how = "stop"
        status = node.end(signal.SIGTERM)
        if status != 0:
            raise SystemExit(f"leatd ended with {status} on SIGTERM")
    if how != "stop":
        node.end(signal.SIGKILL)
    load.drain()
    return how, next_id


def run(backend):
    chance = random.Random(f"leat {backend}")
    templates = [Template(1, 20), Template(1, 1000), Template(3, 300), Template(40, 100)] * 5 + [Template(1, 60000)]
    logs = [Log(topic, p) for topic in TOPICS for p in range(PARTITIONS)]
    node = Node(backend, "--io", backend).started("--shards", "1")
    if backend not in node.said.replace("io_uring", "uring"):
        print(f"{backend}: not to be had here, leatd says: {node.said.splitlines()[0]}")
        node.end()
        return
    node.create("durable", PARTITIONS, durability="fsync")
    node.create("memory", PARTITIONS, durability="memory")
    next_id = compared = replayed = 0
    slowest = 0.0
    for number in range(ROUNDS):
        load = Load(node, logs, templates, chance)
        how, next_id = one_round(node, load, chance, number, next_id)
        begin = time.monotonic()
        node.started("--shards", str(chance.choice((1, 1, 2, 3))))
        slowest = max(slowest, time.monotonic() - begin)
        entries = int(re.search(r"recovered logs=\d+ entries=(\d+)", node.said).group(1))
        replayed += entries
        if how == "stop" and (entries or "after=a clean stop" not in node.said.replace('"', "")):
            raise SystemExit(f"a clean stop left {entries} entries to replay:\n{node.said}")
        link = node.link()
        whole = number % WHOLE_EVERY == WHOLE_EVERY - 1 or number == ROUNDS - 1
        try:
            compared += sum(log.look(link, whole) for log in logs)
            stand = sum(len(log.seen) for log in logs)
            for log in logs if whole else []:
                log.trim(link)
        except (OSError, SystemExit) as e:
            raise SystemExit(f"{backend}, round {number} ({how}): {e}\n{node.said[-2000:]}") from e
        link.close()
    node.end()
    print(f"{backend}: {ROUNDS} rounds, {next_id} batches sent, {compared} acknowledged and compared one by one, "
          f"{stand} stand at the end, {replayed} entries replayed, slowest start {slowest * 1000:.0f} ms")


if __name__ == "__main__":
    for name in sys.argv[1:] or ["uring", "epoll"]:
        run(name)
