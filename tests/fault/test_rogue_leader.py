#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""A forged BeginQuorumEpoch tells a voter that another one leads, and is reached at a stranger's listener.

    one that cannot say that it is that voter ..... is not asked for the metadata log
    one that says so, with what the voter says .... is asked, and answers that the log diverges at offset 0: the voter
                                                    warns, cuts nothing and goes on

Each time the cluster is healthy again by itself. It once ended the voter with status 70.

    tests/fault/test_rogue_leader.py
"""
import base64
import threading

from cluster import *

API_VERSIONS, BEGIN_QUORUM_EPOCH, INTRODUCE = 18, 53, 10001
LOG_ID = bytes(15) + b"\1"  # of the metadata log
REQUEST_S = 1.2  # in which a voter has asked, or will not


def compact(data):
    return bytes([len(data) + 1]) + data


def tagged(tag, data):
    return bytes([tag, len(data)]) + data


def frame(data):
    return struct.pack(">i", len(data)) + data


def read_frame(connection):
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
        more = connection.recv(1 << 16)
        if not more:
            return None
        data += more
    return data[4:]


def ask(node, key, version, body, flexible=True):
    """The answer behind its correlation."""
    with socket.create_connection((node.host, node.wanted), 10) as c:
        c.sendall(frame(struct.pack(">hhih", key, version, 1, -1) + (b"\0" if flexible else b"") + body))
        return read_frame(c)[4:]


class Rogue:
    """Answers as the leader `says` of `epoch` whose log has nothing; `introduction` is what it says of itself, None:
    that it does not know the question."""

    def __init__(self, says, epoch, introduction):
        self.says, self.epoch, self.introduction = says, epoch, introduction
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, connection):
        try:
            while request := read_frame(connection):
                key, _, correlation = struct.unpack_from(">hhi", request)
                self.asked.append(key)
                answer = self.answer(key)
                if answer is None:
                    break
                connection.sendall(frame(struct.pack(">i", correlation) + answer))
        except OSError:
            pass
        connection.close()

    def answer(self, key):
        if key == API_VERSIONS:
            known = [(k, 0, 20) for k in (FETCH, API_VERSIONS, 52, BEGIN_QUORUM_EPOCH, 54)]
            known += [(INTRODUCE, 0, 0)] if self.introduction else []
            return struct.pack(">hB", 0, len(known) + 1) + b"".join(struct.pack(">hhhB", *k, 0) for k in known) + bytes(5)
        if key == INTRODUCE:
            return self.introduction
        if key == FETCH:
            diverging = struct.pack(">iqB", 0, 0, 0)
            leader = struct.pack(">iiB", self.says, self.epoch, 0)
            part = struct.pack(">ihqqqBiB", 0, 0, 0, -1, 0, 0, -1, 1)
            part += b"\2" + tagged(0, diverging) + tagged(1, leader)
            return b"\0" + struct.pack(">ihiB", 0, 0, 0, 2) + LOG_ID + b"\2" + part + b"\0\0"
        return None


def quorum(cluster):
    return re.search(r"leader (\d+), epoch (\d+), committed up to offset (\d+)", cluster.does("cluster", "quorum"))


def directory(node):
    with open(node.data + "/meta/meta.properties", encoding="utf-8") as f:
        said = f.read()
    identity = re.search(r"directory.id=(\S+)", said).group(1)
    return re.search(r"cluster.id=(\S+)", said).group(1), base64.urlsafe_b64decode(identity + "==")


def introduction(node):
    """Behind the correlation, as another node would be told."""
    body = bytes(16) + struct.pack(">i", 99) + b"\7" * 16 + b"\7" * 16 + compact(b"0") + b"\0"
    return ask(node, INTRODUCE, 0, body)


def forge(victim, number, rogue):
    """To `victim`, node `number`: the one whom the rogue says to be leads, and is reached where the rogue listens."""
    cluster, own = directory(victim)
    body = compact(cluster.encode()) + struct.pack(">i", number) + b"\2" + compact(b"__cluster_metadata") + b"\2"
    body += struct.pack(">i", 0) + own + struct.pack(">iiBBB", rogue.says, rogue.epoch, 0, 0, 2)
    body += compact(b"plain") + compact(b"127.0.0.1") + struct.pack(">HBB", rogue.port, 0, 0)
    ask(victim, BEGIN_QUORUM_EPOCH, 1, body)


def meet(cluster, introduces):
    """(what the rogue was asked, the victim)"""
    leader, epoch, _ = (int(n) for n in quorum(cluster).groups())
    number, other = [i for i in NODES if i != leader]
    victim, gone = cluster.nodes[number], cluster.nodes[other]
    rogue = Rogue(other, epoch + 1, introduction(gone) if introduces else None)
    gone.kill()  # else it says itself that it does not lead
    forge(victim, number, rogue)
    select.select([], [], [], REQUEST_S)
    gone.launch()
    check(victim.process.poll() is None, f"the voter ended with {victim.process.poll()}:\n{victim.said()[-2000:]}")
    wait_until("the cluster is healthy", cluster.healthy, BACK_S)
    if FETCH not in rogue.asked:
        rogue.listener.close()
    return rogue.asked, victim


def run():
    cluster = Cluster("rogue-leader")
    cluster.launch()
    cluster.does("topic", "create", "before", "--partitions", "1", "--replicas", "3")
    before = int(quorum(cluster).group(3))

    asked, victim = meet(cluster, False)
    check(FETCH not in asked, f"a stranger was asked for the metadata log: {asked}")
    check("is not asked there" in victim.said(), "nothing tells of the stranger")

    for _ in range(5):  # it may stand for election before it has asked
        asked, victim = meet(cluster, True)
        if FETCH in asked:
            break
    check(INTRODUCE in asked and FETCH in asked, f"who says that it is the voter was not asked: {asked}")
    check("contradicts what is committed here" in victim.said(), f"nothing tells what contradicts:\n{victim.said()[-2000:]}")

    cluster.does("topic", "create", "after", "--partitions", "1", "--replicas", "3")
    check(int(quorum(cluster).group(3)) > before, "something committed is gone")
    for node in cluster.nodes.values():
        wait_until("each node has both topics", lambda: all(cluster.partitions(t, node) for t in ("before", "after")), 10)
    cluster.stop()


run()
print("ok: a forged leader is not asked, and one that contradicts what is committed ends nobody")
