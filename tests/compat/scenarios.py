# SPDX-License-Identifier: Apache-2.0
"""The scenarios that every client goes through, and the record of how it fared.

A client's test opens a Session and goes through SCENARIOS in any order: what the client does runs within
scenario(), what it has no means for is told to cannot(). Programs in other languages are driven: they say on lines of
standard output what Python says by these calls (Session.drive). Nobody's word is taken alone: where the broker's side
shows whether a scenario happened (codecs, producer ids, sequences, compaction), CHECKS looks there.

The record is $BUILD/compat/CLIENT.json; report.py makes docs/reference/compatibility.md from all of them.
"""
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from broker import BUILD, Broker
from cutter import Cutter
from groups import HASTE, LIMIT_S
from nodes import Nodes

SCENARIOS = {
    "topics": "A topic of three partitions appears in the metadata, and records go to the partitions that are named.",
    "keys": "Records come back with their keys; records of one key are in one partition, in their order.",
    "headers": "Headers come back in their order, with a name that is there twice and a value that is empty.",
    "codecs": "Records come back from batches of every codec that the client has; the stored batches have that codec.",
    "idempotence": "Connections are cut in place of answers to Produce: every record is stored once, in its order, under "
                   "one producer id and with sequences that leave nothing out.",
    "groups": "Members of a group come and go; the partitions are shared anew each time, nothing is lost, nothing comes "
              "twice.",
    "static members": "A member with an instance id goes and comes back to its partitions, and the other one is not "
                      "disturbed.",
    "time lookup": "Offsets are found by the times of records.",
    "pause and seek": "A paused partition gives nothing while another one does, goes on when resumed, and is read again "
                      "from where a seek says.",
    "admin": "A topic is created with a configuration, described, altered, given more partitions and deleted; groups are "
             "listed, described and deleted.",
    "compacted topic": "After compaction, the last value of each key is read, and fewer records than were written.",
}

# By the file of its record, in the order of the page: what a client is called.
CLIENTS = {
    "kcat": "kcat",
    "librdkafka": "librdkafka (C)",
    "confluent": "python3-confluent-kafka",
    "kafka-python": "python3-kafka",
    "kafkajs": "kafkajs",
    "java-4": "kafka-clients 4.x (Java)",
    "java-3": "kafka-clients 3.x (Java)",
    "franz-go": "franz-go",
}

# How many nodes the scenarios are gone through on: one, or the three of test_cluster_scenarios.py.
REPLICAS = int(os.environ.get("COMPAT_NODES", "1"))
SEEN = Path(BUILD).resolve() / ("compat" if REPLICAS == 1 else "compat-cluster")
# Small segments are closed and compacted at once; a topic that is made by producing has three partitions.
SETTINGS = [*HASTE, "num.partitions=3", "log.roll.ms=50ms", "log.cleaner.backoff.ms=50ms",
            "log.cleaner.min.cleanable.ratio=0.01"]


def write(client, seen):
    SEEN.mkdir(parents=True, exist_ok=True)
    (SEEN / f"{client}.json").write_text(json.dumps(seen, indent=1) + "\n")


def skip(client, why):
    write(client, {"skipped": why})
    print(why)
    sys.exit(77)


def check_topics(s, _):
    counts = [sum(count for _, _, count in s.broker.batches("topics", p)) for p in range(3)]
    assert counts == [10, 10, 10], f"the partitions hold {counts}"


def check_codecs(s, names):
    """The program names the codecs."""
    names = names.split()
    assert "none" in names and "gzip" in names, f"codecs {names}"
    for name in names:
        stored = s.broker.codecs(f"codec-{name}")
        assert stored == {name}, f"codec-{name} holds batches of {stored}"
    return ", ".join(names)


def check_idempotence(s, _):
    assert s.cutter.cuts > 0, "no connection was cut"
    batches = s.cut_broker.producers("idempotence")
    assert len({producer for producer, _, _ in batches}) == 1 and batches[0][0] >= 0, f"producers: {batches}"
    following = 0
    for _, sequence, count in batches:
        assert sequence == following, f"sequence {sequence} where {following} was next: {batches}"
        following += count
    assert following == 200, f"{following} records are stored, 200 were sent"


