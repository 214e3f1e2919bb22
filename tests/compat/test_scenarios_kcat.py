#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kcat goes through the scenarios: its command lines, and `kcat -G` as members of groups."""
import re
import shutil
import subprocess
import time

from broker import BUILD, CODECS, same
from groups import LIMIT_S, until
from scenarios import Session, skip
from sharing import check_groups, check_instances

if not shutil.which("kcat"):
    skip("kcat", "kcat is not installed")


def kcat(address, *arguments, text=None):
    done = subprocess.run(["kcat", "-b", address, *arguments], input=text, capture_output=True, text=True,
                          timeout=LIMIT_S)
    assert done.returncode == 0, f"kcat {arguments}: {done.returncode} {done.stderr}"
    return done.stdout


def lines(values):
    return "".join(f"{v}\n" for v in values)


def read(address, topic, form, *more):
    return kcat(address, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-X", "fetch.wait.max.ms=50", "-f", form + "\n",
                *more).splitlines()


class Member:
    """kcat -G. It says on standard error what it was given, and commits when it leaves or a partition is taken."""

    count = 0

    def __init__(self, b, ledger, group, **more):
        self.ledger, self.owned, self.revocations = ledger, set(), 0
        Member.count += 1
        names = [f"{b.scratch.name}/kcat-{Member.count}-{what}" for what in ("records", "says")]
        self.written, self.read = [open(name, "w") for name in names], [open(name) for name in names]
        self.rest = ["", ""]  # kcat writes a line in pieces
        settings = {"auto.offset.reset": "earliest", "auto.commit.interval.ms": 20, "heartbeat.interval.ms": 100,
                    "session.timeout.ms": 10000, "fetch.wait.max.ms": 50, **more}
        command = ["kcat", "-b", b.address, "-G", group, "-u", "-f", "%s\n"]
        for setting in settings.items():
            command += ["-X", "{}={}".format(*setting)]
        self.process = subprocess.Popen([*command, ledger.topic], stdout=self.written[0], stderr=self.written[1])

    def lines(self, n):
        *whole, self.rest[n] = (self.rest[n] + self.read[n].read()).split("\n")
        return whole

    def step(self):
        time.sleep(0.005)
        for value in self.lines(0):
            self.ledger.take(value)
        for line in self.lines(1):
            news = re.search(r"rebalanced .*: (assigned|revoked): *(.*)", line)
            if not news:
                continue
            partitions = {int(p) for p in re.findall(r"\[(\d+)\]", news.group(2))}
            if news.group(1) == "assigned":
                self.owned |= partitions
            else:
                self.revocations += 1
                self.owned -= partitions

    def leave(self):
        self.process.terminate()
        same(self.process.wait(LIMIT_S), 0, "kcat leaves")
        self.step()
        for f in self.written + self.read:
            f.close()


def topics(s):
    for p in range(3):
        kcat(s.address, "-P", "-t", "topics", "-p", str(p), text=lines(range(p, 30, 3)))
    until("it lists the topic", lambda: 'topic "topics" with 3 partitions' in kcat(s.address, "-L", "-t", "topics"))
    for line in read(s.address, "topics", "%p %o %s"):
        p, offset, value = map(int, line.split())
        assert value == offset * 3 + p, "a record is where it does not belong"


def keys(s):
    kcat(s.address, "-P", "-t", "keys", "-K:", text=lines(f"k{i % 7}:{i}" for i in range(70)))
    got = [line.split() for line in read(s.address, "keys", "%p %k %s")]
    for k in range(7):
        mine = [(p, int(value)) for p, key, value in got if key == f"k{k}"]
        same([value for _, value in mine], list(range(k, 70, 7)), f"the records of key {k}")
        same(len({p for p, _ in mine}), 1, "they are in one partition")


def headers(s):
    kcat(s.address, "-P", "-t", "headers", "-H", "a=1", "-H", "b=", "-H", "a=2", text="v\n")
    same(read(s.address, "headers", "%s %h"), ["v a=1,b=,a=2"], "the headers")


def codecs(s, notes):
    for codec in CODECS:
        values = [f"value {i} " * 20 for i in range(100)]
        kcat(s.address, "-P", "-t", f"codec-{codec}", "-p", "0", "-z", codec, "-X", "linger.ms=100", text=lines(values))
        same(read(s.address, f"codec-{codec}", "%s"), values, f"{codec} comes back")
    notes.append(" ".join(CODECS))


def idempotence(s):
    # It gives up when no connection is left: there is one that is never cut, by an address that no metadata names.
    kcat(f"{s.cut_address},{s.cut_broker.address}", "-P", "-t", "idempotence", "-X", "enable.idempotence=true", "-X", "batch.num.messages=10", "-X",
         "reconnect.backoff.max.ms=100", "-X", "retry.backoff.ms=20", text=lines(range(200)))
    same(list(map(int, read(s.cut_address, "idempotence", "%s"))), list(range(200)), "each record once, in order")


def times(s):
    seen = []
    for n in range(3):
        kcat(s.address, "-P", "-t", "times", "-p", "0", text=lines([n]))
        seen = list(map(int, read(s.address, "times", "%T", "-p", "0")))
        while time.time() * 1000 <= seen[-1] + 1:
            time.sleep(0.001)
    for at, wanted in ((seen[0], 0), (seen[1], 1), (seen[1] + 1, 2), (seen[2] + 1, -1)):
        same(kcat(s.address, "-Q", "-t", f"times:0:{at}"), f"times [0] offset {wanted}\n", f"the first record after {at}")


def compacted(s):
    subprocess.run([f"{BUILD}/bin/leat", "-b", s.address, "topic", "create", "compacted", "-p", "1", "-c",
                    "cleanup.policy=compact"], check=True, timeout=LIMIT_S, capture_output=True)
    for n in range(5):
        kcat(s.address, "-P", "-t", "compacted", "-K:", text=lines(f"{k}:{n}" for k in range(20)))
    s.wait_compacted("compacted", 50)
    got = [line.split() for line in read(s.address, "compacted", "%k %s")]
    assert len(got) <= 50, f"{len(got)} records of 100 came"
    same({key: value for key, value in got if key != "more"}, {str(k): "4" for k in range(20)}, "the last values")


said = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
version = " with librdkafka ".join((re.search(r"Version ([\d.]+)", said)[1], re.search(r"librdkafka ([\d.]+)", said)[1]))
with Session("kcat", version) as s:
    for name, run in (("topics", topics), ("keys", keys), ("headers", headers), ("idempotence", idempotence),
                      ("time lookup", times)):
        with s.scenario(name):
            run(s)
    with s.scenario("codecs") as notes:
        codecs(s, notes)
    with s.scenario("compacted topic", "it cannot create a compacted topic: another tool did"):
        compacted(s)
    with s.scenario("groups"):
        check_groups(s, Member)
    with s.scenario("static members"):
        check_instances(s, Member)
    s.cannot("pause and seek", "it does not pause, and begins once, where -o says")
    s.cannot("admin", "it has no admin calls")
