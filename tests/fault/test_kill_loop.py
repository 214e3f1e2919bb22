#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 1800
"""Real kill -9 under load, round after round: what was acknowledged is there, once, at its offset.

    tests/fault/test_kill_loop.py [--rounds N] [--io uring|epoll] [--seed S]     TEST_KILL_ROUNDS=N does it too

Each life has another number of shards and ends in one of these ways: killed under load; killed a few
milliseconds after SIGTERM, or left to stop cleanly; and many are killed once or more a few milliseconds after
they were started, in the middle of recovery. Some are paused (SIGSTOP) before they are killed. Topics:

    durable, memory   one idempotent producer for each topic, which resends what is in doubt after each restart
                      with the same sequences. It alone writes there, so record n must have offset n:
                      any duplicate, gap, loss or change shows.
    plain             acks 1, all and 0 without a producer id; large batches; retention deletes meanwhile
    churn             deleted and created again under load, with either durability

DeleteRecords moves the log start of durable and memory. Observed marks (acknowledged ends, high watermarks,
log starts, producer ids) must never go back. The seed decides what is done; when a kill lands is real time.
"""
import argparse
import random
import select
import time

from node import *

PARTITIONS = 3
IN_FLIGHT = 5  # of a partition: what an idempotent producer may have in doubt
WHOLE_EVERY = 10
SETTINGS = ("journal.file.bytes=2MiB", "journal.bytes.max=48MiB", "disk.reserve.bytes=1MiB",
            "log.retention.check.interval.ms=1s")


class Ordered:
    """An idempotent producer of one partition and what must be true of it."""

    def __init__(self, topic, partition, producer):
        self.topic, self.partition, self.producer = topic, partition, producer
        self.next = 0        # the number, and so the offset, of the next record
        self.acked = 0       # all records below are acknowledged
        self.doubt = []      # [(first, count, bytes)] sent, in order, not answered
        self.sent = {}       # first -> (count, bytes) of all that may be read back
        self.compared = 0    # records below were compared at least once
        self.high = 0        # the highest high watermark that was seen
        self.start = 0       # the log start that was acknowledged or seen
        self.start_doubt = 0  # the highest that was asked for

    def fresh(self, source):
        count = source.choice((1, 1, 2, 5, 20))
        size = source.choice((0, 10, 100, 400))
        values = [b"%s-%d-%d-" % (self.topic.encode(), self.partition, n) + b"x" * size
                  for n in range(self.next, self.next + count)]
        data = batch(values, self.producer, self.next)
        self.doubt.append((self.next, count, data))
        self.sent[self.next] = (count, data)
        self.next += count
        return data

    def answered(self, error, base):
        first, count, _ = self.doubt.pop(0)
        name = f"{self.topic}-{self.partition}"
        check(error == NO_ERROR, f"{name}: record {first} was answered with error {error}")
        check(base == first, f"{name}: record {first} was acknowledged at offset {base}")
        self.acked = first + count

    def marks(self, start, high):
        name = f"{self.topic}-{self.partition}"
        check(high >= self.high, f"{name}: the high watermark went from {self.high} to {high}")
        check(self.acked <= high <= self.next,
              f"{name}: the log ends at {high}; acknowledged {self.acked}, sent {self.next}")
        check(self.start <= start <= max(self.start_doubt, self.start),
              f"{name}: the log starts at {start}; acknowledged {self.start}, asked {self.start_doubt}")
        self.high = high
        self.start = start
        for first in [f for f in self.sent if f + self.sent[f][0] <= start]:
            del self.sent[first]

    def compare(self, client, whole):
        """Everything is answered: the log must be exactly what was sent. Returns what is compared anew."""
        name = f"{self.topic}-{self.partition}"
        offset = self.start if whole else max(self.start, self.compared)
        for base, count, data in client.batches(self.topic, self.partition, offset):
            wanted = self.sent.get(base)
            check(wanted, f"{name}: a batch at {base} where none was sent")
            check(wanted[0] == count and unstamped(wanted[1]) == unstamped(data),
                  f"{name}: the batch at {base} is not what was sent")
            offset = base + count
        check(offset == self.next, f"{name}: read up to {offset}, acknowledged up to {self.next}")
        new = self.next - self.compared
        self.compared = self.next
        return new


