# SPDX-License-Identifier: Apache-2.0
"""python3-kafka under load: load_kafka_python.py BROKERS TOPIC GROUP. What it takes and says is described in load.py. This
version has no idempotent producer."""
import os
import sys
import threading

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, KafkaError

BROKERS, TOPIC, GROUP = sys.argv[1].split(","), *sys.argv[2:]
over = threading.Event()


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def produce():
    # It does not retry unless it is told to.
    p = KafkaProducer(bootstrap_servers=BROKERS, acks="all", retries=1000, max_in_flight_requests_per_connection=1)
    for line in sys.stdin:
        partition, value = line.split()
        sent = p.send(TOPIC, value.encode(), partition=int(partition))
        sent.add_callback(lambda told, value=value: say("acked", value, told.offset))
        sent.add_errback(lambda e, value=value: say("failed", value, type(e).__name__, e))
    p.flush(60)
    p.close()


class Listener(ConsumerRebalanceListener):
    def __init__(self):
        self.uncommitted = {}

    def on_partitions_assigned(self, assigned):
        for p in assigned:
            say("assigned", p.partition)

    def on_partitions_revoked(self, revoked):
        self.uncommitted.clear()
        for p in revoked:
            say("revoked", p.partition)


def consume():
    c = KafkaConsumer(bootstrap_servers=BROKERS, group_id=GROUP, enable_auto_commit=False, auto_offset_reset="earliest")
    listener = Listener()
    c.subscribe([TOPIC], listener=listener)
    while not over.is_set():
        for p, records in c.poll(timeout_ms=50).items():
            for m in records:
                say("record", m.partition, m.offset, m.value.decode())
            listener.uncommitted[p] = OffsetAndMetadata(records[-1].offset + 1, "")
        if listener.uncommitted:
            try:
                c.commit(listener.uncommitted)
                for p, o in listener.uncommitted.items():
                    say("committed", p.partition, o.offset)
                listener.uncommitted.clear()
            except KafkaError as e:
                retried = e.retriable or isinstance(e, CommitFailedError)
                say("refused" if retried else "error", type(e).__name__, e)
    c.close()


say("version", kafka.__version__)
reader = threading.Thread(target=consume)
reader.start()
try:
    produce()
finally:
    over.set()
    reader.join()
