#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Histories of real clients of a leatd that is killed (kill -9) under them, on both io backends, checked by check.py.

Idempotent producers (by hand, with resends that are not needed; libleat; librdkafka when it is there), consumers that were assigned
by hand, a group by hand whose members commit, come and go, a group of libleat, a topic that is compacted, and two with retention.
Each kill waits for what the clients do; the seed decides how much.

    tests/history/test_real.py [--kills N] [--seed N] [--keep FOLDER]
"""
import argparse
import queue
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "fault"))
from groups import *  # noqa: E402
from node import *  # noqa: E402
from recorder import History, now, result_of, value_of  # noqa: E402

try:
    import confluent_kafka
except ImportError:
    confluent_kafka = None

SETTINGS = ("journal.file.bytes=2MiB", "journal.bytes.max=48MiB", "disk.reserve.bytes=1MiB", "group.initial.rebalance.delay.ms=0",
            "group.min.session.timeout.ms=100", "log.cleaner.backoff.ms=20ms", "log.retention.check.interval.ms=1s")
PARTITIONS = 4  # of "shared": by hand, by hand, libleat, librdkafka or by hand
IN_FLIGHT = 4
KEYS = 40
CORRUPT_MESSAGE = 2
LARGE = "p" * 1500
TOPICS = {
    "shared": {"retention.ms": -1, "segment.ms": 150},
    "memory": {"retention.ms": -1, "durability": "memory"},
    "sized": {"retention.ms": -1, "retention.bytes": 400000, "segment.ms": 150},
    "aged": {"retention.ms": 1500, "segment.ms": 150},
    "compacted": {"cleanup.policy": "compact", "segment.ms": 150, "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": 200,
                  "retention.ms": -1},
}


def free_port():
    """For all lives: the clients of others know one address. Below what the kernel gives to connections, one of which might have it
    when the next life begins."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Run:
    """A broker that is killed, the clients, and what they write down."""

    def __init__(self, backend, seed, path):
        self.history = History(path)
        self.leatd = Leatd(f"{SCRATCH}/history-{backend}", *SETTINGS, backend=backend, shards=2, port=free_port())
        self.random = random.Random(f"{seed}-{backend}")
        self.changed = threading.Condition()
        self.life, self.over = 0, False
        self.failures, self.done, self.commits = [], 0, 0
        self.threads = []

    def start(self):
        invoke = now()
        self.leatd.start()
        self.history.write("node", "node", invoke, state="ready")
        with self.changed:
            self.life += 1
            self.changed.notify_all()

    def kill(self):
        invoke = now()
        self.leatd.kill()
        self.history.write("node", "node", invoke, state="down")

    def next_life(self, last):
        with self.changed:
            check(self.changed.wait_for(lambda: self.life > last or self.over or self.failures, 60), "no next life")
            return self.life

    def make_topics(self):
        client = Client(self.leatd.port)
        for name, config in TOPICS.items():
            client.create(name, PARTITIONS if name == "shared" else 1, **config)
            self.history.write("node", "topic", now(), topic=name, cleanup=config.get("cleanup.policy", "delete"),
                               retention_ms=config.get("retention.ms", -1), retention_bytes=config.get("retention.bytes", -1))
        Groups(self.leatd.port).find()
        client.close()

    def more(self, answers, commits):
        """Waits until the clients have got so many more answers, and as many commits are acknowledged."""
        answers, commits = self.done + answers, self.commits + commits
        self.until("clients get answers", lambda: self.done >= answers and self.commits >= commits)

    def until(self, what, condition):
        wait_until(what, lambda: self.failures or condition())
        if self.failures:
            raise self.failures[0]

    def join(self, kind):
        for thread in self.threads:
            if isinstance(thread, kind):
                thread.join(60)
                check(not thread.is_alive(), f"{thread.name} does not end")
        if self.failures:
            raise self.failures[0]