class Plain:
    """Appends without a producer id: an acknowledged one is there, one in doubt may be there or not."""

    def __init__(self, topic, pool, retained):
        self.topic, self.pool, self.retained = topic, pool, retained
        self.read = set()  # base offsets of the comparison in progress
        self.acked = {}   # base offset -> index in the pool
        self.new = 0      # records that were not compared yet
        self.doubt = []   # indices, in order
        self.start = self.end = 0

    def fresh(self, source):
        index = source.randrange(len(self.pool))
        self.doubt.append(index)
        return self.pool[index][1]

    def answered(self, error, base):
        index = self.doubt.pop(0)
        check(error == NO_ERROR, f"{self.topic}: answered with error {error}")
        check(base >= self.end, f"{self.topic}: acknowledged at {base} after {self.end}")
        self.end = base + self.pool[index][0]
        self.acked[base] = index
        self.new += self.pool[index][0]

    def compare(self, client):
        known = {unstamped(data) for _, data in self.pool}
        # Retention moves the start at any moment: what is read begins where the start was afterwards.
        while True:
            start = client.offset(self.topic, 0, EARLIEST)
            check(start >= self.start and (start == 0 or self.retained),
                  f"{self.topic}: the log start went from {self.start} to {start}")
            self.start = start
            error, end, _ = client.fetch(self.topic, 0, start)
            if error == NO_ERROR:
                break
            check(error == OFFSET_OUT_OF_RANGE, f"{self.topic}: fetch: error {error}")
        check(end >= self.end, f"{self.topic}: the log ends at {end}, acknowledged {self.end}")
        offset, first = start, True
        while offset < end:
            error, _, records = client.fetch(self.topic, 0, offset)
            if error == OFFSET_OUT_OF_RANGE:
                offset = client.offset(self.topic, 0, EARLIEST)
                continue
            check(error == NO_ERROR, f"{self.topic}: fetch at {offset}: error {error}")
            check(records, f"{self.topic}: nothing at {offset}, but the log ends at {end}")
            for base, count, data in split(records):
                check(base == offset or first and base <= offset, f"{self.topic}: a gap at {offset}")
                first = False
                self.seen(base, count, data, known)
                offset = base + count
        start = client.offset(self.topic, 0, EARLIEST)
        left = [base for base in self.acked if base >= start and base not in self.read]
        check(not left, f"{self.topic}: acknowledged batches at {left[:3]} are lost")
        self.acked = {base: index for base, index in self.acked.items() if base in self.read}
        self.read.clear()
        new, self.new = self.new, 0
        return new

    def seen(self, base, count, data, known):
        check(unstamped(data) in known, f"{self.topic}: the batch at {base} was never sent")
        if base in self.acked:
            wanted = self.pool[self.acked[base]]
            check(unstamped(wanted[1]) == unstamped(data), f"{self.topic}: the batch at {base} is another")
        self.read.add(base)


def pool(name, shapes):
    made = []
    for i, (count, size) in enumerate(shapes):
        values = [b"%s-%d-%d-" % (name.encode(), i, n) + b"y" * size for n in range(count)]
        made.append((count, batch(values)))
    return made


class Churn:
    """A topic that comes and goes. What is in doubt after a kill is asked for."""

    def __init__(self):
        self.generation = 0
        self.exists = False
        self.asked = None  # "create" or "delete": sent, not answered
        self.log = None

    def step(self, source):
        """The next request, or None: (key, version, body)"""
        if self.asked:
            return None
        if not self.exists:
            self.generation += 1
            self.asked = "create"
            shapes = [(1, 50), (4, 900)]
            self.next_log = Plain("churn", pool(f"churn-{self.generation}", shapes), False)
            config = {"durability": "memory"} if source.random() < 0.5 else {}
            return CREATE_TOPICS, 2, create_body("churn", 1, config)
        if source.random() < 0.02:
            self.asked = "delete"
            return DELETE_TOPICS, 1, delete_body("churn")
        return None

    def answered(self, answer):
        if self.asked == "create":
            error, why = created(answer)
            check(error == NO_ERROR, f"churn was not created: {error} {why}")
            self.created()
        else:
            error = deleted(answer)
            check(error == NO_ERROR, f"churn was not deleted: {error}")
            self.exists, self.log = False, None
        self.asked = None

    def created(self):
        self.exists, self.log = True, self.next_log

    def restarted(self, client):
        answer = client.ask(LIST_OFFSETS, 1, offsets_body("churn", [0], LATEST))
        error, _ = offsets_found(answer)[0]
        check(error in (NO_ERROR, UNKNOWN_TOPIC), f"churn: ListOffsets: error {error}")
        there = error == NO_ERROR
        if not self.asked:
            check(there == self.exists, f"churn {'came back' if there else 'is lost'}")
        elif self.asked == "create" and there:
            self.created()
        elif self.asked == "delete" and not there:
            self.exists, self.log = False, None
        self.asked = None
        return self.log.compare(client) if self.log else 0


