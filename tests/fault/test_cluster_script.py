#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""deploy/cluster.sh as a person uses it: three nodes are founded, and two topics are published to, partition by partition: "t",
each partition of which has one replica, and "r", made without a word about replicas, so that it has three.

Each node is killed once (kill -9), the leader of the metadata quorum first: the others have a controller within 10 s,
say what is missing, serve their own partitions of "t" and all of "r" meanwhile; started again, the node brings its partitions
back with all their records. A node is drained and leads again, all are, a fourth one comes and is forgotten, and two are gone at once, and the quorum is led by whom an operator names. Ctrl-C and
`stop` end all of them, one after the other, and `demo` counts its events.

    tests/fault/test_cluster_script.py
"""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.path.abspath(os.environ.get("BUILD", f"{ROOT}/build"))
SCRATCH = os.path.abspath(os.environ.get("SCRATCH", "/tmp"))
SCRIPT = f"{ROOT}/deploy/cluster.sh"
PARTITIONS, RECORDS, NOT_LEADER = 6, 50, 6
ELECTION_S, LIMIT_S = 10, 60


def fail(text):
    print(f"FAILED: {text}", flush=True)
    sys.exit(1)


def check(good, text):
    if not good:
        fail(text)


def three_ports():
    """A first port such that it, and those 100 and 200 above, are free."""
    for first in range(20000 + os.getpid() % 9000, 32000):
        try:
            for port in (first, first + 100, first + 200):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    fail("no three free ports")


class Cluster:
    def __init__(self):
        self.port = three_ports()
        self.data = f"{SCRATCH}/cluster-script"
        shutil.rmtree(self.data, ignore_errors=True)
        self.brokers = ",".join(f"127.0.0.1:{self.port + 100 * i}" for i in range(3))
        self.environment = {**os.environ, "LEAT_BUILD": BUILD, "LEAT_CLUSTER_PORT": str(self.port), "LEAT_CLUSTER_DATA": self.data}
        self.processes = []

    def script(self, *words):
        done = subprocess.run([SCRIPT, *words], env=self.environment, capture_output=True, text=True, timeout=LIMIT_S)
        return done.returncode, done.stdout + done.stderr

    def launch(self, *words, stdout=subprocess.DEVNULL):
        process = subprocess.Popen([SCRIPT, *words], env=self.environment, stdout=stdout, stderr=subprocess.STDOUT,
                                   text=True, start_new_session=True)
        self.processes.append(process)
        return process

    def start(self):
        process, said = self.launch(stdout=subprocess.PIPE), ""
        for line in process.stdout:
            said += line
            if "cluster health" in line:
                break
        for number in range(3):
            check(re.search(rf"^{number + 1} +127\.0\.0\.1:{self.port + 100 * number} +\d+ +{self.data}/{number + 1}$", said, re.M),
                  f"the screen does not show node {number + 1}:\n{said}")
        check(re.search(r"^leader [123], epoch \d+, committed up to offset \d+$", said, re.M), f"the screen shows no leader:\n{said}")
        return process

    def pid(self, number):
        with open(f"{self.data}/{number}.pid") as f:
            return int(f.read())

    def leat(self, *words, text=""):
        done = subprocess.run([f"{BUILD}/bin/leat", "-b", self.brokers, "--timeout", "10s", *words], input=text, capture_output=True,
                              text=True, timeout=LIMIT_S)
        return done.returncode, done.stdout, done.stderr

    def json(self, *words):
        status, out, error = self.leat(*words, "--output", "json")
        check(out, f"leat {' '.join(words)}: {status}: {error}")
        return json.loads(out)

    def leaders(self):
        """{partition: leader}"""
        return {p["partition"]: p["leader"] for p in self.json("topic", "describe", "t")[0]["partitions"]}

    def quorum(self):
        """The quorum, or None while nobody leads it."""
        status, out, _ = self.leat("cluster", "quorum", "--output", "json")
        return json.loads(out) if status == 0 else None

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        self.script("stop")


def eventually(what, seconds, holds):
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        check(time.monotonic() < deadline, f"not within {seconds} s: {what}")


def described(port):
    """(error, leader, epoch, high watermark, voters) as one node answers DescribeQuorum 0 (55)."""
    name = b"__cluster_metadata"
    body = struct.pack(">hhihB", 55, 0, 1, -1, 0) + bytes([2, len(name) + 1]) + name + b"\2" + struct.pack(">i", 0) + b"\0\0\0"
    with socket.create_connection(("127.0.0.1", port), 10) as s, s.makefile("rb") as answers:
        s.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", answers.read(4))
        answer = answers.read(size)
    index, error, leader, epoch, high, voters = struct.unpack_from(">ihiiqB", answer, 10 + len(name))
    check(index == 0, f"DescribeQuorum: {answer}")
    return error, leader, epoch, high, voters - 1


def asked_anywhere(cluster):
    """Each node names the leader, which alone knows more; the console finds it from any of them."""
    quorum = cluster.quorum()
    check([r["id"] for r in quorum["replicas"] if r["role"] != "observer"] == [1, 2, 3] and quorum["high_watermark"] > 0, f"{quorum}")
    for number in (1, 2, 3):
        port = cluster.port + 100 * (number - 1)
        error, leader, epoch, high, voters = described(port)
        check((leader, epoch) == (quorum["leader"], quorum["epoch"]), f"node {number} names leader {leader} of epoch {epoch}: {quorum}")
        if number == leader:
            check(error == 0 and high > 0 and voters == 3, f"the leader says {error}, {high}, {voters} voters")
        else:
            check(error == NOT_LEADER and high == -1 and voters == 0, f"node {number} says {error}, {high}, {voters} voters")
        status, out, err = cluster.leat("-b", f"127.0.0.1:{port}", "cluster", "quorum", "--output", "json")
        check(status == 0 and json.loads(out)["leader"] == leader, f"from node {number}: {out}{err}")
    print(f"ok: every node knows that node {quorum['leader']} leads", flush=True)


def roles(cluster):
    """{node: role} of those that vote, or None while nobody leads."""
    quorum = cluster.quorum()
    return quorum and {r["id"]: r["role"] for r in quorum["replicas"] if r["role"] != "observer"}


def voters(cluster):
    """The leader loses its vote and gets it back, a node whose data are lost gets a new one, and none goes that is needed."""
    leader = cluster.quorum()["leader"]
    status, out, error = cluster.leat("cluster", "remove", str(leader))
    check((status, out) == (0, f"node {leader} does not vote any more\n"), f"remove: {status}: {out}{error}")
    eventually("another leader, which the old one follows", ELECTION_S, lambda: (q := cluster.quorum()) and
               any(r["id"] == leader and r["role"] == "observer" for r in q["replicas"]))
    status, out, error = cluster.leat("cluster", "add", str(leader))
    check((status, out) == (0, f"node {leader} votes\n"), f"add: {status}: {out}{error}")
    now = cluster.quorum()["leader"]
    lost, other = (n for n in (1, 2, 3) if n != now)
    os.kill(cluster.pid(lost), signal.SIGKILL)
    shutil.rmtree(f"{cluster.data}/{lost}")
    status, _, error = cluster.leat("cluster", "remove", str(other))
    check(status == 1 and "would not be heard of" in error, f"a voter that is needed: {status}: {error}")
    cluster.launch("node", str(lost))
    eventually("the lost node is back", ELECTION_S, lambda: (q := cluster.quorum()) and len(q["replicas"]) == 4)
    status, _, error = cluster.leat("cluster", "add", str(lost))
    check(status == 1 and "remove that voter first" in error, f"its old vote stands: {status}: {error}")
    for action in ("remove", "add"):
        status, out, error = cluster.leat("cluster", action, str(lost))
        check(status == 0, f"{action} {lost}: {status}: {out}{error}")
    eventually("three voters", ELECTION_S, lambda: (r := roles(cluster)) and sorted(r) == [1, 2, 3])
    status, _, error = cluster.leat("cluster", "add", str(lost))
    check(status == 1 and error == f"leat: node {lost} votes already\n", f"twice: {status}: {error}")
    eventually("health", ELECTION_S, lambda: cluster.leat("cluster", "health")[0] == 0)
    print(f"ok: node {leader} led, did not vote, and votes again; node {lost} votes with a new directory", flush=True)


def found(cluster):
    eventually("three active brokers", ELECTION_S, lambda: [b["state"] for b in cluster.json("cluster", "brokers")] == ["active"] * 3)
    for words in (("t", "--replicas", "1"), ("r",)):
        status, out, error = cluster.leat("topic", "create", *words, "-p", str(PARTITIONS))
        check(status == 0, f"topic create: {out}{error}")
    partitions = cluster.json("topic", "describe", "r")[0]["partitions"]
    check(all(sorted(p["replicas"]) == [1, 2, 3] for p in partitions), f"r has not three replicas: {partitions}")
    status, out, error = cluster.leat("topic", "reassign", "r", "--replicas", "3")
    check((status, out, error) == (2, "", "leat: r-0 has 3 replicas and would have 1: nothing was changed (--shrink says that this is meant)\n"),
          f"shrink: {status}: {out}{error}")
    leaders = eventually("leaders of all partitions", ELECTION_S, lambda: (f := cluster.leaders()) and min(f.values()) >= 1 and f)
    check(set(leaders.values()) == {1, 2, 3}, f"{PARTITIONS} partitions are led by {sorted(set(leaders.values()))} alone")
    for p in range(PARTITIONS):
        publish(cluster, p, 0)
        publish(cluster, p, 0, "r")
    print(f"ok: three nodes, topic t with {PARTITIONS} partitions on all of them", flush=True)
    return leaders


def publish(cluster, partition, round_number, topic="t"):
    lines = "".join(f"{partition}-{round_number}-{n}\n" for n in range(RECORDS))
    status, _, error = cluster.leat("produce", topic, "-p", str(partition), text=lines)
    check(status == 0, f"{topic}-{partition} takes nothing: {error}")


def read(cluster, partition, rounds, topic="t"):
    status, out, error = cluster.leat("consume", topic, "-p", str(partition), "-e", "-o", "beginning")
    wanted = [f"{partition}-{r}-{n}" for r in rounds for n in range(RECORDS)]
    check(status == 0 and out.split() == wanted, f"{topic}-{partition}: {len(out.split())} records, not {len(wanted)}: {error}")


def rest_is_read(cluster, leaders, lost):
    """A partition without a leader keeps nobody from reading the others, and no member of a group from leaving it."""
    led = sorted(f"{p}-0-{n}" for p in set(leaders) - set(lost) for n in range(RECORDS))
    names = ", ".join(f"t-{p}" for p in lost)
    for words, wanted in (((), led), (("-o", "-2"), [line for line in led if int(line.rsplit("-")[-1]) >= RECORDS - 2]), (("-g", "rest"), led)):
        status, out, error = cluster.leat("--timeout", "30s", "consume", "t", "-e", *words)
        check(status == 1 and sorted(out.split()) == wanted, f"consume t -e {words}: {status}: {len(out.split())} records, not {len(wanted)}: {error}")
        check(error == f"leat: {names} {'has' if len(lost) == 1 else 'have'} no leader at the moment: not read\n", f"consume t -e {words}: {error}")
    check(cluster.json("group", "describe", "rest")[0]["members"] == [], "a member that could not read everything has not left")
    status, out, error = cluster.leat("consume", "t", "-o", "-2", "-n", str(2 * len(set(leaders) - set(lost))))
    check(status == 0 and f"{names} " in error and "read when there is one" in error, f"consume -o -2: {status}: {out}{error}")
    print(f"ok: without {names} the rest is read", flush=True)


def without(cluster, victim, leaders, rounds):
    """One node is gone: who is left elects, tells, and serves what it has."""
    led = cluster.quorum()["leader"]
    killed = time.monotonic()
    os.kill(cluster.pid(victim), signal.SIGKILL)
    quorum = eventually("a controller among the others", ELECTION_S, lambda: (q := cluster.quorum()) and q["leader"] != victim and q)
    took = time.monotonic() - killed
    check(took < ELECTION_S, f"an election took {took:.1f} s")
    check(led == victim or quorum["leader"] == led, f"node {led} lived and led, and leads no more")
    lost = sorted(p for p, leader in leaders.items() if leader == victim)
    health = eventually("the missing broker is told", ELECTION_S, lambda: (h := cluster.json("cluster", "health")) and
                        h["fenced_brokers"] == [victim] and h["leaderless"] == len(lost) and h)
    check(not health["healthy"] and health["controller"] and health["first_leaderless"] == [f"t-{p}" for p in lost], f"{health}")
    status, out, _ = cluster.leat("cluster", "health")
    check(status == 1 and f"not heard of: broker {victim} " in out and f"without a leader: t-{lost[0]}" in out, f"{status}: {out}")
    check(f"under-replicated: {health['first_under_replicated'][0]}, " in out and len(health["first_under_replicated"]) == 5 and
          (health["brokers"], health["voters"], health["moving"]) == (3, 3, 0), f"{health}: {out}")
    status, out, error = cluster.leat("cluster", "health", "--local")
    check((status, out) == (0, "this broker answers and knows a controller\n"), f"--local: {status}: {out}{error}")
    status, out, error = cluster.leat("cluster", "config", str(victim))
    check(status == 1 and f"broker {victim} is not heard of" in error, f"config: {status}: {out}{error}")
    status, out, error = cluster.leat("topic", "offsets", "t", "--output", "json")
    check(status == 1 and error == f"leat: offsets are not known without a leader: {', '.join(f't-{p}' for p in lost)}\n" and
          [row["partition"] for row in json.loads(out) if (row["start"], row["end"], row["offsets"]) == (None, None, None)] == lost,
          f"offsets: {status}: {out}{error}")
    check(re.search(rf"^t +{lost[0]} +- +- +-$", cluster.leat("topic", "offsets", "t")[1], re.M), "an offset that is not known is no dash")
    check(cluster.leat("topic", "alter", "r", "--set", "min.insync.replicas=3")[0] == 0, "topic alter r")
    health = eventually("what takes no acks=all is told", ELECTION_S, lambda: (h := cluster.json("cluster", "health")) and h["unwritable"] and h)
    check(health["unwritable"] == PARTITIONS and "r-0" in health["first_unwritable"], f"{health}")
    check("no acks=all, fewer in sync than min.insync.replicas: r-0, " in cluster.leat("cluster", "health")[1], "it is not told to people")
    check(cluster.leat("topic", "alter", "r", "--unset", "min.insync.replicas")[0] == 0, "topic alter r back")
    status, out, _ = cluster.script("status")[0], *cluster.leat("topic", "describe", "t")[1:]
    check(status == 1, "status is content though a node is gone")
    table = out.partition("CONFIG")[0]
    if len(rounds) == 2:
        rest_is_read(cluster, leaders, lost)
    check(re.search(rf"^ +{lost[0]} +none +\d+ +{victim} .* - +-$", table, re.M) and "-1" not in table, f"a partition without a leader is not told:\n{out}")
    for p in sorted(set(leaders) - set(lost)):
        publish(cluster, p, rounds[-1])
        read(cluster, p, rounds)
    for p in range(PARTITIONS):
        publish(cluster, p, rounds[-1], "r")
        read(cluster, p, rounds, "r")
    print(f"ok: without node {victim} (leader was {led}): controller {quorum['leader']} after {took:.1f} s, {len(lost)} partitions "
          f"of one replica are away, all of three are served", flush=True)
    return lost


def again(cluster, victim, lost, rounds):
    cluster.launch("node", str(victim))
    eventually("health", LIMIT_S, lambda: cluster.leat("cluster", "health")[0] == 0)
    for p in lost:
        publish(cluster, p, rounds[-1])
    for p in range(PARTITIONS):
        read(cluster, p, rounds)
        read(cluster, p, rounds, "r")
    check(cluster.script("status")[0] == 0, "status is not content though all is well")
    print(f"ok: node {victim} is back with all its records", flush=True)


def in_other_terminals(cluster, script):
    """None of the nodes is the script's own any more: one at a time may be away, and it stays, and leaves the others alone."""
    for victim in (1, 2, 3):
        os.kill(cluster.pid(victim), signal.SIGKILL)
        eventually("it is missed", LIMIT_S, lambda: cluster.leat("cluster", "health")[0] != 0)
        cluster.launch("node", str(victim))
        eventually("health", LIMIT_S, lambda: cluster.leat("cluster", "health")[0] == 0)
    check(script.poll() is None, f"the foreground has ended with {script.poll()}")
    print("ok: nodes that were started in other terminals are theirs", flush=True)


