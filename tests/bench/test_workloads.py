#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Each workload of the benchmark by each client library that it has, for a moment: everything is acknowledged, and read where it is
consumed. What is wrong in a file of options is told with its place."""
import json
import subprocess

import peer_check as check

BENCH = check.BUILD / "bin" / "leat-bench"
leat = check.fetched("leat")


def bench(*arguments):
    return subprocess.run([BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=check.LIMIT_S)


for text, said in (("size: 1KiB\nspeed: 3\n", ":2: there is no such option"), ("size: {a: 1}\n", ":1: one mapping of options"),
                   ("- size\n", ":1: one mapping of options"), ("consume: 1\n", ":1: true or false"), ("size: \"a\n", ":2: ")):
    path = check.SCRATCH / "wrong.yaml"
    path.write_text(text)
    done = bench("--workload", path)
    assert done.returncode == 2 and f"{path}{said}" in done.stderr, (text, done.returncode, done.stderr)
done = bench("--workload", check.SCRATCH / "nothing.yaml")
assert done.returncode == 2 and "cannot be read" in done.stderr, done.stderr
print("ok: refused: wrong files")

port = check.shared.free_port()
leat.start(check.SCRATCH / "workloads", port, "memory")
drivers = ("leat", "rdkafka")
for workload in sorted((check.ROOT / "bench" / "workloads").glob("*.yaml")):
    for driver in drivers:
        done = bench("--workload", workload, "--brokers", f"127.0.0.1:{port}", "--driver", driver, "--topic", f"{workload.stem}-{driver}",
                     "--warmup", "0.2", "--duration", "0.5", "--buffer", "1MiB", "--pid", leat.pid, "--json")
        if driver != "leat" and "--driver" in done.stderr:
            print(f"not tried: {driver}: leat-bench was built without it")
            break
        assert done.returncode == 0, f"{workload.name} by {driver}: status {done.returncode}: {done.stderr}"
        report = json.loads(done.stdout)
        figures, = report["throughput"]
        assert figures["acked/s"] > 0 and figures["failed"] == 0 and not figures["missing"], (workload.name, driver, figures)
        assert report["conditions"]["driver"].startswith(driver), report["conditions"]
        print(f"ok: {workload.name} by {driver}")
leat.stop()
