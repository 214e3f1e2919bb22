#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Real kill -9 under load: what was acknowledged is there after the restart, at its offset, for a durable
and a memory topic, on both backends; offsets have no gaps.

    LEAT_KILL_ROUNDS=200 tests/run.sh fault_kill_loop     the long run (8 rounds otherwise)
"""
import os
import random
import signal
import subprocess
import sys
import time

try:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import KafkaAdminClient, NewTopic
except ImportError:
    print("python3-kafka is not installed")
    sys.exit(77)

BUILD = os.environ.get("BUILD", "build")
SCRATCH = os.environ.get("SCRATCH", "/tmp")
ROUNDS = int(os.environ.get("LEAT_KILL_ROUNDS", "8"))
CHECK_EVERY = 4
PARTITIONS = 3
TOPICS = {"durable": {}, "memory": {"durability": "memory"}}


class Broker:
    def __init__(self, backend, port):
        self.address = f"127.0.0.1:{port}"
        self.command = [f"{BUILD}/bin/leatd", "--data", f"{SCRATCH}/{backend}", "--listen",
                        self.address, "--io", backend]
        self.errors = open(f"{SCRATCH}/{backend}.err", "a")
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.errors,
                                        text=True)
        line = self.process.stdout.readline()
        if "ready" not in line:
            sys.exit(f"leatd did not start: {line!r}, see {self.errors.name}:\n"
                     + open(self.errors.name).read()[-2000:])

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait()


def publish(broker, random_source, acknowledged, count):
    """Sends until the broker is killed in the middle; notes what was acknowledged."""
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all", linger_ms=1, retries=0,
                             batch_size=8000)
    stop = time.monotonic() + random_source.uniform(0.1, 0.4)
    sent = []
    while time.monotonic() < stop:
        for topic in TOPICS:
            value = b"%s-%d-" % (topic.encode(), count) + b"x" * random_source.choice((10, 200, 3000))
            sent.append((topic, value, producer.send(topic, value, partition=count % PARTITIONS)))
            count += 1
    broker.end(signal.SIGKILL)
    for topic, value, future in sent:
        if future.is_done and future.succeeded():
            acknowledged[topic][future.value.partition, future.value.offset] = value
    producer.close(timeout=0)
    return count


def compare(broker, topic, acknowledged):
    partitions = [TopicPartition(topic, i) for i in range(PARTITIONS)]
    consumer = KafkaConsumer(bootstrap_servers=broker.address)
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    seen = {}
    while any(consumer.position(p) < ends[p] for p in partitions):
        for records in consumer.poll(2000).values():
            seen.update({(r.partition, r.offset): r.value for r in records})
    consumer.close()
    lost = [place for place, value in acknowledged.items() if seen.get(place) != value]
    gaps = [(p.partition, o) for p in partitions for o in range(ends[p])
            if (p.partition, o) not in seen]
    if lost or gaps:
        sys.exit(f"{topic}: {len(lost)} acknowledged records are lost or changed, first "
                 f"{lost[:3]}; gaps {gaps[:3]}")


def run(backend, port):
    source = random.Random(7)
    broker = Broker(backend, port)
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=config)
                         for name, config in TOPICS.items()])
    admin.close()
    acknowledged = {name: {} for name in TOPICS}
    count = 0
    for number in range(1, ROUNDS + 1):
        count = publish(broker, source, acknowledged, count)
        broker.start()
        if number % CHECK_EVERY == 0 or number == ROUNDS:
            for topic in TOPICS:
                compare(broker, topic, acknowledged[topic])
    status = broker.end(signal.SIGTERM)
    if status != 0:
        sys.exit(f"{backend}: leatd ended with {status} on SIGTERM")
    broker.start()
    for topic in TOPICS:
        compare(broker, topic, acknowledged[topic])
    broker.end(signal.SIGKILL)
    print(f"{backend}: {ROUNDS} kills, {sum(len(a) for a in acknowledged.values())} "
          "acknowledged records compared")


run("uring", 19471)
run("epoll", 19472)