class Run:
    def __init__(self, backend, seed):
        self.source = random.Random(f"{seed}-{backend}")
        self.leatd = Leatd(f"{SCRATCH}/kill-{backend}", *SETTINGS, backend=backend)
        self.rounds = self.recovery_kills = self.clean_stops = self.term_kills = self.compared = 0
        self.resent = self.starts_moved = 0
        self.answers = 0
        self.startup, self.clean = 0.03, False
        self.churn = Churn()
        self.producers = set()

    def found(self):
        self.leatd.start()
        client = Client(self.leatd.port)
        client.create("durable", PARTITIONS, segment_bytes=2 << 20, segment_ms=60)
        client.create("memory", PARTITIONS, segment_bytes=2 << 20, segment_ms=60, durability="memory")
        client.create("plain", 1, segment_bytes=2 << 20, retention_bytes=12 << 20)
        self.ordered = {}
        for topic in ("durable", "memory"):
            producer = self.new_producer(client)
            self.ordered[topic] = [Ordered(topic, p, producer) for p in range(PARTITIONS)]
        shapes = [(1, 10), (3, 1000), (60, 1000), (100, 4000), (1, 200000)]
        self.plain = Plain("plain", pool("plain", shapes), True)
        client.close()

    def new_producer(self, client):
        producer = client.producer_id()
        check(producer not in self.producers, f"the producer id {producer} was given twice")
        self.producers.add(producer)
        return producer

    # --- load ---------------------------------------------------------------------------------

    def send_ordered(self, connection, topic):
        logs = self.ordered[topic]
        wanted = self.source.sample(range(PARTITIONS), self.source.randint(1, PARTITIONS))
        batches = {p: logs[p].fresh(self.source) for p in wanted if len(logs[p].doubt) < IN_FLIGHT}
        if batches:
            connection.expected.append(list(batches))
            connection.send(PRODUCE, 3, produce_body(topic, batches))

    def take_ordered(self, connection, topic, answer):
        found = produced(answer)
        check(sorted(found) == sorted(connection.expected.pop(0)), f"{topic}: other partitions answered")
        for partition, (error, base) in found.items():
            self.ordered[topic][partition].answered(error, base)

    def send_plain(self, connection, log):
        acks = self.source.choice((0, 1, -1))
        if acks == 0:
            data = self.source.choice(log.pool)[1]
            self.send_unanswered(connection, produce_body(log.topic, {0: data}, 0))
        if len(log.doubt) < IN_FLIGHT:
            connection.send(PRODUCE, 3, produce_body(log.topic, {0: log.fresh(self.source)}, acks or 1))

    def send_unanswered(self, connection, body):
        frame = struct.pack(">hhih", PRODUCE, 3, 0, -1) + body
        try:
            connection.socket.sendall(struct.pack(">i", len(frame)) + frame)
        except OSError as error:
            raise Gone from error

    def control(self, connection):
        """DeleteRecords, the churning topic, a look at the marks; one at a time."""
        if connection.sent > connection.received:
            return
        step = self.churn.step(self.source)
        kind = self.source.random()
        if step:
            connection.handler = self.churn.answered
            connection.send(*step)
        elif kind < 0.2:
            log = self.source.choice(self.ordered[self.source.choice(("durable", "memory"))])
            if log.compared > log.start:
                offset = self.source.randint(log.start, log.compared)
                log.start_doubt = max(log.start_doubt, offset)
                connection.handler = lambda answer: self.start_moved(log, offset, answer)
                connection.send(DELETE_RECORDS, 1,
                                delete_records_body(log.topic, log.partition, offset))
        elif kind < 0.6:
            topic = self.source.choice(("durable", "memory"))
            connection.handler = lambda answer: self.seen_high(topic, answer)
            connection.send(LIST_OFFSETS, 1, offsets_body(topic, range(PARTITIONS), LATEST))

    def start_moved(self, log, offset, answer):
        low, error = records_deleted(answer)
        check(error == NO_ERROR and low >= offset,
              f"{log.topic}-{log.partition}: DeleteRecords to {offset}: error {error}, start {low}")
        log.start = max(log.start, offset)
        self.starts_moved += 1

    def seen_high(self, topic, answer):
        for partition, (error, high) in offsets_found(answer).items():
            log = self.ordered[topic][partition]
            check(error == NO_ERROR and high >= log.high,
                  f"{topic}-{partition}: error {error}, high watermark {log.high}, then {high}")
            log.high = high

    def open(self):
        """Connections, each with the function that takes its answers."""
        self.connections = {}
        for name in ("durable", "memory", "plain", "churn", "control"):
            c = self.connections[name] = Connection(self.leatd.port)
            c.expected, c.open = [], True
        self.takers = {
            "durable": lambda c, a: self.take_ordered(c, "durable", a),
            "memory": lambda c, a: self.take_ordered(c, "memory", a),
            "plain": lambda c, a: self.plain.answered(*produced(a)[0]),
            "churn": lambda c, a: self.take_churn(c, a),
            "control": lambda c, a: c.handler(a),
        }

    def take_churn(self, connection, answer):
        log = connection.expected.pop(0)
        error, base = produced(answer)[0]
        if error == UNKNOWN_TOPIC:
            check(self.churn.asked or log is not self.churn.log, "churn: the topic is unknown")
            log.doubt.pop(0)
        else:
            log.answered(error, base)

    def take(self, seconds):
        """Whatever has come within `seconds`. False: all connections have ended."""
        waiting = {c.socket: name for name, c in self.connections.items() if c.open}
        readable, _, _ = select.select(list(waiting), [], [], seconds)
        for s in readable:
            name = waiting[s]
            c = self.connections[name]
            try:
                c.more()
            except Gone:
                c.open = False
            while (answer := c.whole()) is not None:
                self.answers += 1
                self.takers[name](c, answer)
        return any(c.open for c in self.connections.values())

    def send_some(self):
        for topic in ("durable", "memory"):
            self.send_ordered(self.connections[topic], topic)
        self.send_plain(self.connections["plain"], self.plain)
        churn = self.connections["churn"]
        if self.churn.exists and not self.churn.asked and len(self.churn.log.doubt) < IN_FLIGHT:
            log = self.churn.log
            churn.expected.append(log)
            churn.send(PRODUCE, 3, produce_body("churn", {0: log.fresh(self.source)}))
        self.control(self.connections["control"])

    def load(self, seconds):
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            self.send_some()
            check(self.take(0.001), "the broker closed its connections under load")
            for name, c in self.connections.items():
                check(c.open, f"the broker closed the connection of {name} under load:\n"
                      + self.leatd.said()[-2000:])

    # --- a life -------------------------------------------------------------------------------

    def drain(self):
        """What was answered before the end counts, also if nobody had read it yet. It is in the socket by
        now; a ring may take a second until it gives its sockets up, which nobody needs to wait for."""
        before = -1
        while before != self.answers:
            before = self.answers
            self.take(0.02)
        for c in self.connections.values():
            c.close()

    def end_life(self):
        kind = self.source.random()
        self.send_some()
        select.select([], [], [], self.source.uniform(0, 0.004))
        if kind < 0.1:
            self.leatd.process.send_signal(signal.SIGSTOP)
            self.send_some()
        if kind < 0.7:
            self.leatd.kill()
            self.drain()
            return
        self.leatd.process.send_signal(signal.SIGTERM)
        patience = self.source.uniform(0, 0.03)
        stop = time.monotonic() + patience
        if kind < 0.9:
            self.term_kills += 1
            while time.monotonic() < stop and self.take(0.001):
                pass
            self.leatd.process.kill()
            self.leatd.ended()
        else:
            self.clean_stops += 1
            status = self.leatd.ended()
            check(status == 0, f"SIGTERM under load: status {status}\n{self.leatd.said()[-2000:]}")
            self.clean = True
        self.drain()

    def restart(self):
        clean, self.clean = self.clean, False
        while self.source.random() < 0.4:
            self.leatd.shards = self.source.choice((1, 2, 3))
            self.leatd.launch()
            select.select([], [], [], self.source.uniform(0, 1.2) * self.startup)
            check(self.leatd.process.poll() is None, f"a start was refused:\n{self.leatd.said()}")
            self.leatd.kill()
            self.recovery_kills += 1
        self.leatd.shards = self.source.choice((1, 2, 3))
        begun = time.monotonic()
        self.leatd.start()
        self.startup = time.monotonic() - begun
        check(not clean or "recovered" in self.leatd.said() and "entries=0" in self.leatd.said(),
              f"a clean stop left something to replay:\n{self.leatd.said()}")

    def resend(self, client):
        """The idempotent producer retries what is in doubt; none of it may appear twice."""
        for topic, logs in self.ordered.items():
            for log in logs:
                self.resent += len(log.doubt)
                for _, _, data in list(log.doubt):
                    log.answered(*client.produce(topic, log.partition, data))

    def verify(self, whole):
        client = Client(self.leatd.port)
        for topic, logs in self.ordered.items():
            starts = offsets_found(client.ask(LIST_OFFSETS, 1, offsets_body(
                topic, range(PARTITIONS), EARLIEST)))
            ends = offsets_found(client.ask(LIST_OFFSETS, 1, offsets_body(
                topic, range(PARTITIONS), LATEST)))
            for p, log in enumerate(logs):
                check(starts[p][0] == ends[p][0] == NO_ERROR, f"{topic}-{p}: ListOffsets failed")
                log.marks(starts[p][1], ends[p][1])
                log.start_doubt = log.start
        self.resend(client)
        for logs in self.ordered.values():
            self.compared += sum(log.compare(client, whole) for log in logs)
        self.plain.doubt.clear()
        self.compared += self.plain.compare(client)
        self.compared += self.churn.restarted(client)
        if self.churn.log:
            self.churn.log.doubt.clear()
        self.new_producer(client)
        client.close()

    def round(self, whole):
        self.open()
        try:
            self.load(self.source.uniform(0.05, 0.3))
        except Gone:
            fail(f"the broker went away under load:\n{self.leatd.said()[-3000:]}")
        self.end_life()
        self.restart()
        self.verify(whole)
        self.rounds += 1


