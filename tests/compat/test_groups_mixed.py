#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Groups in which members of libleat and of one other client share partitions, by each strategy that both have.

Who joins an empty group leads it, for as long as he stays. So each group is led by libleat first, with members of the other
client, and then by the other client, with members of libleat. Whoever leads: each partition has one owner, all records come
once, and by the sticky strategies nobody loses a partition because another one goes.
"""
import time

from broker import skip
from groups import PARTITIONS, Ledger, all_step, group_broker, kcat_publish, make_topic, shared, until
from members import JavaMachine, KafkaPython, Libleat, Librdkafka, confluent_kafka, java_client, kafka

STRATEGIES = ["range", "roundrobin", "sticky", "cooperative-sticky"]


def kafka_python(b, ledger, group, **more):
    from kafka.coordinator.assignors import range as ranges, roundrobin
    assignors = {"range": ranges.RangePartitionAssignor, "roundrobin": roundrobin.RoundRobinPartitionAssignor}
    return KafkaPython(b, ledger, group, max_poll_records=1,
                       partition_assignment_strategy=[assignors[more["partition.assignment.strategy"]]])


class Group:
    """Members of one group, and what they read."""

    def __init__(self, b, name, strategy):
        self.b, self.name, self.members = b, name, []
        self.sticky = strategy in ("sticky", "cooperative-sticky")
        self.more = {"partition.assignment.strategy": strategy}
        self.ledger = Ledger(name, PARTITIONS)
        make_topic(b, self.ledger)
        kcat_publish(b, self.ledger, 3)

    def settle(self, what):
        until(f"{self.name}: {what}", lambda: shared(self.members), all_step(self.members))

    def join(self, kind):
        self.members.append(kind(self.b, self.ledger, self.name, **self.more))
        self.settle(f"{len(self.members)} members share")

    def leave(self, index):
        gone = self.members.pop(index)
        before = [set(m.owned) for m in self.members]
        gone.leave()
        self.settle(f"{len(self.members)} members share after one has left")
        for m, owned in zip(self.members, before):
            assert not self.sticky or owned <= m.owned, f"{self.name}: {owned} became {m.owned}"
        kcat_publish(self.b, self.ledger, 1)
        self.read()

    def read(self):
        until(f"{self.name}: everything has come", lambda: not self.ledger.missing(), all_step(self.members))


def check_group(b, client, other, strategy):
    began = time.monotonic()
    g = Group(b, f"{client}-{strategy}", strategy)
    g.join(Libleat)
    g.join(other)
    g.join(other)
    g.leave(1)
    g.leave(0)  # from now on the other leads
    g.join(Libleat)
    g.join(Libleat)
    g.leave(1)
    g.leave(0)
    g.read()
    g.members.pop().leave()
    g.ledger.check(f"{strategy}: libleat and {client}")
    print(f"{client}, {strategy}: {time.monotonic() - began:.1f} s")


def check_client(b, client, other, strategies):
    for strategy in strategies:
        check_group(b, client, other, strategy)


def check_clients(b):
    """All clients that are there, in turn."""
    jars, why = java_client()
    if jars:
        with JavaMachine(jars, b.address) as machine:
            check_client(b, "java", machine.member, STRATEGIES)
    else:
        print(f"without the Java client: {why}")
    if confluent_kafka:
        check_client(b, "librdkafka", Librdkafka, [s for s in STRATEGIES if s != "sticky"])
    else:
        print("without librdkafka: python3-confluent-kafka is not installed")
    if kafka:
        # Its sticky assignor fails in itself when it joins a second time.
        check_client(b, "kafka-python", kafka_python, ["range", "roundrobin"])
    else:
        print("without kafka-python: python3-kafka is not installed")


if __name__ == "__main__":
    if not confluent_kafka and not kafka and not java_client()[0]:
        skip("no other client is there: " + java_client()[1])
    with group_broker(2) as broker:
        check_clients(broker)
