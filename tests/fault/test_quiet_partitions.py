#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""What a partition's records wait for is its own followers, however many partitions beside it have no traffic: they once shared a
few requests with it, which came back when their time was over, and a record waited for that.

    tests/fault/test_quiet_partitions.py
"""
from cluster import *

TOPICS, RECORDS = 20, 40
# Half of the records at most may take so long. It was 100 to 200 ms, and is one or two where nothing else runs.
MEDIAN_S = 0.05


def median(cluster, apart_s):
    """Of the time from one record to its acknowledgement by all replicas, one at a time."""
    leader = cluster.nodes[cluster.partitions("busy")[0]["leader"]]
    client, took = Client(leader.wanted), []
    for n in range(RECORDS):
        begun = time.monotonic()
        error, _ = client.produce("busy", 0, batch([b"%d" % n]))
        took.append(time.monotonic() - begun)
        check(error == NO_ERROR, f"a record is refused: error {error}")
        select.select([], [], [], apart_s)
    client.close()
    return sorted(took)[RECORDS // 2]


def run():
    cluster = Cluster("quiet")
    cluster.launch()
    cluster.does("topic", "create", "busy", "-p", "1", "-r", "3")
    for n in range(TOPICS):
        cluster.does("topic", "create", f"quiet-{n}", "-p", "3", "-r", "3")
    for apart_s in (0, 0.05):
        found = median(cluster, apart_s)
        check(found < MEDIAN_S, f"half of the records, {apart_s} s apart, took longer than {1000 * found:.0f} ms")
        print(f"ok: {RECORDS} records {apart_s} s apart beside {3 * TOPICS} quiet partitions: median {1000 * found:.1f} ms", flush=True)
    cluster.stop()


run()
