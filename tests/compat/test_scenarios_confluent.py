#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-confluent-kafka goes through the scenarios."""
import time

from broker import CODECS, same
from groups import LIMIT_S, Ledger, until
from members import Librdkafka, confluent_kafka
from scenarios import Session, skip
from sharing import check_groups, check_instances

if confluent_kafka is None:
    skip("confluent", "python3-confluent-kafka is not installed")

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic


def create(s, *topics, partitions=1, **config):
    for future in s.admin.create_topics([NewTopic(t, partitions, -1, config=config) for t in topics]).values():
        future.result(LIMIT_S)


def await_partitions(s, topic, count):
    """Until the node that is asked knows it; 0: that there is no such topic."""
    def there():
        found = s.admin.list_topics(timeout=LIMIT_S).topics.get(topic)
        return (len(found.partitions) if found else 0) == count
    until(f"{topic} has {count} partitions", there)


def publish(address, topic, records, **settings):
    """Each record is a dictionary of what produce() takes."""
    failures = []
    p = Producer({"bootstrap.servers": address, "log_level": 0, **settings})
    for n, record in enumerate(records):
        p.produce(topic, on_delivery=lambda error, message: error and failures.append(error), **record)
        if n % 10 == 9 and "linger.ms" not in settings:
            assert p.flush(LIMIT_S) == 0
    assert p.flush(LIMIT_S) == 0
    assert not failures, failures


def consumer(address, topic, partitions=1):
    c = Consumer({"bootstrap.servers": address, "group.id": "none", "enable.auto.commit": False, "log_level": 0,
                  "auto.offset.reset": "earliest", "fetch.wait.max.ms": 50, "enable.partition.eof": True})
    c.assign([TopicPartition(topic, n, 0) for n in range(partitions)])
    return c


def take(c, partitions=1):
    """What comes until the ends of so many partitions are reached."""
    got = []
    while partitions > 0:
        m = c.poll(LIMIT_S)
        assert m is not None, f"only {len(got)} records came"
        if not m.error():
            got.append(m)
        elif m.error().code() == -191:  # _PARTITION_EOF
            partitions -= 1
        else:
            raise AssertionError(m.error())
    return got


def read(address, topic, partitions=1):
    c = consumer(address, topic, partitions)
    got = take(c, partitions)
    c.close()
    return got


def topics(s):
    create(s, "topics", partitions=3)
    await_partitions(s, "topics", 3)
    publish(s.address, "topics", [{"value": b"%d" % i, "partition": i % 3} for i in range(30)])
    for m in read(s.address, "topics", 3):
        assert int(m.value()) == m.offset() * 3 + m.partition(), "a record is where it does not belong"


def keys(s):
    create(s, "keys", partitions=3)
    publish(s.address, "keys", [{"key": b"k%d" % (i % 7), "value": b"%d" % i} for i in range(70)])
    got = read(s.address, "keys", 3)
    for k in range(7):
        mine = [m for m in got if m.key() == b"k%d" % k]
        same([int(m.value()) for m in mine], list(range(k, 70, 7)), f"the records of key {k}")
        same(len({m.partition() for m in mine}), 1, "they are in one partition")


def headers(s):
    wanted = [("a", b"1"), ("b", b""), ("a", b"\x00\xff")]
    create(s, "headers")
    publish(s.address, "headers", [{"value": b"v", "headers": wanted}])
    same(read(s.address, "headers")[0].headers(), wanted, "the headers")


def codecs(s, notes):
    create(s, *(f"codec-{c}" for c in CODECS))
    for codec in CODECS:
        values = [b"value %d " % i * 20 for i in range(100)]
        publish(s.address, f"codec-{codec}", [{"value": v} for v in values],
                **{"compression.type": codec, "linger.ms": 100})
        same([m.value() for m in read(s.address, f"codec-{codec}")], values, f"{codec} comes back")
    notes.append(" ".join(CODECS))


def idempotence(s):
    publish(s.cut_address, "idempotence", [{"value": b"%d" % i} for i in range(200)],
            **{"enable.idempotence": True, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 20})
    same([int(m.value()) for m in read(s.cut_address, "idempotence")], list(range(200)), "each record once, in order")


