#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Groups of python3-kafka: sharing, leaving, a broker that is killed, and its admin client."""
import shutil

from broker import same, skip
from groups import PARTITIONS, check_sharing, group_broker
from members import KafkaPython

try:
    from kafka.admin import KafkaAdminClient
except ImportError:
    skip("python3-kafka is not installed")
if not shutil.which("kcat"):
    skip("kcat is not installed")


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
        check_sharing(broker, KafkaPython, "python")
        check_admin(broker)