class Worker(threading.Thread):
    """A client that begins anew in each life of the broker."""

    def __init__(self, run, name):
        super().__init__(daemon=True, name=name)
        self.r, self.history, self.life = run, run.history, 0
        self.random = random.Random(run.random.random())
        run.threads.append(self)

    def run(self):
        try:
            while not self.finished():
                self.life = self.r.next_life(self.life)
                try:
                    if not self.finished():
                        self.live()
                except Gone:
                    pass
        except BaseException as error:
            self.r.failures.append(error)

    def finished(self):
        return self.r.over

    def ask(self, client, op, request, **more):
        """request() gives (error, what else is to be written down, the answer). A request without an answer is in doubt."""
        invoke = now()
        try:
            error, told, answer = request()
        except Gone:
            self.history.write(self.name, op, invoke, "info", **more)
            client.close()
            raise
        self.history.write(self.name, op, invoke, result_of(error), **{**more, **told})
        self.r.done += 1
        return error, answer

    def ends(self, client, topic, partition):
        def request():
            start, end = (client.offset(topic, partition, what) for what in (EARLIEST, LATEST))
            return 0, {"start": start, "end": end}, (start, end)
        return self.ask(client, "offsets", request, topic=topic, partition=partition)[1]

    def assign(self, topic, partition, offset, **more):
        self.history.write(self.name, "assign", now(), partitions=[[topic, partition, offset]], **more)

    def fetch(self, client, topic, partition, offset, most=1 << 16, **more):
        """(error, where the next fetch begins, high watermark)"""
        def request():
            error, high, data = client.fetch(topic, partition, offset, most=most, wait_ms=100, least=1)
            found, following = [], offset
            for base, count, batch_ in split(data):
                found += [[at, value and value.decode("latin-1"), (key or b"").decode()] for at, key, value in records_of(batch_)
                          if at >= offset]
                following = base + count
            return error, {"records": found}, (following, high)
        error, (following, high) = self.ask(client, "poll", request, topic=topic, partition=partition, **more)
        return error, following, high


class Producer(Worker):
    """Idempotent, with requests ahead. What is in doubt is sent again in the next life, and some of what is not as well."""

    def __init__(self, run, topic, partition, padding="", keyed=False):
        super().__init__(run, f"producer {topic} {partition}")
        self.topic, self.partition, self.padding, self.keyed = topic, partition, padding, keyed
        self.producer, self.next = None, 0
        self.doubt = []  # [(records, bytes)] without an answer

    def finished(self):
        return self.r.over and not self.doubt

    def fresh(self):
        records = []
        for n in range(self.next, self.next + self.random.choice((1, 1, 3, 8))):
            key = f"key-{self.random.randrange(KEYS)}" if self.keyed else ""
            gone = self.keyed and self.random.random() < 0.15
            records.append([None if gone else value_of(self.topic, self.partition, self.name.replace(" ", "-"), n, key, self.padding), key])
        sequence, self.next = self.next, self.next + len(records)
        return records, sequence

    def send(self, connection, flight, sent, again):
        invoke = now()
        if sent is None:
            records, sequence = self.fresh()
            data = keyed_batch([(key.encode(), value and value.encode()) for value, key in records], self.producer, sequence)
            sent = records, data
            self.doubt.append(sent)
        flight.append((invoke, sent, again))
        connection.send(PRODUCE, 3, produce_body(self.topic, {self.partition: sent[1]}))

    def told(self, invoke, records, result, offset=None):
        self.history.write(self.name, "produce", invoke, result, topic=self.topic, partition=self.partition, records=records,
                           offset=offset, idempotent=True)

    def live(self):
        client = Client(self.r.leatd.port)
        flight = []
        try:
            self.producer = self.producer or client.producer_id()
            waiting = list(self.doubt)
            while waiting or flight or not self.r.over:
                while len(flight) < IN_FLIGHT and (waiting or not self.r.over):
                    self.send(client, flight, waiting.pop(0) if waiting else None, False)
                error, base = produced(client.receive())[self.partition]
                invoke, sent, again = flight.pop(0)
                self.told(invoke, sent[0], result_of(error), base if error == 0 else None)
                check(error == 0, f"{self.name}: error {error}")
                self.r.done += 1
                if not again:
                    self.doubt.remove(sent)
                    # Of its last five batches a broker knows that they are there.
                    if self.random.random() < 0.05:
                        self.send(client, flight, sent, True)
        except Gone:
            for invoke, sent, _ in flight:
                self.told(invoke, sent[0], "info")
            raise
        finally:
            client.close()


