#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Real kill -9 while compaction runs: the last value of each key is there, and what is gone stays away.

    tests/fault/test_compaction_kill.py [--rounds N] [--io uring|epoll] [--seed S]

One producer for each topic (durable and in memory) writes the same keys again and again, some of them
tombstones; the cleaner runs all the time. Each record carries a number. After each kill, and many are killed
once more in the middle of recovery, the whole log is read:

    every offset that is there holds what was sent to it, and offsets grow
    a key's last value is the last one acknowledged, or one sent after it that is in doubt
    no offset is there that was missing when the log was read before: nothing comes back
    the next append has the next offset, and the producer's sequence goes on
"""
import argparse
import random
import time

from node import *

KEYS = 150
IN_FLIGHT = 5
SETTINGS = ("journal.file.bytes=2MiB", "journal.bytes.max=48MiB", "disk.reserve.bytes=1MiB",
            "log.cleaner.backoff.ms=20ms")
TOPIC = {"cleanup.policy": "compact", "segment.bytes": "1100000", "min.cleanable.dirty.ratio": "0.01",
         "delete.retention.ms": "1000"}


class Keyed:
    """One topic of one partition, its only producer, and what must be true of it."""

    def __init__(self, topic):
        self.topic = topic
        self.producer = None
        self.next = 0       # the number, offset and sequence of the next record
        self.acked = 0
        self.doubt = []     # [(first, count, bytes)]
        self.sent = []      # (key, value) by offset
        self.present = None  # offsets that were there, below `seen`
        self.seen = 0

    def fresh(self, source):
        records = []
        for n in range(self.next, self.next + source.choice((1, 3, 10, 25))):
            key = b"key-%d" % source.randrange(KEYS)
            value = None if source.random() < 0.1 else b"%d:%d:" % (n, hash(key) & 0xFFFF) + b"x" * source.choice((50, 300, 2000))
            records.append((key, value))
        data = keyed_batch(records, self.producer, self.next)
        self.doubt.append((self.next, len(records), data))
        self.sent += records
        self.next += len(records)
        return data

    def answered(self, error, base):
        first, count, _ = self.doubt.pop(0)
        check(error == NO_ERROR, f"{self.topic}: record {first} was answered with error {error}")
        check(base == first, f"{self.topic}: record {first} was acknowledged at offset {base}")
        self.acked = first + count

    def read(self, client):
        """{offset: (key, value)} of everything, and where the log ends."""
        found, offset = {}, 0
        while True:
            error, high, records = client.fetch(self.topic, 0, offset)
            check(error == NO_ERROR, f"{self.topic}: fetch at {offset}: error {error}")
            if offset >= high:
                return found, high
            before = offset
            for base, count, data in split(records):
                check(base + count > offset, f"{self.topic}: a batch at {base} where {offset} was next")
                for at, key, value in records_of(data):
                    if at >= before:
                        check(at not in found, f"{self.topic}: offset {at} is there twice")
                        found[at] = (key, value)
                offset = base + count
            check(offset > before, f"{self.topic}: nothing at {before}, but the log ends at {high}")

    def compare(self, client):
        found, high = self.read(client)
        check(self.acked <= high <= self.next, f"{self.topic} ends at {high}; acknowledged {self.acked}, sent {self.next}")
        for offset, record in found.items():
            check(self.sent[offset] == record, f"{self.topic}: offset {offset} holds {record[0]!r}, sent {self.sent[offset][0]!r}")
        if self.present is not None:
            back = [o for o in found if o < self.seen and o not in self.present]
            check(not back, f"{self.topic}: offsets {sorted(back)[:5]} were gone and are back")
        last = {}
        for offset in range(high):
            last[self.sent[offset][0]] = offset
        shown = {}
        for offset in sorted(found):
            shown[found[offset][0]] = offset
        for key, offset in last.items():
            if self.sent[offset][1] is None:
                check(shown.get(key) in (None, offset), f"{self.topic}: {key!r} was deleted at {offset}, and shows {shown.get(key)}")
            else:
                check(shown.get(key) == offset, f"{self.topic}: the last value of {key!r} is at {offset}, shown is {shown.get(key)}")
        self.present, self.seen = set(found), high
        return len(found), high


def resend(client, topic):
    """What is in doubt is sent once more, with its sequences."""
    for _, _, data in list(topic.doubt):
        topic.answered(*client.produce(topic.topic, 0, data))


def load(node, topics, source, seconds):
    """Keeps requests in flight until the broker has been killed."""
    connections = {t.topic: Connection(node.port) for t in topics}
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            for t in topics:
                c = connections[t.topic]
                while len(t.doubt) < IN_FLIGHT:
                    c.send(PRODUCE, 3, produce_body(t.topic, {0: t.fresh(source)}))
                t.answered(*produced(c.receive())[0])
    except Gone:
        fail(f"the broker ended by itself:\n{node.said()[-3000:]}")
    node.kill()
    for t in topics:
        c = connections[t.topic]
        try:
            while True:
                answer = c.whole()
                if answer is None:
                    c.more()
                else:
                    t.answered(*produced(answer)[0])
        except Gone:
            c.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("TEST_KILL_ROUNDS", 12)))
    parser.add_argument("--io", default="auto")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    a = parser.parse_args()
    source = random.Random(a.seed)
    node = Leatd(f"{SCRATCH}/compacted", *SETTINGS, backend=a.io)
    topics = [Keyed("durable"), Keyed("memory")]
    passes = 0
    for number in range(a.rounds):
        node.shards = source.choice((1, 1, 2))
        while source.random() < 0.4:  # killed in the middle of recovery, or a little later
            node.launch()
            select.select([], [], [], source.random() * 0.15)
            node.kill()
        node.start()
        client = Client(node.port)
        for t in topics:
            if number == 0:
                client.create(t.topic, **TOPIC, durability="fsync" if t.topic == "durable" else "memory")
                t.producer = client.producer_id()
            resend(client, t)
            t.left = t.compare(client)
        client.close()
        load(node, topics, source, 0.3 + source.random() * 1.5)
        passes += node.said().count(": compacted up to offset")
        print(f"round {number}: " + ", ".join(f"{t.topic} {t.left[0]} records of {t.left[1]}" for t in topics)
              + f", {passes} passes", flush=True)
    node.start()
    client = Client(node.port)
    for t in topics:
        resend(client, t)
        t.compare(client)
    node.stop()
    check(passes >= a.rounds // 2, f"only {passes} passes in {a.rounds} rounds")
    print(f"ok: {a.rounds} kills, {passes} passes, {sum(t.acked for t in topics)} acknowledged records, --seed {a.seed}")


main()
