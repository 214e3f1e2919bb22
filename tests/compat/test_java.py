#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Java client: Admin, producer and consumer, in every codec."""
import os
import shutil
import subprocess
from pathlib import Path

from broker import CODECS, Broker, same, skip

HERE = Path(__file__).resolve().parent

for program in ("java", "mvn"):
    if not shutil.which(program):
        skip(f"{program} is not installed")
# The client is kept beside the build, so that it is fetched once.
jars = Path(os.environ.get("BUILD", "build")).resolve() / "kafka-clients"
if not any(jars.glob("kafka-clients-*.jar")):
    fetched = subprocess.run(["mvn", "-q", "-B", "-f", HERE / "java.xml", "dependency:copy-dependencies",
                              f"-DoutputDirectory={jars}"], capture_output=True, text=True, timeout=300)
    if fetched.returncode != 0:
        skip("mvn cannot fetch kafka-clients: " + (fetched.stdout.strip().splitlines() or ["no reason given"])[0])

with Broker(shards=3) as b:
    done = subprocess.run(["java", "-cp", f"{jars}/*", HERE / "Java.java", b.address], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout.strip())
    for codec in CODECS:
        same(b.codecs(f"java-{codec}"), {codec}, f"java-{codec}: its codec")
