# SPDX-License-Identifier: Apache-2.0
"""python3-confluent-kafka under load: load_confluent.py BROKERS TOPIC GROUP. What it takes and says is described in load.py."""
import os
import sys
import threading

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

BROKERS, TOPIC, GROUP = sys.argv[1:]
over = threading.Event()


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def fatal(error):
    """Of all errors only the fatal ones are for the program; the others tell what the library is dealing with."""
    if error.fatal():
        say("error", error.name(), error.str())


def delivered(error, message):
    value = message.value().decode()
    say(*(("failed", value, error.name()) if error else ("acked", value, message.offset())))


def produce():
    p = Producer({"bootstrap.servers": BROKERS, "enable.idempotence": True, "log_level": 0, "error_cb": fatal})

    def poll():
        while not over.is_set():
            p.poll(0.05)
    poller = threading.Thread(target=poll)
    poller.start()
    for line in sys.stdin:
        partition, value = line.split()
        p.produce(TOPIC, value, partition=int(partition), on_delivery=delivered)
    left = p.flush(60)
    over.set()
    poller.join()
    return left


def consume():
    c = Consumer({"bootstrap.servers": BROKERS, "group.id": GROUP, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                  "log_level": 0, "error_cb": fatal})
    uncommitted = {}

    def tell(what):
        def told(_, partitions):
            uncommitted.clear()
            for p in partitions:
                say(what, p.partition)
        return told
    c.subscribe([TOPIC], on_assign=tell("assigned"), on_revoke=tell("revoked"))
    while not over.is_set():
        for m in c.consume(100, 0.05):
            if m.error():
                say("error", m.error().name(), m.error().str())
            else:
                say("record", m.partition(), m.offset(), m.value().decode())
                uncommitted[m.partition()] = m.offset() + 1
        if uncommitted:
            try:
                for p in c.commit(offsets=[TopicPartition(TOPIC, p, o) for p, o in uncommitted.items()], asynchronous=False):
                    say(*(("refused", p.error.name()) if p.error else ("committed", p.partition, p.offset)))
                uncommitted.clear()
            except KafkaException as e:
                say("refused", e.args[0].name())  # what it was is committed with the next record
    c.close()


say("version", confluent_kafka.version()[0], "with librdkafka", confluent_kafka.libversion()[0])
reader = threading.Thread(target=consume)
reader.start()
unsent = produce()
reader.join()
sys.exit(1 if unsent else 0)
