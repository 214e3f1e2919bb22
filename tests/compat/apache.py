# SPDX-License-Identifier: Apache-2.0
"""One node of Apache Kafka, broker and controller, for the tests of libleat against somebody else's broker."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from broker import skip

HERE = Path(__file__).resolve().parent
JARS = Path(os.environ.get("BUILD", "build")).resolve() / "kafka-broker"
JAVA_LEAST = 17
# One class loader, one garbage collector's thread, no second compilation: ready in a few seconds.
JAVA = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
        "-cp", f"{JARS}/*"]
START_S = 60

PROPERTIES = """process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
"""


def fetch():
    """The jars, kept beside the build; skips the test where they or Java cannot be had."""
    for program in ("java", "mvn"):
        if not shutil.which(program):
            skip(f"{program} is not installed")
    said = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(\d+)', said)
    if not version or int(version.group(1)) < JAVA_LEAST:
        skip(f"Kafka needs Java {JAVA_LEAST}: {said.splitlines()[0] if said else 'java says nothing'}")
    if any(JARS.glob("kafka_2.13-*.jar")):
        return
    # Moved into place at the end, so that half a download is not taken for all of it.
    with tempfile.TemporaryDirectory(dir=JARS.parent) as folder:
        fetched = subprocess.run(["mvn", "-q", "-B", "-f", HERE / "kafka.xml", "dependency:copy-dependencies",
                                  "-DincludeScope=runtime", f"-DoutputDirectory={folder}/jars"],
                                 capture_output=True, text=True, timeout=300)
        if fetched.returncode != 0:
            skip("mvn cannot fetch Apache Kafka: " + (fetched.stdout.strip().splitlines() or ["no reason given"])[0])
        shutil.rmtree(JARS, ignore_errors=True)
        Path(folder, "jars").rename(JARS)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Kafka:
    """with Kafka() as k: k.address is "127.0.0.1:PORT"; k.kill() and k.start() again are allowed."""

    def __enter__(self):
        fetch()
        self.scratch = tempfile.TemporaryDirectory(dir=os.environ.get("SCRATCH"))
        port, controller = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.properties = f"{self.scratch.name}/server.properties"
        with open(self.properties, "w") as out:
            out.write(PROPERTIES.format(port=port, controller=controller, folder=self.scratch.name))
        done = subprocess.run([*JAVA, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", self.properties],
                              capture_output=True, text=True, timeout=START_S)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start()
        return self

    def start(self):
        self.lines, self.ready = [], threading.Event()
        self.process = subprocess.Popen([*JAVA, "kafka.Kafka", self.properties], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read, args=(self.process.stdout,))
        self.reader.start()
        if not self.ready.wait(START_S) or self.process.poll() is not None:
            self.kill()
            raise AssertionError("Kafka did not start:\n" + "".join(self.lines[-40:]))

    def read(self, stream):
        for line in stream:
            self.lines.append(line)
            if "Kafka Server started" in line:
                self.ready.set()
        self.ready.set()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def __exit__(self, kind, value, trace):
        alive = self.process.poll() is None
        self.kill()
        if kind is not None or not alive:
            print("Kafka said, at the end:\n" + "".join(self.lines[-40:]))
        self.scratch.cleanup()