def check_compaction(s, _):
    assert s.compacted, "the program did not wait for compaction"


CHECKS = {"topics": check_topics, "codecs": check_codecs, "idempotence": check_idempotence,
          "compacted topic": check_compaction}


class Session:
    """with Session(client) as s: s.address, a broker or three, and s.cut_address, a broker whose connections are cut."""

    def __init__(self, client, version=None):
        assert client in CLIENTS
        self.client, self.version, self.results, self.compacted = client, version, {}, False

    def __enter__(self):
        (SEEN / f"{self.client}.json").unlink(missing_ok=True)  # an earlier run says nothing of this one
        with contextlib.ExitStack() as stack:
            self.broker = stack.enter_context(Broker(*SETTINGS, shards=2) if REPLICAS == 1 else Nodes(*SETTINGS))
            self.cutter = stack.enter_context(Cutter())
            self.cut_broker = stack.enter_context(Broker("num.partitions=1", advertised=self.cutter.port))
            self.cutter.forward(self.cut_broker.port)
            self.address, self.cut_address = self.broker.address, f"127.0.0.1:{self.cutter.port}"
            self.stack = stack.pop_all()
        return self

    def __exit__(self, kind, value, trace):
        write(self.client, {"version": self.version, "scenarios": self.results})
        self.stack.__exit__(kind, value, trace)
        if kind is None:
            untold = [name for name in SCENARIOS if name not in self.results]
            assert not untold, f"nothing was told of {untold}"
            assert self.version, "the client's version was not told"

    @contextlib.contextmanager
    def scenario(self, name, note=""):
        """Gives a list; what is put into it are notes for the page, or the names of codecs."""
        self.begin(name)
        notes = [note] if note else []
        yield notes
        self.end(name, "; ".join(notes))

    def begin(self, name):
        assert name in SCENARIOS and name not in self.results, name
        self.results[name] = {"result": "failed", "note": ""}

    def end(self, name, note=""):
        assert self.results[name]["result"] == "failed", name
        if name in CHECKS:
            note = CHECKS[name](self, note) or note
        self.results[name] = {"result": "passed", "note": note}
        print(f"ok: {name}" + (f" ({note})" if note else ""), flush=True)

    def cannot(self, name, why):
        self.begin(name)
        self.results[name] = {"result": "cannot", "note": why}
        print(f"{name}: {why}", flush=True)

    def wait_compacted(self, topic, most):
        """Until a topic of one partition holds at most so many records. The segment that is written is never compacted
        and closed by an append alone: there are more, of a key of their own."""
        deadline = time.monotonic() + LIMIT_S
        while (left := sum(count for _, _, count in self.broker.batches(topic))) > most:
            assert time.monotonic() < deadline, f"{topic} holds {left} records, wanted {most}\n{self.broker.said()[-2000:]}"
            subprocess.run([f"{BUILD}/bin/leat", "-b", self.address, "produce", topic, "-k", "more"], input="more\n", text=True,
                           check=True, timeout=LIMIT_S, capture_output=True)
            time.sleep(0.05)
        self.compacted = True

    def drive(self, command, **more):
        """A program that says `version V`, `begin S`, `end S: NOTE`, `cannot S: WHY`, and `compacted TOPIC MOST`, which
        is answered with an empty line once it is true. It ends with 0."""
        process = subprocess.Popen([*command, self.address, self.cut_address], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, **more)
        with process:
            try:
                for line in process.stdout:
                    self.take(process, line.rstrip("\n"))
            except BaseException:
                process.kill()
                raise
        assert process.returncode == 0, f"the program ended with {process.returncode}"

    def take(self, process, line):
        what, _, rest = line.partition(" ")
        name, _, note = rest.partition(": ")
        if what == "version":
            self.version = rest
        elif what == "begin":
            self.begin(name)
        elif what == "end":
            self.end(name, note)
        elif what == "cannot":
            self.cannot(name, note)
        elif what == "compacted":
            topic, most = rest.split()
            self.wait_compacted(topic, int(most))
            process.stdin.write("\n")
            process.stdin.flush()
        else:
            print(line, flush=True)
