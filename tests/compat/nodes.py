# SPDX-License-Identifier: Apache-2.0
"""Three nodes of one cluster where a test would have one Broker: topics have three replicas, two of which must be in sync."""
import os
import sys
import tempfile
from pathlib import Path

from broker import Broker

sys.path.append(str(Path(__file__).resolve().parent.parent / "fault"))
from cluster import NODES, Cluster  # noqa: E402


class Nodes(Broker):
    def __enter__(self):
        self.scratch = tempfile.TemporaryDirectory(dir=os.environ.get("SCRATCH"))
        name = Path(self.scratch.name).name
        self.cluster = Cluster(name, *self.settings, "min.insync.replicas=2", "default.replication.factor=3")
        self.cluster.launch()
        self.address = self.cluster.brokers
        return self

    def leader(self, topic, partition):
        found = [p["leader"] for p in self.cluster.partitions(topic) if p["partition"] == partition]
        assert found and found[0] in NODES, f"{topic}-{partition} is led by {found}"
        return self.cluster.nodes[found[0]].wanted

    def said(self):
        return "\n".join(f"node {i}:\n{node.said()}" for i, node in self.cluster.nodes.items())

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.said())
        self.cluster.stop()
        self.scratch.cleanup()
