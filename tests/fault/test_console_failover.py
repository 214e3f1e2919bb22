#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""The console right after the kill -9 of a leader, while the others still name it: `consume -e` reads everything, and `topic describe` tells
of every partition, without a word to the user. And `cluster health` when a node has come back with another directory, whose vote is not there.

    tests/fault/test_console_failover.py
"""
from cluster import *

PARTITIONS, RECORDS = 3, 3000
cluster = Cluster("console-failover")
cluster.launch()
cluster.does("topic", "create", "t", "--partitions", str(PARTITIONS), "--replicas", "3")
cluster.does("produce", "t", text="".join(f"{n}\n" for n in range(RECORDS)))
wait_until("all are in sync", lambda: cluster.in_sync("t"), 60)
for number in range(4):
    victim = cluster.partitions("t")[number % PARTITIONS]["leader"]
    cluster.nodes[victim].kill()
    words = ("consume", "t", "-o", "beginning", "-e", "-q") if number % 2 == 0 else ("topic", "describe", "t", "--output", "json")
    out = cluster.does(*words)
    if number % 2 == 0:
        read = sorted(map(int, out.split()))
        check(read == list(range(RECORDS)), f"{len(read)} records are read, not {RECORDS}")
    else:
        found = json.loads(out)[0]["partitions"]
        check(len(found) == PARTITIONS and all(p["replicas"] for p in found), found)
    print(f"ok: leat {' '.join(words)} right after the kill of node {victim}", flush=True)
    cluster.nodes[victim].launch()
    wait_until("all are in sync again", lambda: cluster.in_sync("t"), 60)

victim = next(n for n in NODES if n != json.loads(cluster.does("cluster", "quorum", "--output", "json"))["leader"])
cluster.nodes[victim].kill()
shutil.rmtree(cluster.nodes[victim].data)
wait_until("the kernel has given its port back", lambda: port_is_free(cluster.nodes[victim].wanted), 10)
cluster.nodes[victim].launch()
wait_until("all are in sync again", lambda: cluster.in_sync("t"), 60)


def health():
    return json.loads(cluster.leat("cluster", "health", "--output", "json")[1])


wait_until("the vote is missed", lambda: health()["silent_voters"] == [victim] and not health()["healthy"], 60)
check("then add" in cluster.leat("cluster", "health")[1], "what to do is not said")
cluster.does("cluster", "remove", str(victim))
cluster.does("cluster", "add", str(victim))
wait_until("all is well", lambda: health()["healthy"] and health()["silent_voters"] == [], 60)
print("ok: a vote that was lost with its directory is told, and given anew", flush=True)
cluster.stop()
