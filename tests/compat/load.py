# SPDX-License-Identifier: Apache-2.0
"""Clients under load while nodes come and go, and what each of them may say meanwhile.

A program of a client is run with BROKERS TOPIC GROUP. It publishes each line `PARTITION VALUE` that it reads, acks=all and
idempotent if it can, and meanwhile consumes the topic as the only member of the group, which commits what it has taken
before it asks for more. When its input ends it waits for its acknowledgements, leaves and ends with 0. It says on lines:

    version V
    acked VALUE OFFSET          failed VALUE WHY
    assigned PARTITION          revoked PARTITION
    record PARTITION OFFSET VALUE
    committed PARTITION OFFSET  refused WHY: a commit that may be tried again
    error WHY                   anything else that its library leaves to it

kcat, leat and leat-member say and take other lines: classes below translate. Each client has a topic and a group of its own
name. What it is given and says goes into a history (tests/history) as well; what a history cannot tell is checked here.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from broker import BUILD
from franz import built
from kafkajs import kafkajs
from members import confluent_kafka, java_client, kafka

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "fault"), str(HERE.parent / "history")]
from check import check as check_history, report  # noqa: E402
from recorder import History, now, value_of  # noqa: E402

PARTITIONS = 3
WINDOW = 50     # records of a partition that a client has not settled yet
LIMIT_S = 60    # for a program to end
PADDING = "x" * 40

# What a commit is refused with while a coordinator goes, comes, or is looked for, by all the names that clients have for it.
REFUSALS = ("notcoordinator", "coordinatornotavailable", "loadinprogress", "rebalanceinprogress", "illegalgeneration",
            "unknownmemberid", "commitfailed", "timeout", "timedout", "connect", "transport", "networkexception", "waitcoord",
            "brokernotfound", "groupwasnotinitialized")  # the last: kafkajs between one life and the next


def plain(why):
    return re.sub("[^a-z]", "", why.lower())


class Load:
    """One client: what it was given, what it said."""

    idempotent = True
    tells_acks = True  # each, when it comes

    def __init__(self, name, cluster, folder):
        self.name = self.topic = self.group = name
        self.brokers, self.folder = cluster.brokers, folder
        self.history = History(f"{folder}/{name}.history")
        self.changed = threading.Condition()
        self.version, self.problems, self.refused, self.again, self.said = "", [], {}, 0, []
        self.sent = [[] for _ in range(PARTITIONS)]    # values in their order
        self.acked = [0] * PARTITIONS
        self.waiting = {}                              # value: (partition, when it was handed over)
        self.seen = [[] for _ in range(PARTITIONS)]    # values by their offsets
        self.position = [None] * PARTITIONS            # the next offset of this assignment; None: it has read nothing yet
        self.committed = [0] * PARTITIONS
        self.owned = set()
        self.processes, self.readers, self.ending = [], [], set()
        self.start()

    # --- processes ----------------------------------------------------------------------------

    def run(self, command, take=None, both=False, **more):
        errors = open(f"{self.folder}/{self.name}.said", "a")
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.STDOUT if both else errors, **more)
        errors.close()
        reader = threading.Thread(target=self.read, args=(process, take or self.take), daemon=True)
        self.processes.append(process)
        self.readers.append(reader)
        reader.start()
        return process

    def read(self, process, take):
        for line in process.stdout:
            with self.changed:
                try:
                    take(line.rstrip("\n"))
                except Exception as e:  # whatever it was, the line is to be seen
                    self.problem(f"{line.strip():.300}: {e!r}")
                self.changed.notify_all()

    def kill(self):
        for process in self.processes:
            process.kill()

    def alive(self):
        return all(process in self.ending or process.poll() is None for process in self.processes)

    def problem(self, what):
        if len(self.problems) < 5:
            self.problems.append(what)

    def require(self, holds, what):
        if not holds:
            self.problem(what)

    def give(self, process, line):
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        except OSError:
            self.problem(f"a program has ended with {process.poll()}")

    def ends(self, process, by=None, wanted=0):
        """It is told that there is no more; what it then ends with is its verdict."""
        self.ending.add(process)
        if by:
            process.send_signal(by)
        try:
            process.stdin.close()
        except OSError:
            pass  # its end tells
        try:
            status = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = f"nothing within {LIMIT_S} s"
        self.readers[self.processes.index(process)].join(LIMIT_S)
        self.require(status == wanted, f"a program ended with {status}")

    # --- the producer -------------------------------------------------------------------------

    def settled(self, partition):
        return self.acked[partition]

    def feed(self):
        """One more record for each partition that is not behind."""
        for p in range(PARTITIONS):
            if len(self.sent[p]) - self.settled(p) < WINDOW and not self.problems:
                value = value_of(self.topic, p, self.name, len(self.sent[p]), padding=PADDING)
                with self.changed:
                    self.sent[p].append(value)
                    self.waiting[value] = p, now()
                self.send(p, value)

    def settle(self, value, result, offset=None):
        p, invoke = self.waiting.pop(value)
        self.acked[p] += result == "ok"
        self.history.write(f"{self.name}-produces", "produce", invoke, result, topic=self.topic, partition=p,
                           records=[[value, None]], offset=offset, idempotent=self.idempotent)

    def progress(self):
        """Of each partition: what is acknowledged, if that is told, and what was read."""
        return [len(seen) for seen in self.seen] + (self.acked if self.tells_acks else [])

    def caught_up(self):
        return not self.waiting and all(set(sent) <= set(seen) for sent, seen in zip(self.sent, self.seen))

    # --- what it says -------------------------------------------------------------------------

    def take(self, line):
        what, _, rest = line.partition(" ")
        getattr(self, f"take_{what}")(rest)

    def take_version(self, version):
        self.version = version

    def take_acked(self, rest):
        value, offset = rest.split(" ")
        self.settle(value, "ok", int(offset))

    def take_failed(self, rest):
        self.settle(rest.split(" ")[0], "info")
        self.problem(f"failed to publish {rest:.300}")

    def take_assigned(self, rest):
        p = int(rest)
        self.position[p] = None
        self.owned.add(p)
        self.tell("assign", partitions=[[self.topic, p, None]])

    def take_revoked(self, rest):
        p = int(rest)
        self.owned.discard(p)
        self.tell("revoke", partitions=[[self.topic, p]])

    def take_record(self, rest):
        p, offset, value = rest.split(" ")
        p, offset = int(p), int(offset)
        seen, position = self.seen[p], self.position[p]
        self.require(p in self.owned, f"it reads {p}, which it does not own")
        if position is None:
            self.require(self.committed[p] <= offset <= len(seen),
                         f"{p}: it begins anew at {offset}; it had read to {len(seen)} and committed {self.committed[p]}")
        else:
            self.require(offset == position, f"{p}: it reads {offset} where {position} was next")
        self.position[p] = offset + 1
        if offset == len(seen):
            seen.append(value)
        else:
            self.again += 1
            self.require(offset < len(seen) and seen[offset] == value, f"{p}: it reads another record at {offset}")
        self.tell("poll", topic=self.topic, partition=p, records=[[offset, value, None]])

    def take_committed(self, rest):
        p, offset = map(int, rest.split(" "))
        self.committed[p] = max(self.committed[p], offset)

    def take_refused(self, why):
        word = next((r for r in REFUSALS if r in plain(why)), None)
        self.require(word, f"a commit was refused: {why}")
        self.refused[word] = self.refused.get(word, 0) + 1

    def take_error(self, why):
        self.problem(f"error {why}")

    def tell(self, op, **more):
        self.history.write(f"{self.name}-consumes", op, now(), **more)

    # --- in the end ---------------------------------------------------------------------------

    def judge(self, log, committed):
        """`log`: the values of each partition by their offsets, which its history has as well; `committed`: by partition."""
        self.history.close()
        for p in range(PARTITIONS):
            first = list(dict.fromkeys(log[p]))
            self.require(self.seen[p] == log[p], f"{p}: it read {len(self.seen[p])} records of {len(log[p])}, or others")
            self.require(first == self.sent[p], f"{p}: {len(first)} records are there, {len(self.sent[p])} were sent, or in another order")
            self.require(committed.get(p) == len(log[p]), f"{p}: {committed.get(p)} is committed, the log ends at {len(log[p])}")
        # How long things took has been watched from outside; of some, acknowledgements are told at the end alone.
        history = check_history(self.history.file.name, 10000)
        if any(history.violations.values()):
            report(history)
            self.problem("its history has what may not have happened")

    def told(self):
        sent, log = sum(map(len, self.sent)), sum(map(len, self.seen))
        refused = ", ".join(f"{n} {word}" for word, n in self.refused.items()) or "none"
        return f"{sent} records, {log - sent} twice; {self.again} read again, commits refused: {refused}"


class Program(Load):
    """One that speaks as is told above."""

    def __init__(self, name, cluster, folder, command, idempotent=True, **more):
        self.command, self.more, self.idempotent = command, more, idempotent
        super().__init__(name, cluster, folder)

    def start(self):
        self.process = self.run([*self.command, self.brokers, self.topic, self.group], **self.more)

    def send(self, partition, value):
        self.give(self.process, f"{partition} {value}")

    def publish_end(self):
        pass  # it ends with its consumer

    def end(self):
        self.ends(self.process)


class CommandLine(Load):
    """kcat, and leat as itself: a producer for each partition, which tells by its exit status that all of it is there."""

    tells_acks = False

    def __init__(self, name, cluster, folder, produce, consume, interrupted):
        """`interrupted`: the exit status of a consumer that SIGTERM ends."""
        self.produce, self.consume, self.interrupted = produce, consume, interrupted
        super().__init__(name, cluster, folder)

    def start(self):
        def words(command, partition=""):
            return [w.format(brokers=self.brokers, topic=self.topic, group=self.group, partition=partition) for w in command]
        self.producers = [self.run(words(self.produce, p), lambda _: None) for p in range(PARTITIONS)]
        self.consumer = self.run(words(self.consume), self.translate, both=True)

    def settled(self, partition):
        return len(self.seen[partition])

    def send(self, partition, value):
        self.give(self.producers[partition], value)

    def translate(self, line):
        if line.startswith("record "):
            return self.take(line)
        news = re.search(r"rebalanced .*: (assigned|revoked): *(.*)", line)
        if news:
            for p in re.findall(r"\[(\d+)\]", news[2]):
                self.take(f"{news[1]} {p}")
            return None
        news = re.search(r"group \S+: (assigned|revoked|lost): \S+-(\d+)$", line)
        if news:
            return self.take(f"{'assigned' if news[1] == 'assigned' else 'revoked'} {news[2]}")
        self.said = [*self.said[-4:], line]  # told when it ends before its time
        return None

    def publish_end(self):
        for process in self.producers:
            self.ends(process)
        with self.changed:
            for value in list(self.waiting):
                self.settle(value, "info" if self.problems else "ok")

    def end(self):
        self.ends(self.consumer, signal.SIGTERM, self.interrupted)


class Members(Load):
    """libleat: two leat-members."""

    def start(self):
        program = f"{BUILD}/tests/leat-member"
        self.producer = self.run([program, self.brokers, "--values", self.topic], self.translate_report)
        self.consumer = self.run([program, self.brokers, self.group, self.topic, 1, "enable.auto.commit=false"], self.translate)

    def send(self, partition, value):
        self.give(self.producer, f"{partition} {value}")

    def translate_report(self, line):
        value, code, offset = line.split(" ")
        self.take(f"acked {value} {offset}" if code == "0" else f"failed {value} {code}")

    def translate(self, line):
        what, rest = line.split(" ", 2)[1:]
        if what in ("assigned", "revoked", "lost"):
            self.take(f"{'assigned' if what == 'assigned' else 'revoked'} {rest}")
        elif what == "record":
            p, offset, _, value = rest.split(" ")
            self.take(f"record {p} {offset} {value}")
        elif what in ("refused", "error"):
            self.take(f"{what} {rest}")
        elif what == "closed":
            self.require(rest.split(" ")[0] == "0", f"closing: {rest}")

    def publish_end(self):
        self.ends(self.producer)

    def end(self):
        self.ends(self.consumer)


# --- who there is ---------------------------------------------------------------------------------

# Without -E kcat ends when it has lost every connection once, which is so when the last node is restarted: librdkafka opens
# no new one to a node that it wants nothing of.
KCAT = (["kcat", "-b", "{brokers}", "-E", "-P", "-t", "{topic}", "-p", "{partition}", "-X", "acks=all", "-X", "enable.idempotence=true"],
        ["kcat", "-b", "{brokers}", "-E", "-G", "{group}", "-u", "-X", "auto.offset.reset=earliest", "-X", "log_level=0",
         "-f", "record %p %o %s\n", "{topic}"])
LEAT = ([f"{BUILD}/bin/leat", "-b", "{brokers}", "produce", "{topic}", "-p", "{partition}", "--acks", "all"],
        [f"{BUILD}/bin/leat", "-b", "{brokers}", "-v", "consume", "{topic}", "-g", "{group}", "-o", "beginning", "-u",
         "-f", "record %p %o %s\n"])


def java(major):
    jars, why = java_client(major)
    return jars and ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", HERE / "Load.java"], why


def loads(cluster, folder, wanted=()):
    """Starts every client that can be had, or those that are wanted; [Load], and {name: why} of the others."""
    started, missing = [], {}

    def start(name, there, why, kind, *arguments, **more):
        if wanted and name not in wanted:
            missing[name] = "it is not wanted"
        elif there:
            cluster.does("topic", "create", name, "-p", str(PARTITIONS), "-r", "3")
            started.append(kind(name, cluster, folder, *arguments, **more))
        else:
            missing[name] = why
    start("leat", True, "", CommandLine, *LEAT, 130)
    start("libleat", True, "", Members)
    start("kcat", shutil.which("kcat"), "kcat is not installed", CommandLine, *KCAT, 0)
    program = f"{BUILD}/tests/compat-load"
    start("librdkafka", os.path.exists(program), "librdkafka's headers are not installed", Program, [program])
    start("confluent", confluent_kafka, "python3-confluent-kafka is not installed", Program, [sys.executable, HERE / "load_confluent.py"])
    start("kafka-python", kafka, "python3-kafka is not installed", Program, [sys.executable, HERE / "load_kafka_python.py"],
          idempotent=False)
    modules, why = kafkajs()
    start("kafkajs", modules, why, Program, ["node", HERE / "load.js"],
          env={**os.environ, "NODE_PATH": f"{modules}/node_modules", "KAFKAJS_NO_PARTITIONER_WARNING": "1"})
    for major in (4, 3):
        command, why = java(major)
        start(f"java-{major}", command, why, Program, command)
    program, why = built("load", "load.go")
    start("franz-go", program, why, Program, [program])
    return started, missing
