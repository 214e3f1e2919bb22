#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Groups of python3-confluent-kafka and kcat -G (librdkafka): sharing, leaving, dying, a broker that is killed."""
import os
import shutil
import signal
import subprocess
import sys

from broker import same, skip
from groups import LIMIT_S, PARTITIONS, Ledger, all_step, check_sharing, group_broker, kcat_publish, make_topic, shared, until
from members import Librdkafka

try:
    from confluent_kafka.admin import AdminClient
except ImportError:
    skip("python3-confluent-kafka is not installed")
if not shutil.which("kcat"):
    skip("kcat is not installed")

def check_killed(b):
    """A member that is killed says nothing: the others have its partitions after its session."""
    ledger = Ledger("killed", PARTITIONS)
    make_topic(b, ledger)
    kcat_publish(b, ledger, 5)
    survivor = Librdkafka(b, ledger, "killed")
    until("the first has all", lambda: shared([survivor]), survivor.step)
    victim = subprocess.Popen([sys.executable, __file__, b.address], stdout=subprocess.PIPE, text=True)
    until("both share", lambda: 0 < len(survivor.owned) < PARTITIONS, survivor.step)
    same(victim.stdout.readline(), "joined\n", "the second member has its share")
    victim.send_signal(signal.SIGKILL)
    victim.wait(LIMIT_S)
    kcat_publish(b, ledger, 5)
    until("the survivor has all", lambda: shared([survivor]), survivor.step)
    until("everything has come", lambda: not ledger.missing(), survivor.step)
    ledger.check("a member is killed")
    survivor.leave()


def victim(address):
    """Consumes nothing, so that nothing of its is in doubt."""
    class Address:
        pass
    Address.address = address
    m = Librdkafka(Address, Ledger("killed", PARTITIONS), "killed", **{"session.timeout.ms": 500})
    until("an assignment", lambda: m.owned, lambda: m.consumer.poll(0.01) and None)
    print("joined", flush=True)
    signal.pause()


def check_instances(b):
    """A static member that comes back within its session has what it had, and nobody else notices."""
    ledger = Ledger("static", PARTITIONS)
    make_topic(b, ledger)
    kcat_publish(b, ledger, 5)
    one, two = (Librdkafka(b, ledger, "static", **{"group.instance.id": name})
                for name in ("one", "two"))
    until("two instances share", lambda: shared([one, two]), all_step([one, two]))
    until("everything has come", lambda: not ledger.missing(), all_step([one, two]))
    owned, revoked = set(two.owned), one.revocations
    two.leave()
    two = Librdkafka(b, ledger, "static", **{"group.instance.id": "two"})
    until("it is back", lambda: two.owned, all_step([one, two]))
    same((two.owned, one.revocations), (owned, revoked), "an instance comes back to its partitions without a rebalance")
    kcat_publish(b, ledger, 5)
    until("everything has come", lambda: not ledger.missing(), all_step([one, two]))
    ledger.check("static members")
    thief = Librdkafka(b, ledger, "static", **{"group.instance.id": "two"})
    fenced = []

    def step():
        one.step()
        thief.step()
        m = two.consumer.poll(0.02)
        fenced.extend([m.error().name()] if m is not None and m.error() else [])
    until("the former holder is fenced", lambda: fenced and thief.owned, step)
    same(fenced[0], "_FATAL", "another process under the same name fences the first")
    one.leave()
    thief.leave()


def check_kcat(b):
    ledger = Ledger("kcat-g", 4)
    make_topic(b, ledger)
    kcat_publish(b, ledger, 25)
    # A file for each: kcat writes a line in pieces.
    lines = [open(os.path.join(b.scratch.name, f"kcat-{n}"), "w+") for n in range(2)]
    commands = [subprocess.Popen(["kcat", "-b", b.address, "-G", "kcats", "-q", "-u", "-f", "%s\n", "-X",
                                  "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=20", "-X",
                                  "session.timeout.ms=6000", "kcat-g"], stdout=out, stderr=subprocess.DEVNULL)
                for out in lines]

    def read():
        ledger.consumed = {}
        for out in lines:
            with open(out.name) as f:
                for line in f.read().split():
                    ledger.take(line)
        return not ledger.missing()
    until("kcats consume", read)
    kcat_publish(b, ledger, 25)
    until("kcats go on", read)
    commands[0].terminate()
    same(commands[0].wait(LIMIT_S), 0, "kcat leaves")
    kcat_publish(b, ledger, 25)
    until("the other kcat goes on", read)
    commands[1].terminate()
    same(commands[1].wait(LIMIT_S), 0, "the last kcat leaves")
    done = subprocess.run(["kcat", "-b", b.address, "-G", "kcats", "-e", "-q", "-f", "%s\n", "-X",
                           "auto.offset.reset=earliest", "kcat-g"], capture_output=True, text=True, timeout=LIMIT_S)
    same((done.returncode, done.stdout), (0, ""), "there is nothing that was not committed")
    # The first of them may have begun before the second one came.
    ledger.check("kcat -G", doubled_most=len(ledger.published) // 4)
    for out in lines:
        out.close()


def check_admin(b):
    admin = AdminClient({"bootstrap.servers": b.address})
    groups = {g.id: g for g in admin.list_groups(timeout=LIMIT_S)}
    same((groups["static"].state, groups["static"].protocol_type), ("Stable", "consumer"), "list_groups")
    same(len(groups["static"].members), 2, "it tells the members")


if len(sys.argv) > 1:
    victim(sys.argv[1])
for shards, strategy in ((1, "range"), (3, "cooperative-sticky")):
    with group_broker(shards) as broker:
        check_sharing(broker, Librdkafka, strategy, **{"partition.assignment.strategy": strategy})
        check_killed(broker)
        check_instances(broker)
        check_admin(broker)
        check_kcat(broker)
