# SPDX-License-Identifier: Apache-2.0
"""Members of groups, of several clients, as groups.py wants them: Member(b, ledger, group, **more) has owned, a set,
step(), leave(), and most of them committed(), which leaves too.

A client that is not there is None in CLIENTS; java_client() says why Java's is not.
"""
import os
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path

from broker import BUILD, same
from groups import LIMIT_S, PARTITIONS

try:
    import confluent_kafka
except ImportError:
    confluent_kafka = None
try:
    import kafka
    import kafka.errors
except ImportError:
    kafka = None

HERE = Path(__file__).resolve().parent
PROGRAM = os.path.abspath(f"{BUILD}/tests/leat-member")


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


class Libleat:
    """leat-member."""

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
    """python3-confluent-kafka."""

    def __init__(self, b, ledger, group, **more):
        self.ledger, self.owned, self.revocations = ledger, set(), 0
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": b.address, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
            "session.timeout.ms": 10000, "heartbeat.interval.ms": 100, "fetch.wait.max.ms": 50,
            "reconnect.backoff.max.ms": 200, "log_level": 0, **more})
        self.consumer.subscribe([ledger.topic], on_assign=self.given, on_revoke=self.taken, on_lost=self.taken)

    def given(self, consumer, partitions):
        self.owned |= {p.partition for p in partitions}

    def taken(self, consumer, partitions):
        self.revocations += 1
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

    def committed(self):
        partitions = [confluent_kafka.TopicPartition(self.ledger.topic, p) for p in range(PARTITIONS)]
        found = self.consumer.committed(partitions, LIMIT_S)
        self.leave()
        return {t.partition: t.offset for t in found}

    def leave(self):
        self.consumer.close()


class KafkaPython:
    """python3-kafka, in a thread of its own: its poll() does not come back before a rebalance is over."""

    def __init__(self, b, ledger, group, **more):
        self.ledger, self.owned, self.uncommitted = ledger, set(), 0
        self.consumer = kafka.KafkaConsumer(bootstrap_servers=b.address, group_id=group, enable_auto_commit=False,
                                            auto_offset_reset="earliest", session_timeout_ms=10000,
                                            heartbeat_interval_ms=100, retry_backoff_ms=50, metadata_max_age_ms=1000,
                                            reconnect_backoff_max_ms=200, fetch_max_wait_ms=50, **more)
        # What subscribe() takes must be of this class, which need not be there.
        Listener = type("Listener", (kafka.ConsumerRebalanceListener,), {
            "on_partitions_assigned": lambda _, assigned: self.given(assigned),
            "on_partitions_revoked": lambda _, revoked: self.taken(revoked)})
        self.consumer.subscribe([ledger.topic], listener=Listener())
        self.leaving, self.found, self.failed = False, None, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def given(self, assigned):
        self.owned = {p.partition for p in assigned}

    def taken(self, revoked):
        self.owned = set()

    def run(self):
        try:
            while not self.leaving:
                self.consume()
            self.find()
            self.consumer.close()
        except Exception as e:
            self.failed = e

    def consume(self):
        for records in self.consumer.poll(timeout_ms=20).values():
            for m in records:
                self.ledger.take(m.value.decode())
                self.uncommitted += 1
        try:
            self.consumer.commit()
            self.uncommitted = 0
        except kafka.errors.KafkaError as e:
            print("a commit was refused:", type(e).__name__)
            self.ledger.in_doubt += self.uncommitted
            self.uncommitted = 0

    def find(self):
        self.found = {p: self.consumer.committed(kafka.TopicPartition(self.ledger.topic, p)) for p in range(PARTITIONS)}

    def step(self):
        time.sleep(0.005)
        if self.failed:
            raise self.failed

    def leave(self):
        self.leaving = True
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive(), "a member does not leave"
        self.step()

    def committed(self):
        self.leave()
        return self.found


JAVA_CLIENTS = {4: "4.0.0", 3: "3.9.1"}


def java_client(major=4):
    """The folder of the Java client's jars, fetched beside the build once, and "" or why there is none."""
    for program in ("java", "mvn"):
        if not shutil.which(program):
            return None, f"{program} is not installed"
    version = JAVA_CLIENTS[major]
    jars = Path(BUILD).resolve() / ("kafka-clients" if major == 4 else f"kafka-clients-{major}")
    if not (jars / f"kafka-clients-{version}.jar").exists():
        fetched = subprocess.run(["mvn", "-q", "-B", "-f", HERE / "java.xml", "dependency:copy-dependencies",
                                  f"-Dclients.version={version}", f"-DoutputDirectory={jars}"], capture_output=True, text=True, timeout=300)
        if fetched.returncode != 0:
            return None, "mvn cannot fetch kafka-clients: " + (fetched.stdout.strip().splitlines() or ["no reason given"])[0]
    return jars, ""


class JavaMachine:
    """One virtual machine with members of the Java client."""

    def __init__(self, jars, address):
        self.process = subprocess.Popen(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", HERE / "JavaMember.java",
                                         address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said, self.count = {}, 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            name, what, *rest = line.rstrip("\n").split(" ", 2)
            self.said[name].put((what, rest[0] if rest else ""))

    def member(self, b, ledger, group, **more):
        return Java(self, ledger, group, **more)

    def join(self, group, topic, strategy, instance):
        name = f"java-{self.count}"
        self.count += 1
        self.said[name] = queue.SimpleQueue()
        self.tell(f"join {name} {group} {topic} {strategy} {instance}")
        return name

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.process.kill()
        self.process.stdin.close()
        status = self.process.wait(LIMIT_S)
        self.reader.join(LIMIT_S)
        if kind is None:
            same(status, 0, "the virtual machine's exit status")


class Java:
    """A member in a JavaMachine."""

    STRATEGIES = {"range": "RangeAssignor", "roundrobin": "RoundRobinAssignor", "sticky": "StickyAssignor",
                  "cooperative-sticky": "CooperativeStickyAssignor"}

    def __init__(self, machine, ledger, group, **more):
        self.machine, self.ledger, self.owned, self.left, self.revocations = machine, ledger, set(), False, 0
        strategy = self.STRATEGIES[more["partition.assignment.strategy"]]
        self.name = machine.join(group, ledger.topic, f"org.apache.kafka.clients.consumer.{strategy}",
                                 more.get("group.instance.id", ""))

    def step(self):
        time.sleep(0.005)
        assert self.machine.process.poll() is None, "the virtual machine has ended"
        while not self.machine.said[self.name].empty():
            what, rest = self.machine.said[self.name].get()
            if what == "assigned":
                self.owned.add(int(rest))
            elif what == "revoked":
                self.revocations += 1
                self.owned.discard(int(rest))
            elif what == "record":
                self.ledger.take(rest)
            elif what == "refused":
                print("a commit was refused:", rest)
                self.ledger.in_doubt += 1
            else:
                assert what == "left", f"{self.name} {what} {rest}"
                self.left = True

    def leave(self):
        self.machine.tell(f"leave {self.name}")
        deadline = time.monotonic() + LIMIT_S
        while not self.left:
            assert time.monotonic() < deadline, f"{self.name} does not leave"
            self.step()
