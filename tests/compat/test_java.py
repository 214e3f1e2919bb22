#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Java client: Admin, producer and consumer, in every codec."""
import subprocess
from pathlib import Path

from broker import CODECS, Broker, same, skip
from members import java_client

HERE = Path(__file__).resolve().parent

jars, why = java_client()
if not jars:
    skip(why)
with Broker(shards=3) as b:
    done = subprocess.run(["java", "-cp", f"{jars}/*", HERE / "Java.java", b.address], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout.strip())
    for codec in CODECS:
        same(b.codecs(f"java-{codec}"), {codec}, f"java-{codec}: its codec")
