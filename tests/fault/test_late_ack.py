#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 200
"""A leader is frozen (SIGSTOP) while a producer publishes with acks=1, another one leads, and it is thawed (SIGCONT): what it took before
it was frozen must not be acknowledged now, for it will be cut off (H17). An answer that was on its way when the process was frozen
is no fault: one round of five may have such.

    tests/fault/test_late_ack.py
"""
import signal
import threading

from cluster import *

ROUNDS, PAYLOAD, AHEAD = 5, 100_000, 100
cluster = Cluster("late-ack")


class Publisher(threading.Thread):
    """Requests ahead of their answers, until it is told to stop or the connection ends."""

    def __init__(self, port, topic):
        super().__init__(daemon=True)
        self.connection, self.topic, self.answers, self.over = Connection(port), topic, [], False
        self.sender = threading.Thread(target=self.publish, daemon=True)

    def publish(self):
        body = produce_body(self.topic, {0: batch([b"x" * PAYLOAD])}, acks=1)
        try:
            while not self.over:
                if self.connection.sent - self.connection.received < AHEAD:
                    self.connection.send(0, 3, body)
                else:
                    time.sleep(0.0005)
        except Gone:
            pass

    def run(self):
        self.sender.start()
        try:
            while True:
                error, offset = produced(self.connection.receive())[0]
                self.answers.append((time.monotonic(), error, offset))
        except Gone:
            pass


def leader(topic, node=None):
    found = cluster.partitions(topic, node)
    return found[0]["leader"] if found else -1


def round_of(topic):
    cluster.does("topic", "create", topic, "--partitions", "1", "--replicas", "3")
    wait_until("all are in sync", lambda: cluster.in_sync(topic), 60)
    led = leader(topic)
    node, others = cluster.nodes[led], [n for i, n in cluster.nodes.items() if i != led]
    publisher = Publisher(node.wanted, topic)
    publisher.start()
    wait_until("records are acknowledged", lambda: len(publisher.answers) > 200, 60)
    node.process.send_signal(signal.SIGSTOP)
    try:
        wait_until("another one leads", lambda: leader(topic, others[0]) not in (led, -1), 60)
    finally:
        thawed = time.monotonic()
        node.process.send_signal(signal.SIGCONT)
    wait_until("the old one follows", lambda: leader(topic, node) not in (led, -1), 60)
    publisher.over = True
    wait_until("all are in sync again", lambda: cluster.in_sync(topic), 60)
    late = [offset for at, error, offset in publisher.answers if at >= thawed and error == 0]
    new = cluster.nodes[leader(topic)]
    end = offsets_found(Connection(new.wanted).ask(2, 1, offsets_body(topic, [0], -1)))[0][1]
    gone = [offset for offset in late if offset >= end]
    print(f"{topic}: {len(publisher.answers)} answers, {len(late)} acknowledged late, {len(gone)} of them gone", flush=True)
    return bool(gone)


cluster.launch()
lost = sum(round_of(f"t{number}") for number in range(ROUNDS))
check(lost <= 1, f"in {lost} of {ROUNDS} rounds records were acknowledged by a leader that led no more, and are gone")
cluster.stop()