def run(backend, rounds, seed):
    begun = time.monotonic()
    r = Run(backend, seed)
    r.found()
    for number in range(1, rounds + 1):
        try:
            r.round(number % WHOLE_EVERY == 0 or number == rounds)
        except SystemExit:
            print(f"{backend}, seed {seed}, round {number}; data in {r.leatd.data}, log {r.leatd.log}")
            raise
    r.leatd.stop()
    r.leatd.start()
    r.verify(True)
    r.leatd.stop()
    print(f"{backend}, seed {seed}: {r.rounds} rounds ({r.term_kills} killed while stopping, "
          f"{r.clean_stops} stopped cleanly, {r.recovery_kills} kills during recovery): "
          f"{r.compared} acknowledged records compared, {r.resent} batches in doubt resent, "
          f"{r.starts_moved} log starts moved, {r.churn.generation} topics made and deleted, "
          f"{time.monotonic() - begun:.0f} s", flush=True)


parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=int(os.environ.get("TEST_KILL_ROUNDS", "12")))
parser.add_argument("--io", choices=("uring", "epoll"))
parser.add_argument("--seed", type=int, default=7)
arguments = parser.parse_args()
for chosen in [arguments.io] if arguments.io else ["uring", "epoll"]:
    run(chosen, arguments.rounds, arguments.seed)