class Refused(Worker):
    """Batches with another checksum than theirs, some in each life: a definite no, so nobody may ever see what is in them."""

    def __init__(self, run, topic, partition=0):
        super().__init__(run, f"refused {topic} {partition}")
        self.topic, self.partition, self.count = topic, partition, 0

    def live(self):
        client = Client(self.r.leatd.port)
        for _ in range(30):
            value, self.count = value_of(self.topic, self.partition, "refused", self.count), self.count + 1
            data = bytearray(batch([value.encode()]))
            data[17] ^= 1

            def request():
                error, _ = client.produce(self.topic, self.partition, bytes(data))
                return error, {}, None
            error, _ = self.ask(client, "produce", request, topic=self.topic, partition=self.partition, records=[[value, ""]])
            check(error == CORRUPT_MESSAGE, f"{self.name}: error {error}")
        client.close()


class Consumer(Worker):
    """Assigned by hand, from the start on. Where a log may lose its start it looks at that often: what retention removed too early
    is soon old enough to be removed."""

    def __init__(self, run, topic, partition=0):
        super().__init__(run, f"consumer {topic} {partition}")
        self.topic, self.partition, self.position = topic, partition, None

    def live(self):
        client = Client(self.r.leatd.port)
        while not self.r.over:
            if self.topic in ("sized", "aged") and self.random.random() < 0.2:
                self.ends(client, self.topic, self.partition)
            if self.position is None:
                self.position = self.ends(client, self.topic, self.partition)[0]
                self.assign(self.topic, self.partition, self.position)
            error, following, _ = self.fetch(client, self.topic, self.partition, self.position)
            check(error in (0, OFFSET_OUT_OF_RANGE), f"{self.name}: error {error}")
            self.position = None if error else following
        client.close()


class Scanner(Worker):
    """Reads all of a topic in each life, and once more at the end of the run."""

    def __init__(self, run, topic, partition, final):
        super().__init__(run, f"scanner {topic} {partition} {'final' if final else ''}".strip())
        self.topic, self.partition, self.final = topic, partition, final

    def finished(self):
        return self.r.over if not self.final else self.final == "done"

    def live(self):
        client = Client(self.r.leatd.port)
        while not self.scan(client):
            pass
        client.close()
        self.final = self.final and "done"

    def scan(self, client):
        """Whether retention did not take away what was to be read next."""
        start, end = self.ends(client, self.topic, self.partition)
        self.assign(self.topic, self.partition, start)
        name, offset = f"{self.name} {self.life} {now()}", start
        while offset < end:
            error, offset, _ = self.fetch(client, self.topic, self.partition, offset, 1 << 20, scan=name)
            check(error in (0, OFFSET_OUT_OF_RANGE), f"{self.name}: error {error}")
            if error:
                break
        self.ends(client, self.topic, self.partition)
        return offset >= end


