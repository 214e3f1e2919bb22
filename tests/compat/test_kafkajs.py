#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kafkajs publishes and consumes in a group, kcat reads."""
import shutil
import subprocess

from broker import same, skip
from groups import group_broker
from kafkajs import kafkajs, runnable

if not shutil.which("kcat"):
    skip("kcat is not installed")
modules, why = kafkajs()
if not modules:
    skip(why)

with group_broker(2) as b, runnable(modules, "kafkajs.js") as (command, more):
    done = subprocess.run([*command, b.address], capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout.strip())
    for codec in ("none", "gzip"):
        for partition in range(2):
            got = subprocess.run(["kcat", "-b", b.address, "-C", "-t", f"js-{codec}", "-p", str(partition), "-e",
                                  "-q", "-o", "beginning", "-f", "%k|%s|%h\n"], capture_output=True, text=True,
                                 timeout=60, check=True).stdout
            wanted = "".join(f"k{n}-{i}|v{n}-{i} {'x' * 100}|h={n}\n" for n in range(partition, 20, 2)
                             for i in range(10))
            same(got, wanted, f"js-{codec}-{partition}: everything comes back")
            same(b.codecs(f"js-{codec}", partition), {codec}, f"js-{codec}-{partition}: its codec")
