#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bench/peers with NATS JetStream: fetched where it can be had, then loaded by natsload, whose report is checked."""
import json
import shutil

import peer_check as check

RATE = 300
SECONDS = 0.5
nats = check.fetched("nats")
if shutil.which("go"):
    nats.go("testing natsload", "test", ".")


def run(*arguments):
    done = nats.load("--seconds", str(SECONDS), "--warmup", "0.2", "--size", "100", *arguments)
    assert done.returncode == 0, f"natsload {' '.join(arguments)}: status {done.returncode}: {done.stderr}"
    report = json.loads(done.stdout)
    throughput, = report["throughput"]
    assert report["program"] == "natsload" and "not Kafka's" in report["conditions"]["protocol"], report
    assert throughput["failed"] == 0 and throughput["acked/s"] > 0 and throughput["rss MiB"] > 1, throughput
    return throughput, {row["latency ms"]: row for row in report["latency"]}


def work(_):
    for publishing in ([], ["--fast", "--in-flight", "20"]):
        throughput, latency = run("--rate", str(RATE), "--publishers", "2", "--consume", *publishing)
        assert throughput["offered/s"] == RATE and throughput["missing"] == 0, throughput
        for row in latency.values():
            # Every message that is meant for the window is measured, however late it is.
            assert abs(row["count"] - RATE * SECONDS) <= 2, row
            quantiles = [row[p] for p in ("p50", "p90", "p99", "p99.9", "p99.99", "max")]
            assert 0 < quantiles[0] and quantiles == sorted(quantiles), row
        throughput, latency = run("--rate", "0", "--in-flight", "20", *publishing)
        assert throughput["offered/s"] is None and throughput["missing"] is None and list(latency) == ["acknowledged"], throughput


check.two_lives(nats, work)