def drained(cluster, leaders):
    """What only node 2 has stays there, and is said; the quorum goes where it is wanted."""
    alone = sum(leader == 2 for leader in leaders.values())
    done = cluster.json("cluster", "drain", "2")
    kept = {"no_other_replica": alone, "others_drained": 0, "others_away": 0, "others_lagging": 0}
    check(done == {"broker": 2, "drained": False, "leads": alone, "alone": alone, "kept": kept}, f"{done}")
    status, _, error = cluster.leat("cluster", "drain", "2")
    check(status == 1 and f"broker 2 still leads {alone} partition" in error and f"{alone} without another replica" in error, f"{status}: {error}")
    health = cluster.json("cluster", "health")
    # It stays in sync: nothing lacks a replica, and what wants all three is taken.
    check(health["healthy"] and health["under_replicated"] == 0 and health["draining_brokers"] == [2] and cluster.leaders() == leaders, f"{health}")
    states = {b["id"]: b["state"] for b in cluster.json("cluster", "brokers")}
    check(states == {1: "active", 2: "drained", 3: "active"}, f"{states}")
    check(cluster.leat("topic", "create", "all", "-r", "3", "-c", "min.insync.replicas=3")[0] == 0, "topic create all")
    status, _, error = cluster.leat("produce", "all", text="taken by all three\n")
    check(status == 0, f"produce beside a drained broker: {status}: {error}")
    check(cluster.leat("topic", "delete", "all")[0] == 0, "topic delete all")
    status, _, error = cluster.leat("cluster", "forget", "2")
    check(status == 1 and "broker 2 runs, and would come back: stop it first" in error, f"forget: {status}: {error}")
    check("drained: broker 2 " in cluster.leat("cluster", "health")[1], "a drained broker is not named")
    eventually("a drained broker does not lead the quorum", ELECTION_S, lambda: (q := cluster.quorum()) and q["leader"] != 2)
    check(cluster.leat("cluster", "undrain", "2")[:2] == (0, "broker 2 may lead again\n"), "undrain")
    eventually("nobody is drained", ELECTION_S, lambda: cluster.json("cluster", "health")["draining_brokers"] == [])
    def transferred():  # another may be quicker in the election, and then the console says so
        status, out, error = cluster.leat("cluster", "transfer-leader", "2")
        check(status == 0 or "leads the metadata quorum: try again" in error, f"{status}: {out}{error}")
        return (status, out) == (0, "broker 2 leads the metadata quorum\n")

    eventually("node 2 leads the quorum", ELECTION_S, transferred)
    status, out, error = cluster.leat("cluster", "transfer-leader", "9")
    check(status == 1 and "only another voter" in error, f"{status}: {out}{error}")
    before = cluster.quorum()["leader"]
    moved = cluster.json("cluster", "transfer-leader")
    check(moved["transferred"] and moved["before"] == before != moved["leader"], f"{moved}")
    print(f"ok: node 2 was drained, and keeps {alone} partitions of which it has the only copy; the quorum goes where it is told", flush=True)


