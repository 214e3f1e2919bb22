#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-kafka goes through the scenarios."""
import time

from broker import same
from groups import LIMIT_S, Ledger, until
from members import KafkaPython, kafka
from scenarios import REPLICAS, Session, skip
from sharing import check_groups

if kafka is None:
    skip("kafka-python", "python3-kafka is not installed")

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError


def create(s, *topics, partitions=1, **config):
    s.admin.create_topics([NewTopic(t, partitions, REPLICAS, topic_configs=config) for t in topics])


def publish(s, topic, records, **settings):
    """Each record is a dictionary of what send() takes."""
    p = KafkaProducer(bootstrap_servers=s.address, acks="all", **settings)
    for future in [p.send(topic, **record) for record in records]:
        future.get(LIMIT_S)
    p.close()


def consumer(s, topic, partitions=1):
    c = KafkaConsumer(bootstrap_servers=s.address, enable_auto_commit=False, fetch_max_wait_ms=50)
    assigned = [TopicPartition(topic, n) for n in range(partitions)]
    c.assign(assigned)
    c.seek_to_beginning(*assigned)
    return c


def take(c, partitions):
    """What comes until these partitions are at their ends."""
    ends = c.end_offsets(partitions)
    got = []

    def step():
        for records in c.poll(timeout_ms=50).values():
            got.extend(records)
    until("the ends", lambda: all(c.position(p) >= ends[p] for p in partitions), step)
    return got


def read(s, topic, partitions=1):
    c = consumer(s, topic, partitions)
    got = take(c, [TopicPartition(topic, n) for n in range(partitions)])
    c.close()
    return got


def topics(s):
    create(s, "topics", partitions=3)
    publish(s, "topics", [{"value": b"%d" % i, "partition": i % 3} for i in range(30)])
    c = consumer(s, "topics", 3)
    until("three partitions", lambda: c.partitions_for_topic("topics") == {0, 1, 2})
    c.close()
    for m in read(s, "topics", 3):
        assert int(m.value) == m.offset * 3 + m.partition, "a record is where it does not belong"


def keys(s):
    create(s, "keys", partitions=3)
    publish(s, "keys", [{"key": b"k%d" % (i % 7), "value": b"%d" % i} for i in range(70)])
    got = read(s, "keys", 3)
    for k in range(7):
        mine = [m for m in got if m.key == b"k%d" % k]
        same([int(m.value) for m in mine], list(range(k, 70, 7)), f"the records of key {k}")
        same(len({m.partition for m in mine}), 1, "they are in one partition")


def headers(s):
    wanted = [("a", b"1"), ("b", b""), ("a", b"\x00\xff")]
    create(s, "headers")
    publish(s, "headers", [{"value": b"v", "headers": wanted}])
    same(read(s, "headers")[0].headers, wanted, "the headers")


def codecs(s, notes):
    names = ["none", "gzip"] + [c for c in ("snappy", "lz4", "zstd") if getattr(kafka.codec, f"has_{c}", bool)()]
    create(s, *(f"codec-{c}" for c in names))
    for codec in names:
        values = [b"value %d " % i * 20 for i in range(100)]
        publish(s, f"codec-{codec}", [{"value": v} for v in values], linger_ms=100,
                compression_type=None if codec == "none" else codec)
        same([m.value for m in read(s, f"codec-{codec}")], values, f"{codec} comes back")
    notes.append(" ".join(names))


def times(s):
    create(s, "times")
    first = int(time.time() * 1000) - 60000
    publish(s, "times", [{"value": b"%d" % i, "timestamp_ms": first + i * 1000} for i in range(10)])
    c = consumer(s, "times")
    partition = TopicPartition("times", 0)
    for at, wanted in ((0, 0), (2000, 2), (2001, 3)):
        same(c.offsets_for_times({partition: first + at})[partition].offset, wanted, f"the first record after {at} ms")
    same(c.offsets_for_times({partition: first + 9001}), {partition: None}, "nothing is later than the last one")
    c.close()


def pause(s):
    create(s, "pause", partitions=2)
    publish(s, "pause", [{"value": b"%d" % i, "partition": i % 2} for i in range(100)])
    c = consumer(s, "pause", 2)
    zero, one = (TopicPartition("pause", n) for n in range(2))
    c.pause(zero)
    same([int(m.value) for m in take(c, [one])], list(range(1, 100, 2)), "the paused partition is silent")
    c.resume(zero)
    same([int(m.value) for m in take(c, [zero])], list(range(0, 100, 2)), "it goes on")
    c.seek(zero, 40)
    same([m.offset for m in take(c, [zero])], list(range(40, 50)), "a seek reads it again")
    c.close()


def admin(s):
    create(s, "admin", partitions=2, **{"retention.ms": "3600000"})
    try:
        create(s, "admin")
        raise AssertionError("a topic was made twice")
    except TopicAlreadyExistsError:
        print("ok: a topic is not made twice")
    def described():
        return len(s.admin.describe_topics(["admin"])[0]["partitions"])
    until("the topic is described", lambda: described() == 2)

    def retention():
        (shown,) = s.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "admin")])
        return {entry[0]: entry[1] for entry in shown.resources[0][4]}["retention.ms"]
    until("the configuration is described", lambda: retention() == "3600000")
    s.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "admin", {"retention.ms": "7200000"})])
    until("it is altered", lambda: retention() == "7200000")
    s.admin.create_partitions({"admin": NewPartitions(5)})
    until("there are more partitions", lambda: described() == 5)
    member = KafkaPython(s.broker, Ledger("admin", 5), "admin")
    until("a member", lambda: len(member.owned) == 5, member.step)
    assert ("admin", "consumer") in s.admin.list_consumer_groups(), "the group is not listed"
    (group,) = s.admin.describe_consumer_groups(["admin"])
    same((group.state, len(group.members)), ("Stable", 1), "groups are described")
    member.leave()
    same([error.__name__ for _, error in s.admin.delete_consumer_groups(["admin"])], ["NoError"], "a group is deleted")
    assert ("admin", "consumer") not in s.admin.list_consumer_groups(), "the group was not deleted"
    s.admin.delete_topics(["admin"])
    until("the topic is deleted", lambda: "admin" not in s.admin.list_topics())


def compacted(s):
    create(s, "compacted", **{"cleanup.policy": "compact"})
    for n in range(5):
        publish(s, "compacted", [{"key": b"%d" % k, "value": b"%d" % n} for k in range(20)])
    s.wait_compacted("compacted", 50)
    got = read(s, "compacted")
    assert len(got) <= 50, f"{len(got)} records of 100 came"
    same({m.key: m.value for m in got if m.key != b"more"}, {b"%d" % k: b"4" for k in range(20)}, "the last values")


with Session("kafka-python", kafka.__version__) as s:
    s.admin = KafkaAdminClient(bootstrap_servers=s.address)
    for name, run in (("topics", topics), ("keys", keys), ("headers", headers), ("time lookup", times),
                      ("pause and seek", pause), ("admin", admin), ("compacted topic", compacted)):
        with s.scenario(name):
            run(s)
    with s.scenario("codecs") as notes:
        codecs(s, notes)
    with s.scenario("groups"):
        check_groups(s, KafkaPython)
    s.admin.close()
    assert "enable_idempotence" not in KafkaProducer.DEFAULT_CONFIG, "this version has an idempotent producer: let it go through"
    s.cannot("idempotence", "this version of it has no idempotent producer")
    assert "group_instance_id" not in KafkaConsumer.DEFAULT_CONFIG, "this version has static members: let them go through"
    s.cannot("static members", "this version of it knows no instance ids")
