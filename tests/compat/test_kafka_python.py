#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-kafka (kafka-python): another implementation, with its own idea of every version."""
from broker import Broker, same, skip

try:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
    from kafka.codec import has_lz4, has_snappy, has_zstd
except ImportError:
    skip("python3-kafka is not installed")


def check(b):
    codecs = ["none", "gzip"]
    codecs += ["snappy"] if has_snappy() else []
    codecs += ["lz4"] if has_lz4() else []
    try:
        codecs += ["zstd"] if has_zstd() else []
    except NameError:
        pass
    print("codecs that this client has here:", *codecs)
    admin = KafkaAdminClient(bootstrap_servers=b.address)
    admin.create_topics([NewTopic(f"p-{codec}", 2, 1) for codec in codecs])
    for codec in codecs:
        topic = f"p-{codec}"
        producer = KafkaProducer(bootstrap_servers=b.address, compression_type=None if codec == "none" else codec,
                                 acks="all", linger_ms=200)
        records = [(b"k%d" % i if i % 3 else None, b"value %d " % i * 20, [("h", b"x"), ("i", b"%d" % i)])
                   for i in range(400)]
        futures = [producer.send(topic, v, k, h, partition=i % 2) for i, (k, v, h) in enumerate(records)]
        same([f.get(30).offset for f in futures], [i // 2 for i in range(400)], f"{topic}: offsets are given")
        producer.close()
        consumer = KafkaConsumer(bootstrap_servers=b.address, consumer_timeout_ms=20000, enable_auto_commit=False)
        partitions = [TopicPartition(topic, n) for n in range(2)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        got = {0: [], 1: []}
        for m in consumer:
            got[m.partition].append((m.key, m.value, m.headers))
            if len(got[0]) + len(got[1]) == 400:
                break
        for n in range(2):
            same(got[n], [r for i, r in enumerate(records) if i % 2 == n], f"{topic}-{n}: everything comes back")
            same(b.codecs(topic, n), {codec}, f"{topic}-{n}: the stored batches have this codec")
        same(consumer.end_offsets(partitions), {p: 200 for p in partitions}, f"{topic}: the ends")
        same(consumer.beginning_offsets(partitions), {p: 0 for p in partitions}, f"{topic}: the beginnings")
        first = consumer.offsets_for_times({partitions[0]: 1})[partitions[0]]
        same(first.offset, 0, f"{topic}: the first record by time")
        consumer.close()
    admin.create_partitions({"p-none": NewPartitions(4)})
    consumer = KafkaConsumer(bootstrap_servers=b.address)
    same(consumer.partitions_for_topic("p-none"), {0, 1, 2, 3}, "partitions are added")
    consumer.close()
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "p-none")])
    assert any(entry[0] == "retention.ms" for entry in described[0].resources[0][4]), described
    print("ok: configurations are shown")
    admin.delete_topics(["p-gzip"])
    assert "p-gzip" not in admin.list_topics()
    print("ok: a topic is deleted")
    admin.close()


for shards in (1, 2):
    with Broker(shards=shards) as broker:
        check(broker)