def on_broker(cluster, broker):
    return [f"{t['name']}-{p['partition']}" for t in cluster.json("topic", "list", "--internal") for p in
            cluster.json("topic", "describe", t["name"])[0]["partitions"] if broker in p["replicas"]]


def state_of(cluster, broker):
    return {b["id"]: b["state"] for b in cluster.json("cluster", "brokers")}[broker]


def decommissioned(cluster, fourth):
    """What is placed on a broker goes to others, with its records, whether it runs or not; where it cannot go is said."""
    check(cluster.leat("topic", "create", "all", "-p", "2", "-r", "4")[0] == 0, "topic create all")
    status, out, error = cluster.leat("cluster", "decommission", "4")
    check(status == 1 and "no other broker is left for 2 of them, all-0 is one: add a broker" in error, f"decommission: {status}: {out}{error}")
    eventually("what cannot be emptied goes on as before", LIMIT_S, lambda: state_of(cluster, 4) == "active")
    check(cluster.leat("topic", "delete", "all")[0] == 0, "topic delete all")
    for name, runs in (("moved", True), ("left", False)):
        check(cluster.leat("topic", "create", name, "-p", "6", "-r", "2")[0] == 0, f"topic create {name}")
        status, _, error = cluster.leat("produce", name, text="".join(f"{n}\n" for n in range(RECORDS)))
        check(status == 0 and (placed := on_broker(cluster, 4)), f"produce {name}: {status}: {error}; {placed}")
        if not runs:
            check(cluster.leat("topic", "create", "only", "-p", "4", "-r", "1")[0] == 0, "topic create only")
            fourth.kill()
            fourth.wait()
            eventually("node 4 is missed", LIMIT_S, lambda: cluster.json("cluster", "health")["fenced_brokers"] == [4])
            status, _, error = cluster.leat("cluster", "forget", "4")
            check(status == 1 and "leat cluster decommission 4 moves them" in error, f"forget: {status}: {error}")
            status, _, error = cluster.leat("cluster", "decommission", "4")
            check(status == 1 and "nobody leads 1 of them, topic only -p " in error, f"what has one replica, which is gone: {status}: {error}")
            check(cluster.leat("topic", "delete", "only")[0] == 0, "topic delete only")
            placed = on_broker(cluster, 4)
        done = cluster.json("cluster", "decommission", "4")
        check(done == {"broker": 4, "decommissioned": True, "moved": len(placed), "left": 0, "moving": 0, "stuck": 0, "without_leader": 0},
              f"{done}, {placed}")
        check(not on_broker(cluster, 4), f"on broker 4: {on_broker(cluster, 4)}")
        if runs:
            check(state_of(cluster, 4) == "drained", "what was emptied is not drained")
            check(cluster.leat("cluster", "undrain", "4")[0] == 0, "undrain 4")
            eventually("node 4 is active", LIMIT_S, lambda: state_of(cluster, 4) == "active")
        status, out, error = cluster.leat("consume", name, "-e", "-f", "%v\\n")
        check(status == 0 and sorted(map(int, out.split())) == list(range(RECORDS)), f"consume {name}: {status}: {len(out.split())} records {error}")
        check(cluster.leat("topic", "delete", name)[0] == 0, f"topic delete {name}")
    status, _, error = cluster.leat("cluster", "decommission", "9")
    check(status == 4 and "there is no broker 9" in error, f"decommission 9: {status}: {error}")
    print("ok: a broker is emptied while it runs, and when it does not", flush=True)


