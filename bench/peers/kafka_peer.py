# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka as mvn fetches it: one node that is broker and controller. It is configured as its distribution is, but
for the heap; kafka_pom.xml names the version."""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from peer import Peer, Unavailable, free_port, kafka_answers, run_counted

HERE = Path(__file__).resolve().parent
JAVA_LEAST = 17
FORMAT_S = 120
CLUSTER = "4L6g3nShT-eMCtK--X86sw"

# What kafka-run-class.sh of the distribution gives to the JVM, with a fixed heap of 1 GiB.
JVM = ["-Xms1g", "-Xmx1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
       "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"]

# The formatting is over in a moment: for it, what starts quickly.
FORMAT_JVM = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

# config/server.properties of the distribution; addresses, the folder and the last lines are ours.
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs={data}/data
num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""
FLUSH = {"memory": "", "fsync": "log.flush.interval.messages=1\n"}


class Kafka(Peer):
    name = "kafka"
    protocol = "Kafka"
    meaning = {"memory": "as shipped: acknowledged from the page cache, flushed when a segment is full",
               "fsync": "log.flush.interval.messages=1: each append is flushed before it is acknowledged"}
    answers = staticmethod(kafka_answers)

    @property
    def version(self):
        for dependency in ElementTree.parse(HERE / "kafka_pom.xml").findall(".//{*}dependency"):
            if dependency.findtext("{*}artifactId") == "kafka_2.13":
                return dependency.findtext("{*}version")
        raise LookupError("kafka_pom.xml names no kafka_2.13")

    def jars(self, build):
        return build / "peers" / f"kafka-{self.version}"

    def availability(self, build):
        if not shutil.which("java"):
            return "not to be had", "java is not installed; deploy/dependencies.sh bench installs it"
        said = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
        java = re.search(r'version "(\d+)', said)
        if not java or int(java.group(1)) < JAVA_LEAST:
            return "not to be had", f"it needs Java {JAVA_LEAST}, and there is {said.splitlines()[0] if said else 'another'}"
        if self.jars(build).is_dir():
            return "there", ""
        if not shutil.which("mvn"):
            return "not to be had", "mvn is not installed; deploy/dependencies.sh bench installs it"
        return "can be fetched", "by mvn, 45 MB"

    def get(self):
        # Moved into place at the end, so that half a download is not taken for all of it.
        with tempfile.TemporaryDirectory(dir=self.build / "peers") as folder:
            fetched, lines = run_counted(
                f"fetching Apache Kafka {self.version} by mvn",
                ["mvn", "-B", "-f", HERE / "kafka_pom.xml", "dependency:copy-dependencies", "-DincludeScope=runtime",
                 f"-DoutputDirectory={folder}/jars"], "^\\[INFO\\] Copying ")
            if not fetched:
                why = next((line for line in lines if line.startswith("[ERROR]")), "no reason given")
                raise Unavailable(f"kafka: mvn cannot fetch it: {why:.300}\nIt needs a repository of Maven that it can reach "
                                  "(a mirror or a proxy stands in ~/.m2/settings.xml)")
            Path(folder, "jars").rename(self.jars(self.build))

    def java(self, options, *more):
        return ["java", *options, f"-Dlog4j2.configurationFile={HERE}/log4j2.xml", "-cp", f"{self.jars(self.build)}/*", *more]

    def command(self, data, port, durability):
        return self.java(JVM, "kafka.Kafka", f"{data}/server.properties")

    def properties(self, data, port, controller, durability):
        return PROPERTIES.format(data=data, port=port, controller=controller) + FLUSH[durability]

    def configuration(self, durability, data="DATA", port="PORT"):
        command = f"java {' '.join(JVM)} -Dlog4j2.configurationFile=log4j2.xml -cp JARS/* kafka.Kafka {data}/server.properties"
        return f"{command}\n\n# {data}/server.properties\n" + self.properties(data, port, "CONTROLLER_PORT", durability)

    def prepare(self, data, port, durability):
        path = data / "server.properties"
        # The quorum remembers the address of its only voter: a folder keeps its controller's port.
        before = re.search(r"CONTROLLER://127\.0\.0\.1:(\d+)", path.read_text()) if path.exists() else None
        path.write_text(self.properties(data, port, before.group(1) if before else free_port(), durability))
        if before:
            return
        done = subprocess.run(self.java(FORMAT_JVM, "kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER, "-c", path),
                              capture_output=True, text=True, timeout=FORMAT_S)
        if done.returncode != 0:
            path.unlink()
            raise RuntimeError(f"kafka cannot format {data}:\n{done.stdout}{done.stderr}")
