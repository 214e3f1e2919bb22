# SPDX-License-Identifier: Apache-2.0
"""Three real nodes with topics, and clients that write a history of what they sent, were told and read."""
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "fault"))
from cluster import *  # noqa: E402

PARTITIONS, TOPIC, TRIMMED = 6, "t", "trimmed"
ANSWERS = 40  # acknowledgements in each partition


class HistoryCluster(Cluster):
    def __init__(self, memory=False, name="history-cluster", settings=(), **more):
        super().__init__(name, *settings, **more)
        self.memory = memory

    def start(self):
        self.launch()
        more = ["--topic-config", "durability=memory"] if self.memory else []
        self.does("topic", "create", TOPIC, "--partitions", str(PARTITIONS), "--replicas", "3", "--topic-config", "min.insync.replicas=2",
                  *more)
        self.trim()

    def trim(self):
        """A topic whose log begins behind 0: who has nothing of it has to begin there."""
        self.does("topic", "create", TRIMMED, "--partitions", "1", "--replicas", "3")
        self.does("produce", TRIMMED, text="".join(f"{n}\n" for n in range(100)))
        self.does("topic", "trim", TRIMMED, "--offset", "50")

    def leader(self):
        """A node that leads a partition."""
        return random.choice([p["leader"] for p in self.partitions(TOPIC) if p["leader"] in NODES] or NODES)

    def controller(self):
        status, out, _ = self.leat("cluster", "quorum", "--output", "json")
        leader = json.loads(out).get("leader") if status == 0 else None
        return leader if leader in NODES else random.choice(NODES)


class Clients:
    def __init__(self, cluster, seed, folder):
        self.cluster = cluster
        self.process = subprocess.Popen([f"{BUILD}/tests/history_clients", cluster.brokers, TOPIC, str(PARTITIONS), str(seed)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, "LEAT_HISTORY": folder})
        atexit.register(self.process.kill)
        self.acknowledged, self.changed, self.errors, self.over = [0] * PARTITIONS, threading.Condition(), [], False
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            found = re.match(r"(\d+) (\d+)$", line)
            with self.changed:
                if found:
                    self.acknowledged[int(found[1])] = int(found[2])
                self.changed.notify_all()
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def more(self, count):
        """Waits for so many more acknowledgements in every partition; how long it took."""
        begun = time.monotonic()
        with self.changed:
            wanted = [n + count for n in self.acknowledged]
            good = self.changed.wait_for(lambda: self.over or all(n >= w for n, w in zip(self.acknowledged, wanted)), BACK_S)
            if not good or self.over:
                fail(f"the clients do not go on ({self.acknowledged}): {self.errors[-5:]}\n{self.cluster.leat('topic', 'describe', TOPIC)[1]}")
        return time.monotonic() - begun

    def end(self):
        self.process.stdin.close()
        check(self.process.wait(180) == 0, f"the clients failed: {self.errors[-5:]}")


def judge(cluster, history):
    """The cluster is stopped."""
    cluster.same(TOPIC, PARTITIONS)
    done = subprocess.run([sys.executable, str(HERE / "check.py"), history])
    check(done.returncode == 0, f"the history {history} is not right")