def forgotten(cluster):
    """A fourth node joins, is emptied, dies and is forgotten, and all is well without it."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    fourth = subprocess.Popen([f"{BUILD}/bin/leatd", "--data", f"{cluster.data}/4", "--listen", f"127.0.0.1:{port}", "--set", "node.id=4",
                               "--set", f"peers=[{cluster.brokers}]"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    states = lambda: {b["id"]: b["state"] for b in cluster.json("cluster", "brokers")}
    try:
        eventually("node 4 is active", LIMIT_S, lambda: states().get(4) == "active")
        decommissioned(cluster, fourth)
    finally:
        fourth.kill()
        fourth.wait()
    eventually("node 4 is missed", LIMIT_S, lambda: states()[4] == "fenced")
    status, out, _ = cluster.leat("cluster", "health")
    check(status == 1 and "not heard of: broker 4 (leat cluster brokers; one that will not come back: leat cluster forget)" in out, out)
    for number, said in ((4, (0, "broker 4 is forgotten\n")), (4, (4, "")), (1, (1, ""))):
        check((done := cluster.leat("cluster", "forget", str(number)))[:2] == said, f"forget {number}: {done}")
    check(sorted(states()) == [1, 2, 3] and cluster.leat("cluster", "health")[0] == 0, f"{states()}")
    print("ok: a broker that will not come back is forgotten", flush=True)


def all_drained(cluster):
    """Who is drained when all others are keeps everything, and the command says why; "elect" says who leads, or what is in the way."""
    for number in (1, 2):
        check(cluster.json("cluster", "drain", str(number))["kept"]["others_drained"] == 0, f"broker {number} hands over to others")
    total = PARTITIONS + len([p for p in cluster.leaders().values() if p == 3])
    status, _, error = cluster.leat("cluster", "drain", "3")
    check(status == 1 and f"{PARTITIONS} whose other replicas are on brokers that are drained, too: 1, 2 (leat cluster undrain 1 or 2)" in error,
          f"{total} partitions stay: {status}: {error}")
    first = {p["partition"]: p["replicas"][0] for p in cluster.json("topic", "describe", "r")[0]["partitions"]}
    status, out, error = cluster.leat("topic", "elect", "r")
    check(status == 1, f"elect: {status}: {out}{error}")
    for partition, preferred in first.items():
        if preferred == 3:
            check(f"r-{partition}: broker 3 leads already, its preferred replica\n" in out, f"{out}{error}")
        else:
            check(f"r-{partition}: broker 3 goes on leading: broker {preferred}, its preferred replica, is drained "
                  f"(leat cluster undrain {preferred})\n" in error, f"{out}{error}")
    for number in (1, 2, 3):
        check(cluster.leat("cluster", "undrain", str(number))[0] == 0, f"undrain {number}")
    said = []
    eventually("all preferred replicas lead", LIMIT_S, lambda: (s := cluster.leat("topic", "elect", "r"), said.append(s[1]))[0][0] == 0)
    eventually("health", LIMIT_S, lambda: cluster.leat("cluster", "health")[0] == 0)
    for partition, preferred in first.items():
        check(f"r-{partition}: broker {preferred} leads" in said[-1], f"{said}")
    print("ok: when all are drained it is said that the last one keeps what it leads, and elections say who leads", flush=True)


def unsettled(cluster):
    """Who is interrupted while nobody takes the records is told how long that was waited for, not how long the last slice was."""
    with subprocess.Popen([f"{BUILD}/bin/leat", "-b", cluster.brokers, "produce", "r"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as console:
        console.stdin.write("".join(f"{n}\n" for n in range(RECORDS)))
        console.stdin.close()
        said = console.stderr.readline()
        check("(trying again)" in said, f"produce says {said!r}")
        console.send_signal(signal.SIGINT)
        said = console.stderr.read()
    check(console.returncode == 3 and re.search(rf"^leat: {RECORDS} records not acknowledged \d+\.\d s after the end of the input, it may "
                                                r"be still: ", said, re.M) and " ms" not in said, f"{console.returncode}: {said}")
    print("ok: records that nobody takes are told with the time that has passed", flush=True)


def without_quorum(cluster, missing):
    """Two of three are gone: the console says which voters are missing, not that some broker is not heard of."""
    for number in (2, 3):
        os.kill(cluster.pid(number), signal.SIGKILL)
    lost = "the cluster has no controller: node 1 hears of voter 1 and not of 2, 3, and 2 of 3 voters are needed"
    eventually("the quorum is lost", LIMIT_S, lambda: lost in cluster.leat("--timeout", "2s", "cluster", "quorum")[2])
    status, said = cluster.script("demo")
    check(status == 1 and "of them run: 1)" in said and "deploy/cluster.sh node 2 starts node 2" in said and cluster.pid(1), f"demo: {status}: {said}")
    for words in (("cluster", "drain", "1"), ("topic", "create", "nobody-makes-it"), ("topic", "elect", "r"), ("cluster", "add", "2")):
        status, out, error = cluster.leat("--timeout", "2s", *words)
        check(status in (1, 3) and lost in error and "that is heard of" not in error, f"{words}: {status}: {out}{error}")
    status, out, error = cluster.leat("--timeout", "10s", "topic", "describe", "r")
    check(status == 0 and error.count(lost) == 1 and "offsets are not known" in error, f"describe: {status}: {out}{error}")
    partitions = json.loads(cluster.leat("--timeout", "10s", "topic", "describe", "r", "--output", "json")[1])[0]["partitions"]
    check(all((p["start"], p["end"]) == (None, None) for p in partitions), f"{partitions}")
    status, out, error = cluster.leat("-X", "delivery.timeout.ms=1000", "produce", "t", "-p", str(missing), text="late\n")
    check(status != 0 and re.search(rf"not delivered within \d{{4,}} ms: t-{missing} (is led by broker [23]|has no leader): ", error),
          f"produce: {status}: {error}")
    status, out, error = cluster.leat("cluster", "info")
    check(lost in error and " true " not in out, f"info: {status}: {out}{error}")
    check(lost in (s := cluster.leat("-b", f"127.0.0.1:{cluster.port}", "cluster", "health"))[1] + s[2] and s[0] == 1, f"health: {s}")
    check(s[1].startswith("not healthy: what is led and in sync is not known\nthe cluster has no controller: "), f"health: {s}")
    health = cluster.json("cluster", "health")
    unknown = ("leaderless", "first_leaderless", "under_replicated", "first_under_replicated", "unwritable", "first_unwritable", "moving", "brokers",
               "fenced_brokers", "draining_brokers", "silent_voters", "voters", "low_disks")
    check(not health["healthy"] and all(health[name] is None for name in unknown), f"{health}")
    status, out, _ = cluster.leat("-b", f"127.0.0.1:{cluster.port}", "cluster", "health", "--local")
    check(status == 1 and out.startswith("not healthy: this broker answers, and knows no controller\n"), f"--local: {status}: {out}")
    for words, wanted in ((("--timeout", "2s"), 3), (("--timeout", "9s"), 3), (("-e",), 1)):
        status, out, error = cluster.leat("consume", "r", "-g", "nobody-assigns", *words)
        check(status == wanted and error.count(lost) == 1, f"consume -g {words}: {status}: {out}{error}")
    unsettled(cluster)
    for number in (2, 3):
        cluster.launch("node", str(number))
    eventually("health", LIMIT_S, lambda: cluster.leat("cluster", "health")[0] == 0)
    print("ok: without a quorum the voters that are missing are named", flush=True)


def farewells(cluster):
    """How many of the last stops found somebody to take leave of, by node."""
    found = []
    for number in (1, 2, 3):
        with open(f"{cluster.data}/{number}.log") as log:
            last = log.read().rpartition('msg="stopping"')[2]
        found.append("handed over" in last)
    return found


def ended(process, wanted):
    status = process.wait(LIMIT_S)
    check(status == wanted, f"the script ended with {status}, not {wanted}")


def none_is_left(cluster):
    """No process has a directory of this cluster in its command line."""
    left = subprocess.run(["pgrep", "-f", f"--data {cluster.data}/"], capture_output=True, text=True).stdout.split()
    check(not left, f"processes are left: {left}")


def one_cannot_start(cluster):
    """Another program has its port: that is told, and the others do not stay behind; nor do they when it is Ctrl-C that ends the wait."""
    with socket.create_server(("127.0.0.1", cluster.port + 100)):
        status, said = cluster.script()
        check(status == 1 and "node 2 ended before it was ready" in said and "Address already in use" in said, f"{status}: {said}")
        none_is_left(cluster)
    shutil.rmtree(cluster.data)
    environment = {**cluster.environment, "LEAT_BUILD": f"{SCRATCH}/slow-build"}
    os.makedirs(f"{SCRATCH}/slow-build/bin", exist_ok=True)
    with open(f"{SCRATCH}/slow-build/bin/leatd", "w") as f:  # never ready
        f.write('#!/bin/sh\nexec python3 -c "import signal; signal.pause()" "$@"\n')
    os.chmod(f"{SCRATCH}/slow-build/bin/leatd", 0o755)
    with subprocess.Popen([SCRIPT], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        eventually("three processes", LIMIT_S, lambda: all(os.path.exists(f"{cluster.data}/{n}.pid") for n in (1, 2, 3)))
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_S)
    check(process.returncode == 130, f"the script ended with {process.returncode} at Ctrl-C")
    none_is_left(cluster)
    shutil.rmtree(cluster.data)
    print("ok: when one cannot start none stays behind", flush=True)


def words_are_refused(cluster):
    """Who asks what a command does is told that; it is not done."""
    for words in (("stop", "--help"), ("status", "now"), ("node", "1", "2"), ("node", "4"), ("demo", "-h")):
        status, said = cluster.script(*words)
        check(status == 2 and said.startswith("deploy/cluster.sh [start|"), f"{words}: {status}: {said}")
    for port in ("abc", "0", "65336", "1e3"):
        done = subprocess.run([SCRIPT, "status"], env={**cluster.environment, "LEAT_CLUSTER_PORT": port}, capture_output=True, text=True)
        told = f"LEAT_CLUSTER_PORT is the port of the first node, a number from 1 to 65335, not '{port}'\n"
        check((done.returncode, done.stderr) == (2, told), f"port {port!r}: {done}")


def run():
    cluster = Cluster()
    try:
        words_are_refused(cluster)
        one_cannot_start(cluster)
        process = cluster.start()
        voters(cluster)
        leaders = found(cluster)
        asked_anywhere(cluster)
        check(cluster.script()[0] == 1, "a second start is not refused")
        drained(cluster, leaders)
        all_drained(cluster)
        forgotten(cluster)
        first = cluster.quorum()["leader"]
        rounds = [0]
        for victim in [first] + [n for n in (1, 2, 3) if n != first]:
            rounds.append(rounds[-1] + 1)
            lost = without(cluster, victim, leaders, rounds)
            again(cluster, victim, lost, rounds)
        without_quorum(cluster, next(p for p, leader in leaders.items() if leader == 2))
        in_other_terminals(cluster, process)
        process.send_signal(signal.SIGINT)
        ended(process, 130)
        said = process.stdout.read()
        check("node 1 ended (exit status 137)" in said and "line " not in said and "Killed" not in said, f"the foreground says: {said}")
        check(cluster.leat("cluster", "info")[0] != 0, "a node answers after Ctrl-C")
        process = cluster.start()
        for p in range(PARTITIONS):
            read(cluster, p, rounds)
        eventually("health", LIMIT_S, lambda: cluster.leat("cluster", "health")[0] == 0)
        status, said = cluster.script("demo")
        check(status == 0 and re.search(r"6000 events read: 0 lost, 0 more than once\n", said), f"demo: {status}: {said}")
        status, said = cluster.script("stop")
        check(status == 0 and said == "".join(f"node {n} has stopped\n" for n in (1, 2, 3)), f"stop: {status}: {said}")
        check(cluster.script("stop")[1] == "no node runs\n", "a stop of nothing is silent")
        ended(process, 0)
        check(farewells(cluster) == [True, True, False], f"they did not stop one after the other: {farewells(cluster)}")
        print("ok: Ctrl-C and stop end all three, and the next start has everything", flush=True)
    finally:
        cluster.end()


run()