def times(s):
    create(s, "times")
    first = int(time.time() * 1000) - 60000
    publish(s.address, "times", [{"value": b"%d" % i, "timestamp": first + i * 1000} for i in range(10)])
    c = consumer(s.address, "times")
    for at, wanted in ((0, 0), (2000, 2), (2001, 3), (9001, -1)):
        found = c.offsets_for_times([TopicPartition("times", 0, first + at)], LIMIT_S)[0].offset
        same(found, wanted, f"the first record after {at} ms")
    c.close()


def pause(s):
    create(s, "pause", partitions=2)
    publish(s.address, "pause", [{"value": b"%d" % i, "partition": i % 2} for i in range(100)])
    c = consumer(s.address, "pause", 2)
    zero = TopicPartition("pause", 0)
    c.pause([zero])
    same([int(m.value()) for m in take(c)], list(range(1, 100, 2)), "the paused partition is silent")
    c.resume([zero])
    same([int(m.value()) for m in take(c)], list(range(0, 100, 2)), "it goes on")
    c.seek(TopicPartition("pause", 0, 40))
    same([m.offset() for m in take(c)], list(range(40, 50)), "a seek reads it again")
    c.close()


def admin(s, notes):
    create(s, "admin", partitions=2, **{"retention.ms": "3600000"})
    try:
        create(s, "admin")
        raise AssertionError("a topic was made twice")
    except KafkaException as e:
        same(e.args[0].name(), "TOPIC_ALREADY_EXISTS", "a topic is not made twice")

    def retention():
        shown = s.admin.describe_configs([ConfigResource("topic", "admin")])
        return list(shown.values())[0].result(LIMIT_S)["retention.ms"].value
    until("the configuration is described", lambda: retention() == "3600000")
    altered = ConfigResource("topic", "admin", set_config={"retention.ms": "7200000"})
    s.admin.alter_configs([altered])[altered].result(LIMIT_S)
    until("it is altered", lambda: retention() == "7200000")
    s.admin.create_partitions([NewPartitions("admin", 5)])["admin"].result(LIMIT_S)
    await_partitions(s, "admin", 5)
    ledger = Ledger("admin", 5)
    member = Librdkafka(s.broker, ledger, "admin")
    until("a member", lambda: len(member.owned) == 5, member.step)
    listed = {g.id: g for g in s.admin.list_groups(timeout=LIMIT_S)}
    same((listed["admin"].state, len(listed["admin"].members)), ("Stable", 1), "groups are listed and described")
    member.leave()
    notes.append("this version of it has no call that deletes groups")
    s.admin.delete_topics(["admin"])["admin"].result(LIMIT_S)
    await_partitions(s, "admin", 0)


def compacted(s):
    create(s, "compacted", **{"cleanup.policy": "compact"})
    for n in range(5):
        publish(s.address, "compacted", [{"key": b"%d" % k, "value": b"%d" % n} for k in range(20)])
    s.wait_compacted("compacted", 50)
    got = read(s.address, "compacted")
    assert len(got) <= 50, f"{len(got)} records of 100 came"
    same({m.key(): m.value() for m in got if m.key() != b"more"}, {b"%d" % k: b"4" for k in range(20)},
         "the last values")


with Session("confluent", f"{confluent_kafka.version()[0]} with librdkafka {confluent_kafka.libversion()[0]}") as s:
    s.admin = AdminClient({"bootstrap.servers": s.address, "log_level": 0})
    for name, run in (("topics", topics), ("keys", keys), ("headers", headers), ("idempotence", idempotence),
                      ("time lookup", times), ("pause and seek", pause), ("compacted topic", compacted)):
        with s.scenario(name):
            run(s)
    with s.scenario("codecs") as notes:
        codecs(s, notes)
    with s.scenario("admin") as notes:
        admin(s, notes)
    with s.scenario("groups"):
        check_groups(s, Librdkafka)
    with s.scenario("static members"):
        check_instances(s, Librdkafka)
