#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""bench/peers with leat itself, and what needs no other broker: the command line, refusals, a machine without tools."""
import json
import os
import signal
import subprocess
import sys

import peer_check as check

leat = check.fetched("leat")
os.environ["LEAT_AUTO_CREATE_TOPICS_ENABLE"] = "false"  # stands in no configuration: it must not reach the broker
check.two_lives(leat, check.kafka_work(leat))

# What is in use, or ends at once, is said.
check.shared.FREE_S = 0.1
port = check.shared.free_port()
leat.start(check.SCRATCH / "one", port, "memory")
check.refused(check.peers.Leat().fetch(check.BUILD).start, "in use", check.SCRATCH / "two", port, "memory")
leat.process.kill()
leat.process.wait()
check.refused(leat.stop, "ended by itself with -9")
check.refused(leat.start, "ended at its start", check.SCRATCH / "two", check.shared.free_port(), "fsync", inside=["/bin/false"])

PEERS = [sys.executable, str(check.ROOT / "bench/peers/peers.py")]

# In the foreground, until Ctrl-C or until it ends by itself.
for ended in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
    command = [*PEERS, "leat", "start", "--build", check.BUILD, "--data", check.SCRATCH / "front", "--port", str(check.shared.free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as front:
        line = front.stdout.readline()
        assert "serves 127.0.0.1:" in line, line
        broker = int(line.split("process ")[1].split(";")[0])
        os.kill(broker if ended == signal.SIGKILL else front.pid, ended)
        _, said = front.communicate(timeout=check.LIMIT_S)
    assert front.returncode == (1 if ended == signal.SIGKILL else 0), (ended, front.returncode, said)
    assert not os.path.exists(f"/proc/{broker}"), f"{ended}: the broker is still there"
    print(f"ok: in the foreground until {ended.name}")

# A machine without Java and Go: each peer is left out with what would help.
environment = dict(os.environ, PATH="/nonexistent")
done = subprocess.run([*PEERS, "list", "--json", "--build", check.SCRATCH / "empty"], env=environment, capture_output=True, text=True,
                      check=True)
for row in json.loads(done.stdout):
    assert row["state"] == "not to be had" and row["remark"], row
done = subprocess.run([*PEERS, "fetch", "--build", check.SCRATCH / "empty"], env=environment, capture_output=True, text=True)
assert done.returncode == 1 and done.stderr.count("left out: ") == len(check.peers.PEERS), done.stderr
print("ok: without tools nothing is to be had, and it is said")

# A report's configuration names what makes a record durable.
for kind, words in {check.peers.Leat: "default.durability=fsync", check.peers.Kafka: "log.flush.interval.messages=1",
                    check.peers.Nats: "sync_interval: always"}.items():
    assert words in kind().configuration("fsync") and words not in kind().configuration("memory"), kind.name
print("ok: configurations")