class Member(Worker):
    """Of a group by hand: the leader shares the partitions out; each reads and commits."""

    def __init__(self, run, number):
        super().__init__(run, f"member {number}")
        self.id, self.generation, self.positions = "", -1, {}

    def live(self):
        groups, reader = Groups(self.r.leatd.port), Client(self.r.leatd.port)
        while not self.r.over:
            if not self.positions:
                self.join_group(groups)
            elif self.random.random() < 0.04:
                groups.leave("by-hand", self.id)
                self.release()
                self.id = ""
            elif not self.work(groups, reader):
                self.release()
        if self.id:
            groups.leave("by-hand", self.id)

    def release(self):
        self.history.write(self.name, "revoke", now(), partitions=[["shared", p] for p in self.positions])
        self.positions = {}

    def join_group(self, groups):
        error, generation, member, leader, members = groups.join("by-hand", self.id, session_ms=1500)
        if error:
            self.id = "" if error == UNKNOWN_MEMBER else self.id
            return
        self.id, self.generation = member.decode(), generation
        shares = [bytes(range(i, PARTITIONS, len(members))) for i in range(len(members))]
        error, mine = groups.sync("by-hand", generation, self.id, list(zip(members, shares)) if leader == member else ())
        for p in mine if error == 0 else b"":
            offset = self.committed(groups, p)
            if offset is None:
                self.positions = {}
                return
            self.positions[p] = max(offset, 0)
            self.assign("shared", p, self.positions[p], group="by-hand", generation=generation, member=self.id)

    def committed(self, groups, partition):
        def request():
            error, found = groups.offsets("by-hand")
            offset = found.get(("shared", partition), -1)
            return error, {"offset": offset}, offset
        error, offset = self.ask(groups, "fetch_offsets", request, group="by-hand", topic="shared", partition=partition)
        return None if error else offset

    def work(self, groups, reader):
        partition = self.random.choice(list(self.positions))
        if self.random.random() < 0.2:
            self.committed(groups, partition)
        _, following, _ = self.fetch(reader, "shared", partition, self.positions[partition])
        self.positions[partition] = following

        def request():
            error = groups.commit("by-hand", {"shared": {partition: following}}, self.generation, self.id)["shared", partition]
            return error, {}, None
        error, _ = self.ask(groups, "commit", request, group="by-hand", topic="shared", partition=partition, offset=following,
                            generation=self.generation, member=self.id)
        self.r.commits += error == 0
        return error in (0, *GONE_FOR_NOW)


