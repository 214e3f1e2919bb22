#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Groups of the Java client: range and cooperative-sticky, static members, Admin, and Kafka's own group tool."""
import os
import shutil
import subprocess
from pathlib import Path

from broker import skip
from groups import group_broker

HERE = Path(__file__).resolve().parent

for program in ("java", "mvn"):
    if not shutil.which(program):
        skip(f"{program} is not installed")
# The tools are kept beside the build, so that they are fetched once.
jars = Path(os.environ.get("BUILD", "build")).resolve() / "kafka-tools"
if not any(jars.glob("kafka-tools-*.jar")):
    fetched = subprocess.run(["mvn", "-q", "-B", "-f", HERE / "java_tools.xml", "dependency:copy-dependencies",
                              f"-DoutputDirectory={jars}"], capture_output=True, text=True, timeout=300)
    if fetched.returncode != 0:
        skip("mvn cannot fetch kafka-tools: " + (fetched.stdout.strip().splitlines() or ["no reason given"])[0])

with group_broker(3) as b:
    program = subprocess.Popen(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", HERE / "JavaGroups.java", b.address],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in program.stdout:
        if line == "KILL\n":
            b.kill_and_start()
            program.stdin.write("\n")
            program.stdin.flush()
        else:
            print(line, end="", flush=True)
    status = program.wait(30)
    assert status == 0, f"the program ended with {status}"
