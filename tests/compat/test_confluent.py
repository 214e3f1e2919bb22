#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-confluent-kafka (librdkafka): topic administration, producing, consuming by assignment."""
from broker import CODECS, Broker, same, skip

try:
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
except ImportError:
    skip("python3-confluent-kafka is not installed")


def publish(b, topic, codec, records, **more):
    failures = []
    p = Producer({"bootstrap.servers": b.address, "compression.type": codec, "linger.ms": 200, **more})
    for partition, key, value, headers in records:
        p.produce(topic, value, key, partition=partition, headers=headers,
                  on_delivery=lambda error, message: error and failures.append(error))
        p.poll(0)
    assert p.flush(30) == 0
    assert not failures, failures


def read(b, topic, partitions, count):
    c = Consumer({"bootstrap.servers": b.address, "group.id": "unused", "enable.auto.commit": False,
                  "auto.offset.reset": "earliest", "enable.partition.eof": False})
    c.assign([TopicPartition(topic, n, 0) for n in range(partitions)])
    got = {n: [] for n in range(partitions)}
    total = 0
    while total < count:
        m = c.poll(20)
        assert m is not None, f"{topic}: only {total} of {count} records came"
        assert not m.error(), m.error()
        assert m.offset() == len(got[m.partition()]), f"{topic}: offset {m.offset()}"
        got[m.partition()].append((m.partition(), m.key(), m.value(), m.headers()))
        total += 1
    c.close()
    return got


def check(b):
    admin = AdminClient({"bootstrap.servers": b.address})
    for topic, future in admin.create_topics([NewTopic(f"c-{codec}", 3, 1) for codec in CODECS]).items():
        future.result(30)
    try:
        admin.create_topics([NewTopic("c-none", 3, 1)])["c-none"].result(30)
        raise AssertionError("a topic was made twice")
    except KafkaException as e:
        same(e.args[0].name(), "TOPIC_ALREADY_EXISTS", "a topic that exists is not made again")
    for codec in CODECS:
        topic = f"c-{codec}"
        records = [(i % 3, None if i % 7 == 0 else b"k%d" % i, None if i % 11 == 0 else bytes([i % 256]) * (i % 500),
                    [("a", b"1"), ("b", b""), ("a", b"\x00\xff")] if i % 2 else None) for i in range(900)]
        publish(b, topic, codec, records)
        got = read(b, topic, 3, 900)
        for n in range(3):
            wanted = [r for r in records if r[0] == n]
            same([(p, k, v, h) for p, k, v, h in got[n]], wanted, f"{topic}-{n}: everything comes back")
            same(b.codecs(topic, n), {codec}, f"{topic}-{n}: the stored batches have this codec")
    publish(b, "c-idempotent", "lz4", [(0, None, b"%d" % i, None) for i in range(2000)],
            **{"enable.idempotence": True, "acks": "all"})
    same([v for _, _, v, _ in read(b, "c-idempotent", 1, 2000)[0]], [b"%d" % i for i in range(2000)],
         "idempotent producing")
    large = bytes(range(256)) * 3900
    publish(b, "c-large", "none", [(0, b"large", large, None)])
    same(read(b, "c-large", 1, 1)[0][0][2], large, "a record of almost a MiB")
    admin.create_partitions([NewPartitions("c-none", 5)])["c-none"].result(30)
    same(len(admin.list_topics("c-none", 10).topics["c-none"].partitions), 5, "partitions are added")
    resource = ConfigResource("topic", "c-none", set_config={"retention.ms": "12345"})
    admin.alter_configs([resource])[resource].result(30)
    shown = admin.describe_configs([ConfigResource("topic", "c-none")])
    configs = list(shown.values())[0].result(30)
    same(configs["retention.ms"].value, "12345", "a configuration is changed")
    same(configs["cleanup.policy"].value, "delete", "and others are shown")
    broker = admin.describe_configs([ConfigResource("broker", "1")])
    same(list(broker.values())[0].result(30)["node.id"].value, "1", "the broker shows its own")
    admin.delete_topics(["c-gzip"])["c-gzip"].result(30)
    assert "c-gzip" not in admin.list_topics(timeout=10).topics
    print("ok: a topic is deleted")
    c = Consumer({"bootstrap.servers": b.address, "group.id": "unused"})
    same(c.get_watermark_offsets(TopicPartition("c-none", 0), 10), (0, 300), "the watermarks")
    c.close()


for shards in (1, 2):
    with Broker(shards=shards) as broker:
        check(broker)