class Libleat(threading.Thread):
    """leat-member: members of a group of libleat."""

    def __init__(self, run, number, count=1):
        super().__init__(daemon=True, name=f"libleat {number}")
        self.r, self.count = run, count
        self.process = subprocess.Popen(
            [f"{BUILD}/tests/leat-member", f"127.0.0.1:{run.leatd.port}", "libleat", "shared", str(count), "session.timeout.ms=2000",
             "heartbeat.interval.ms=100", "fetch.max.wait.ms=50", "auto.commit.interval.ms=100"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        run.threads.append(self)
        self.start()

    def run(self):
        invoke = now()
        for line in self.process.stdout:
            number, what, *rest = line.rstrip("\n").split(" ", 5)
            name = f"{self.name} {number}"
            if what == "record":
                self.r.history.write(name, "poll", invoke, topic="shared", partition=int(rest[0]), records=[[int(rest[1]), rest[3], ""]])
                self.r.done += 1
            elif what == "assigned":
                self.r.history.write(name, "assign", invoke, partitions=[["shared", int(rest[0]), None]])
            elif what in ("revoked", "lost"):
                self.r.history.write(name, "revoke", invoke, partitions=[["shared", int(rest[0])]])
            invoke = now()

    def leave(self):
        self.process.stdin.close()
        check(self.process.wait(60) == 0, f"{self.name}: it does not leave")


class Delivery(threading.Thread):
    """A producer of somebody else: its library resends by itself. deliver() begins one record, took() tells what became of it."""

    def __init__(self, run, name, partition):
        super().__init__(daemon=True, name=name)
        self.r, self.partition = run, partition
        self.window = threading.Semaphore(50)
        self.invoked = {}
        run.threads.append(self)
        self.start()

    def run(self):
        try:
            n = 0
            while not self.r.over:
                if not self.window.acquire(timeout=0.05):
                    self.idle()
                    continue
                value = value_of("shared", self.partition, self.name, n)
                n, self.invoked[value] = n + 1, now()
                self.deliver(value)
            self.finish()
            check(not self.invoked, f"{self.name}: {len(self.invoked)} records without an end")
        except BaseException as error:
            self.r.failures.append(error)

    def took(self, value, result, offset):
        self.r.history.write(self.name, "produce", self.invoked.pop(value), result, topic="shared", partition=self.partition,
                             records=[[value, ""]], offset=offset, idempotent=True)
        self.window.release()
        self.r.done += 1

    def idle(self):
        pass


class LibleatProducer(Delivery):
    def __init__(self, run, partition):
        self.process = subprocess.Popen([f"{BUILD}/tests/leat-member", f"127.0.0.1:{run.leatd.port}", "--values", "shared"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.listener = threading.Thread(target=self.listen, daemon=True)
        super().__init__(run, "libleat-producer", partition)
        self.listener.start()

    def listen(self):
        for line in self.process.stdout:
            value, code, offset = line.split()
            # What it gave up may have been stored.
            self.took(value, "ok" if code == "0" else "info", int(offset) if code == "0" and int(offset) >= 0 else None)

    def deliver(self, value):
        self.process.stdin.write(f"{self.partition} {value}\n")
        self.process.stdin.flush()

    def finish(self):
        self.process.stdin.close()
        check(self.process.wait(60) == 0, f"{self.name}: it does not end")
        self.listener.join(60)


class Librdkafka(Delivery):
    def __init__(self, run, partition):
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": f"127.0.0.1:{run.leatd.port}", "enable.idempotence": True, "linger.ms": 5, "log_level": 0,
            "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20})
        super().__init__(run, "librdkafka", partition)

    def deliver(self, value):
        self.producer.produce("shared", value.encode(), partition=self.partition, on_delivery=self.delivered)
        self.producer.poll(0)

    def delivered(self, error, message):
        self.took(message.value().decode(), "info" if error else "ok", None if error else message.offset())

    def idle(self):
        self.producer.poll(0.05)

    def finish(self):
        check(self.producer.flush(60) == 0, f"{self.name}: it does not end")


def clients(run):
    run.make_topics()
    for p in (0, 1) if confluent_kafka else (0, 1, 3):
        Producer(run, "shared", p).start()
    LibleatProducer(run, 2)
    if confluent_kafka:
        Librdkafka(run, 3)
    Producer(run, "memory", 0).start()
    Producer(run, "sized", 0, LARGE).start()
    Producer(run, "aged", 0).start()
    Producer(run, "compacted", 0, keyed=True).start()
    for topic, partition in (("shared", 0), ("shared", 2), ("shared", 3), ("memory", 0), ("sized", 0), ("aged", 0), ("compacted", 0)):
        Consumer(run, topic, partition).start()
    Refused(run, "memory").start()
    Scanner(run, "compacted", 0, False).start()
    for number in range(3):
        Member(run, number).start()


def finish(run):
    """Everything that is in doubt is settled, then all is read."""
    with run.changed:
        run.over = True
        run.changed.notify_all()
    run.join((Worker, Delivery))
    for topic in TOPICS:
        for p in range(PARTITIONS if topic == "shared" else 1):
            scanner = Scanner(run, topic, p, True)
            scanner.start()
    run.join(Worker)
    run.leatd.stop()


def one(backend, kills, seed, folder):
    path = f"{folder}/real-{backend}.jsonl"
    run = Run(backend, seed, path)
    run.start()
    clients(run)
    members = [Libleat(run, 0, 2)]
    for number in range(kills):
        run.more(run.random.randrange(800, 2500), run.random.randrange(10, 60))
        run.kill()
        run.start()
        members.append(Libleat(run, number + 1))
        if number % 2:
            members.pop(0).leave()
        else:
            members.pop(0).process.kill()
    run.more(1000, 40)
    client = Client(run.leatd.port)
    for topic in ("sized", "aged"):
        run.until("retention removes something", lambda: client.offset(topic, 0, EARLIEST) > 0)
    client.close()
    for member in members:
        member.leave()
    run.join(Libleat)
    finish(run)
    run.history.close()
    done = subprocess.run([sys.executable, f"{HERE}/check.py", "--stuck", "20", path], capture_output=True, text=True)
    print(done.stdout + done.stderr, end="")
    check(done.returncode == 0, f"{backend}: check.py ended with {done.returncode}, --seed {seed}")
    check('"result":"fail"' in Path(path).read_text(), f"{backend}: nothing was refused")
    idle = re.findall(r"(\S+) +checked +0,", done.stdout)
    check(not idle, f"{backend}: nothing was there to be checked by {idle}")
    print(f"ok: {backend}: {kills} kills, {run.done} answers")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", default=SCRATCH)
    arguments = parser.parse_args()
    print("seed", arguments.seed)
    if not confluent_kafka:
        print("confluent_kafka is not installed: librdkafka is left out")
    for io in ("uring", "epoll"):
        one(io, arguments.kills, arguments.seed, arguments.keep)


main()
