#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""min.insync.replicas in the files of three nodes of a cluster that had none: each node is stopped and started again with 2. From
then on every node tells 2, of a topic that was there and of a new one, and with one of two replicas gone acks=all is refused. A
file that is changed to 1 takes nothing back, also where its node leads, and is named in the log with the command that does.

    tests/fault/test_min_insync.py
"""
from cluster import *

KEY, NOT_ENOUGH_REPLICAS = "min.insync.replicas", 19


def told(c, topic):
    """What each node tells of the topic: value and source."""
    tell = [c.leat("-b", f"{n.host}:{n.wanted}", "topic", "describe", topic, "--output", "json") for n in c.nodes.values()]
    check(not any(status for status, _, _ in tell), f"{tell}")
    return {(row["value"], row["source"]) for _, out, _ in tell for row in json.loads(out)[0]["configs"] if row["name"] == KEY}


def restart(c, number, value):
    node = c.nodes[number]
    node.settings = [s for s in node.settings if not s.startswith(KEY)] + [f"{KEY}={value}"]
    node.stop()
    node.start()
    wait_until("all is well", c.healthy, BACK_S)


def acknowledged(c, topic, value):
    leader = c.partitions(topic)[0]["leader"]
    client = Client(c.nodes[leader].wanted)
    error, _ = client.produce(topic, 0, batch([value]))
    client.close()
    return error


c = Cluster("min-insync")
c.launch()
c.does("topic", "create", "before", "-p", "1", "-r", "3")
check(told(c, "before") == {("1", "default")}, f"nobody has said anything: {told(c, 'before')}")
for number in NODES:
    restart(c, number, 2)
wait_until("2 is told", lambda: told(c, "before") == {("2", "cluster")}, BACK_S)
c.does("topic", "create", "after", "-p", "1", "-r", "3")
check(told(c, "after") == {("2", "cluster")}, f"a new topic: {told(c, 'after')}")

for number in NODES:
    restart(c, number, 1)
check(told(c, "before") == {("2", "cluster")}, f"files that were changed later: {told(c, 'before')}")
for node in c.nodes.values():
    check(f"{KEY} is 2 for the whole cluster, not 1 as this node's configuration says: leat cluster config --all --set {KEY}=1 changes it"
          in node.said(), "a node whose file does not count does not say so")

for topic in ("before", "after"):
    c.does("topic", "reassign", topic, "-p", "0", "--replicas", "1,2", "--shrink")
    wait_until("two replicas", lambda topic=topic: c.partitions(topic)[0]["in_sync"] in ([1, 2], [2, 1]), BACK_S)
    check(acknowledged(c, topic, b"both") == 0, "two are enough")
c.nodes[2].end(signal.SIGKILL)
for topic in ("before", "after"):
    wait_until("one is in sync", lambda topic=topic: c.partitions(topic)[0]["in_sync"] == [1], BACK_S)
    check((error := acknowledged(c, topic, b"one")) == NOT_ENOUGH_REPLICAS, f"{topic}: one is not enough: {error}")
status, _, said = c.leat("cluster", "config", "--set", "log.retention.ms=1h")
check(status == 2 and "Name a broker, or --all" in said, f"a change of nobody's configuration: {status}: {said}")
c.does("cluster", "config", "--all", "--set", f"{KEY}=1")
wait_until("1 is in force", lambda: acknowledged(c, "before", b"one") == 0, BACK_S)
c.nodes[2].start()
wait_until("all is well", c.healthy, BACK_S)
c.stop()
print("ok: what the files said first is told and enforced until an operator says something else")
