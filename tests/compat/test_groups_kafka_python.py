#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Groups of python3-kafka: sharing, leaving, a broker that is killed, and its admin client."""
import shutil
import threading
import time

from broker import same, skip
from groups import LIMIT_S, PARTITIONS, check_sharing, group_broker

try:
    from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
    from kafka.admin import KafkaAdminClient
    from kafka.errors import KafkaError
except ImportError:
    skip("python3-kafka is not installed")
if not shutil.which("kcat"):
    skip("kcat is not installed")


class Member(ConsumerRebalanceListener):
    """In a thread of its own: its poll() does not come back before a rebalance is over."""

    def __init__(self, b, ledger, group):
        self.ledger, self.owned, self.uncommitted = ledger, set(), 0
        self.consumer = KafkaConsumer(bootstrap_servers=b.address, group_id=group, enable_auto_commit=False,
                                      auto_offset_reset="earliest", session_timeout_ms=10000,
                                      heartbeat_interval_ms=100, retry_backoff_ms=50, metadata_max_age_ms=1000,
                                      reconnect_backoff_max_ms=200, fetch_max_wait_ms=50)
        self.consumer.subscribe([ledger.topic], listener=self)
        self.leaving, self.found, self.failed = False, None, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_partitions_assigned(self, assigned):
        self.owned = {p.partition for p in assigned}

    def on_partitions_revoked(self, revoked):
        self.owned = set()

    def run(self):
        try:
            while not self.leaving:
                self.consume()
            self.find()
            self.consumer.close()
        except Exception as e:
            self.failed = e

    def consume(self):
        for records in self.consumer.poll(timeout_ms=20).values():
            for m in records:
                self.ledger.take(m.value.decode())
                self.uncommitted += 1
        try:
            self.consumer.commit()
            self.uncommitted = 0
        except KafkaError as e:
            print("a commit was refused:", type(e).__name__)
            self.ledger.in_doubt += self.uncommitted
            self.uncommitted = 0

    def find(self):
        self.found = {p: self.consumer.committed(TopicPartition(self.ledger.topic, p)) for p in range(PARTITIONS)}

    def step(self):
        time.sleep(0.005)
        if self.failed:
            raise self.failed

    def leave(self):
        self.leaving = True
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive(), "a member does not leave"
        self.step()

    def committed(self):
        self.leave()
        return self.found


def check_admin(b):
    admin = KafkaAdminClient(bootstrap_servers=b.address)
    same(admin.list_consumer_groups(), [("python", "consumer")], "list_consumer_groups")
    (described,) = admin.describe_consumer_groups(["python"])
    same((described.group, described.state, len(described.members)), ("python", "Empty", 0), "describe_consumer_groups")
    offsets = admin.list_consumer_group_offsets("python")
    same({t.partition for t in offsets}, set(range(PARTITIONS)), "list_consumer_group_offsets")
    same([(name, error.__name__) for name, error in admin.delete_consumer_groups(["python"])],
         [("python", "NoError")], "delete_consumer_groups")
    same(admin.list_consumer_groups(), [], "it has gone")
    admin.close()


for shards in (1, 2):
    with group_broker(shards) as broker:
        check_sharing(broker, Member, "python")
        check_admin(broker)
