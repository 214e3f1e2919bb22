#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Three nodes of one cluster are stopped by SIGTERM and started again, one after the other, twice, while two producers
publish to a topic that has one copy of each partition: the console, which knows nothing of it and must end with status 0, and one
that sees every answer and may be told nothing but what a client retries. Others publish to a topic of three copies.

Each node takes leave: it ends with status 0 within seconds, and long before its session would have ended the others know
that it leads nothing. What has one copy is away until the node is back; what has three is led by another at once, and no
partition of it rests for as long as a session. In the end every acknowledged record is where it was acknowledged,
what was refused because another leads is not there, for a client sends it again, and the console's are there once.

    tests/fault/test_rolling_restart.py
"""
import json
import shutil
import threading

from node import *

NODES, PARTITIONS, ROUNDS, LIMIT_S = (1, 2, 3), 6, 2, 60
COPIED = 6  # producers, so that batches are under way whenever a node hands over
STOP_S, KNOWN_S, BACK_S, REST_S = 10.0, 5.0, 10.0, 10.0  # only a failed test comes near
UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER, TIMED_OUT, NETWORK, NOT_ENOUGH_REPLICAS = 3, 5, 6, 7, 13, 19
RETRIED = {UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER, TIMED_OUT, NETWORK, NOT_ENOUGH_REPLICAS}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def ask_leaders(port, topic="t"):
    client = Client(port)
    try:
        return client.leaders(topic)
    finally:
        client.close()


class Prober(threading.Thread):
    """A producer that is told of every error; one batch at a time, to each partition in turn."""

    def __init__(self, ports, topic, name="probe"):
        super().__init__(daemon=True)
        self.ports, self.topic, self.name = ports, topic, name
        self.ending = False
        self.connections, self.leaders = {}, {}
        self.errors, self.gone, self.acknowledged, self.refused, self.failure = {}, 0, [], [], None
        self.last = {p: time.monotonic() for p in range(PARTITIONS)}
        self.longest = 0.0

    def learn(self):
        for port in self.ports.values():
            try:
                self.leaders = ask_leaders(port, self.topic)
                return
            except Gone:
                continue

    def connection(self, node):
        if node not in self.connections:
            self.connections[node] = Client(self.ports[node])
        return self.connections[node]

    def publish(self, partition, value):
        """Whether it is acknowledged."""
        leader = self.leaders.get(partition, -1)
        if leader < 0:
            return False
        try:
            error, offset = self.connection(leader).produce(self.topic, partition, batch([value]))
        except Gone:
            self.gone += 1
            self.connections.pop(leader, None)
            return False
        if error:
            self.errors[error] = self.errors.get(error, 0) + 1
            if error == NOT_LEADER:
                self.refused.append(value)
            return False
        self.acknowledged.append((partition, offset, value))
        return True

    def run(self):
        number = 0
        try:
            while not self.ending:
                for p in range(PARTITIONS):
                    number += 1
                    if self.publish(p, f"{self.name}-{number}".encode()):
                        now = time.monotonic()
                        self.longest = max(self.longest, now - self.last[p])
                        self.last[p] = now
                    else:
                        self.learn()
                select.select([], [], [], 0.002)
        except SystemExit as stopped:
            self.failure = str(stopped)


class Console(threading.Thread):
    """Lines for the console, which publishes them as it likes."""

    def __init__(self, brokers):
        super().__init__(daemon=True)
        self.process = subprocess.Popen([f"{BUILD}/bin/leat", "-b", brokers, "produce", "t"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.ending, self.count = False, 0

    def run(self):
        while not self.ending and self.process.poll() is None:
            self.process.stdin.write(f"line-{self.count}\n")
            self.process.stdin.flush()
            self.count += 1
            select.select([], [], [], 0.003)

    def end(self):
        self.ending = True
        self.join()
        out, error = self.process.communicate(timeout=LIMIT_S)
        check(self.process.returncode == 0, f"the console ended with {self.process.returncode}: {out}{error}")


def restart(nodes, ports, victim):
    """How long it took to stop, until the others knew, and until it led again."""
    others = [ports[n] for n in NODES if n != victim]
    before = ask_leaders(others[0])
    led = sorted(p for p, leader in before.items() if leader == victim)
    began = time.monotonic()
    nodes[victim].process.send_signal(signal.SIGTERM)
    wait_until(f"the others know that node {victim} leads nothing", lambda: all(
        victim not in ask_leaders(port).values() for port in others))
    known = time.monotonic() - began
    status = nodes[victim].ended()
    stopped = time.monotonic() - began
    said = nodes[victim].said()
    check(status == 0 and "handed over" in said, f"node {victim} took no leave: {status}\n{said[-2000:]}")
    check(stopped < STOP_S and known < KNOWN_S, f"node {victim}: known after {known:.3f} s, stopped after {stopped:.3f} s")
    nodes[victim].start()
    wait_until(f"node {victim} leads again", lambda: ask_leaders(others[0]) == before)
    back = time.monotonic() - began
    check(back < BACK_S, f"node {victim} leads again after {back:.1f} s")
    print(f"ok: node {victim}, {len(led)} partitions: known after {1000 * known:.0f} ms, stopped after {1000 * stopped:.0f} ms, "
          f"led again after {1000 * back:.0f} ms", flush=True)


def all_records(ports, topic):
    found = {}
    for p, leader in ask_leaders(ports[1], topic).items():
        client = Client(ports[leader])
        for _, _, data in client.batches(topic, p, 0):
            found.update(((p, offset), value) for offset, _, value in records_of(data))
        client.close()
    return found


def in_sync(ports):
    """Whether every partition of the topic of three copies has all of them."""
    done = subprocess.run([f"{BUILD}/bin/leat", "-b", f"127.0.0.1:{ports[1]}", "topic", "describe", "u", "--output", "json"],
                          capture_output=True, text=True)
    return done.returncode == 0 and '"partitions"' in done.stdout and all(
        len(p["in_sync"]) == 3 for p in json.loads(done.stdout)[0]["partitions"])


def finished(prober, ports):
    """What one of them was told, held against what is there."""
    prober.ending = True
    prober.join()
    check(prober.failure is None, f"{prober.topic}: {prober.failure}")
    check(set(prober.errors) <= RETRIED, f"{prober.topic}: errors that no client retries: {prober.errors}")
    found = all_records(ports, prober.topic)
    for p, offset, value in prober.acknowledged:
        check(found.get((p, offset)) == value,
              f"{value} of {prober.topic}-{p} at {offset} was acknowledged, and is {found.get((p, offset))}")
    twice = set(prober.refused) & set(found.values())
    check(not twice, f"{prober.topic}: {len(twice)} of {len(prober.refused)} that were refused because another leads are there: {twice}")
    print(f"ok: {prober.topic}: {len(prober.acknowledged)} acknowledged records are there; errors {prober.errors}, {prober.gone} "
          f"connections ended, longest rest of a partition {prober.longest:.2f} s", flush=True)
    return found


def run():
    ports = dict(zip(NODES, free_ports(len(NODES))))
    peers = ",".join(f"127.0.0.1:{port}" for port in ports.values())
    nodes = {}
    for n in NODES:
        data = f"{SCRATCH}/rolling-{n}"
        shutil.rmtree(data, ignore_errors=True)
        nodes[n] = Leatd(data, f"node.id={n}", f"peers=[{peers}]", port=ports[n]).launch()
    for n in NODES:
        wait_until(f"node {n} is ready", lambda: "ready:" in nodes[n].said(), LIMIT_S)
        nodes[n].port = ports[n]
    client = Client(ports[1])
    client.create("t", PARTITIONS)
    client.close()
    leaders = ask_leaders(ports[1])
    check(set(leaders.values()) == set(NODES), f"not every node leads something: {leaders}")
    wait_until("all nodes know the leaders", lambda: all(ask_leaders(port) == leaders for port in ports.values()))
    check(subprocess.run([f"{BUILD}/bin/leat", "-b", peers, "topic", "create", "u", "-p", str(PARTITIONS), "-r", "3"],
                         stdout=subprocess.DEVNULL).returncode == 0, "a topic of three copies is not made")
    wait_until("three copies are in sync", lambda: in_sync(ports))
    alone, console = Prober(ports, "t"), Console(peers)
    copied = [Prober(ports, "u", f"probe-{i}") for i in range(COPIED)]
    for thread in (alone, *copied, console):
        thread.start()
    for _ in range(ROUNDS):
        for n in NODES:
            before = [len(prober.acknowledged) for prober in (alone, *copied)]
            restart(nodes, ports, n)
            wait_until("three copies are in sync again", lambda: in_sync(ports))
            wait_until("records are acknowledged", lambda: all(
                len(prober.acknowledged) > n + 100 for prober, n in zip((alone, *copied), before)))
    console.end()
    found = finished(alone, ports)
    for prober in copied:
        finished(prober, ports)
        check(prober.longest < REST_S, f"a partition of three copies took nothing for {prober.longest:.2f} s")
    times = {}
    for value in found.values():
        times[value] = times.get(value, 0) + 1
    for i in range(console.count):
        seen = times.get(f"line-{i}".encode(), 0)
        check(seen == 1, f"line-{i} of the console is there {seen} times")
    for n in NODES:
        nodes[n].stop()
    print(f"ok: all {console.count} lines of the console are there once", flush=True)


run()
