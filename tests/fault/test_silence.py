#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Three nodes, of which one at a time is frozen (SIGSTOP): its connections stand, its machine takes what is sent, nothing is
answered. A producer and a reader for each partition, the members of a group and the console, all of libleat, are to go on with the
two others while it is frozen, whatever it led: partitions, the group, the cluster. What is frozen is thawed (SIGCONT) when they do,
and must find its place again.

Times are printed. The limit only ends a test that has failed: who waits for a frozen node waits for a request's 30 s and more. A
frozen controller takes longest, for its successor is elected first and then gives every node a whole session.

    tests/fault/test_silence.py [--rounds N] [--seed N]
"""
import argparse
import json
import random
import shutil
import threading

from node import *

NODES, PARTITIONS, TOPIC, GROUP = (1, 2, 3), 6, "t", "g"
READY_S, LIMIT_S, MORE = 60, 15, 20
SETTINGS = ("journal.file.bytes=2MiB", "journal.bytes.max=48MiB", "disk.reserve.bytes=1MiB")
CONSOLE = (("topic", "list"), ("topic", "describe", TOPIC), ("cluster", "quorum"), ("group", "list"), ("group", "describe", GROUP))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    def __init__(self):
        ports = {i: free_port() for i in NODES}
        self.brokers = ",".join(f"127.0.0.1:{ports[i]}" for i in NODES)
        self.nodes = {}
        for i in NODES:
            data = f"{SCRATCH}/silence-{i}"
            shutil.rmtree(data, ignore_errors=True)
            self.nodes[i] = Leatd(data, *SETTINGS, f"node.id={i}", f"peers=[{self.brokers}]", port=ports[i])
            self.nodes[i].launch()
        wait_until("all nodes serve", lambda: all("ready:" in n.said() for n in self.nodes.values()), READY_S)
        wait_until("the cluster is healthy", lambda: self.leat("cluster", "health")[0] == 0, READY_S)
        status, _, said = self.leat("topic", "create", TOPIC, "--partitions", str(PARTITIONS), "--replicas", "3", "--topic-config",
                                    "min.insync.replicas=2")
        check(status == 0, f"no topic: {said}")

    def leat(self, *words):
        done = subprocess.run([f"{BUILD}/bin/leat", "-b", self.brokers, *words], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def answers(self, commands, victim):
        """How long the console took for them."""
        begun = time.monotonic()
        for words in commands:
            status, _, said = self.leat(*words)
            check(status == 0, f"leat {' '.join(words)} without node {victim}: {said}")
        took = time.monotonic() - begun
        check(took < LIMIT_S, f"the console waited for node {victim}, {took:.1f} s")
        return took

    def told(self, *words):
        status, out, said = self.leat(*words, "--output", "json")
        check(status == 0, f"leat {' '.join(words)}: {said}")
        return json.loads(out)

    def partitions(self):
        return self.told("topic", "describe", TOPIC)[0]["partitions"]

    def in_sync(self):
        """As each node knows it: one that was frozen may still tell, and serve, what was so before."""
        views = []
        for node in self.nodes.values():
            status, out, _ = self.leat("-b", f"127.0.0.1:{node.wanted}", "topic", "describe", TOPIC, "--output", "json")
            found = json.loads(out)[0]["partitions"] if status == 0 else []
            views.append([(p["leader"], p["epoch"], p["in_sync"]) for p in found])
        return views[0] and all(v == views[0] for v in views) and all(len(isr) == len(NODES) for _, _, isr in views[0])

    def victims(self):
        """Whose silence hurts: who leads a partition, the group, the cluster."""
        described = self.told("group", "describe", GROUP)
        group = described[0] if isinstance(described, list) else described
        return {"a leader": random.choice(self.partitions())["leader"], "the coordinator": group["coordinator"],
                "the controller": self.told("cluster", "quorum")["leader"]}


class Program:
    """Something that prints a line for each step that it takes; steps() says which of its counters the line moves."""

    def __init__(self, counters, steps, *command, **environment):
        self.counts, self.steps, self.changed, self.over = [0] * counters, steps, threading.Condition(), False
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **environment})
        self.errors = []
        atexit.register(self.process.kill)
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            moved = self.steps(line)
            if moved:
                with self.changed:
                    self.counts[moved[0]] += moved[1]
                    self.changed.notify_all()
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def more(self, since, what, limit=LIMIT_S):
        """Waits until every counter has moved on by MORE since it stood at `since`."""
        begun = time.monotonic()
        with self.changed:
            good = self.changed.wait_for(
                lambda: self.over or all(n >= s + MORE for n, s in zip(self.counts, since)), limit)
            check(good and not self.over, f"{what}: not within {limit} s, {since} has become {self.counts}: {self.errors[-5:]}")
        return time.monotonic() - begun

    def end(self):
        self.process.stdin.close()
        check(self.process.wait(180) == 0, f"{self.process.args[0]} failed: {self.errors[-5:]}")


def acknowledged(line):
    """Producers print a line for every 20 acknowledgements of a partition."""
    found = re.match(r"(\d+) \d+$", line)
    return (int(found[1]), 20) if found else None


def received(line):
    """Members print each record."""
    found = re.match(r"\d+ record (\d+) ", line)
    return (int(found[1]), 1) if found else None


def freeze(cluster, victim, role, clients, members):
    node = cluster.nodes[victim]
    node.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    asked = cluster.answers(CONSOLE[:1], victim)
    # What was answered before it stopped has come by now, or is less than what is waited for.
    clients.more(clients.counts[:], f"producers and readers go on without node {victim}")
    went_on = time.monotonic() - begun
    members.more(members.counts[:], f"members go on without node {victim}")
    both = time.monotonic() - begun
    late = cluster.answers(CONSOLE, victim)
    node.process.send_signal(signal.SIGCONT)
    clients.more(clients.counts[:], f"producers and readers go on with node {victim}")
    wait_until(f"node {victim} is in sync again", cluster.in_sync, READY_S)
    print(f"{role}, node {victim}, frozen: the console answered after {asked:.1f} s, producers went on after {went_on:.1f} s, "
          f"members after {both:.1f} s; then the console answered {len(CONSOLE)} times in {late:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    arguments = parser.parse_args()
    print("seed", arguments.seed, flush=True)
    random.seed(arguments.seed)
    cluster = Cluster()
    clients = Program(PARTITIONS, acknowledged, f"{BUILD}/tests/history_clients", cluster.brokers, TOPIC, str(PARTITIONS),
                      str(arguments.seed), LEAT_HISTORY=SCRATCH)
    members = Program(PARTITIONS, received, f"{BUILD}/tests/leat-member", cluster.brokers, GROUP, TOPIC, "2")
    clients.more(clients.counts[:], "producers and readers begin", READY_S)
    members.more(members.counts[:], "members begin", READY_S)
    for _ in range(arguments.rounds):
        for role in ("a leader", "the coordinator", "the controller"):
            freeze(cluster, cluster.victims()[role], role, clients, members)
    members.end()
    clients.end()
    for node in cluster.nodes.values():
        node.stop()
    history = f"{SCRATCH}/cluster-{arguments.seed}.jsonl"
    done = subprocess.run([sys.executable, f"{os.path.dirname(os.path.abspath(__file__))}/../history/check.py", history])
    check(done.returncode == 0, f"the history {history} is not right")


main()
