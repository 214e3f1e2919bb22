# SPDX-License-Identifier: Apache-2.0
"""Many members of many groups on sockets of one thread: each joins, syncs, and says every few seconds that it lives.

Only as much of the protocol as that takes, in fixed versions, so that the driver costs little beside the broker.
"""
import heapq
import selectors
import socket
import struct
import time

COMMIT, FIND, JOIN, HEARTBEAT, SYNC, LIST, CREATE_TOPICS = 8, 10, 11, 12, 14, 16, 19
REBALANCING, MEMBER_ID_REQUIRED = 27, 79
AGAIN = (14, 15, 16)  # loading, not available, not coordinator


def text(value):
    if value is None:
        return struct.pack(">h", -1)
    return struct.pack(">h", len(value)) + value.encode()


def blob(value):
    return struct.pack(">i", len(value)) + value


def frame(key, version, body):
    return blob(struct.pack(">hhih", key, version, 0, -1) + body)


def address_of(broker):
    host, port = broker.address.rsplit(":", 1)
    return host, int(port)


def ask(address, key, version, body):
    """One request on a connection of its own; the answer's body."""
    with socket.create_connection(address, 30) as s:
        s.sendall(frame(key, version, body))
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + struct.unpack_from(">i", answer)[0]:
            answer += s.recv(1 << 20)
    return answer[8:]


def create_topic(address, topic, partitions):
    body = struct.pack(">i", 1) + text(topic) + struct.pack(">ihii", partitions, 1, 0, 0) + struct.pack(">ib", 30000, 0)
    ask(address, CREATE_TOPICS, 2, body)


def find_coordinator(address):
    ask(address, FIND, 0, text("any"))


def commit(connection, group, topic, partitions):
    body = text(group) + struct.pack(">i", -1) + text("") + text(None) + struct.pack(">i", 1) + text(topic)
    body += struct.pack(">i", partitions)
    body += b"".join(struct.pack(">iqi", p, 4711, -1) + text("") for p in range(partitions))
    connection.sendall(frame(COMMIT, 7, body))


def list_error(address):
    return struct.unpack_from(">ih", ask(address, LIST, 2, b""))[1]


class Member:
    def __init__(self, crowd, group):
        self.crowd, self.group, self.id, self.generation = crowd, group, "", -1
        self.input, self.assigned, self.asked, self.peers = b"", False, None, []
        self.socket = socket.create_connection(crowd.address, 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        crowd.selector.register(self.socket, selectors.EVENT_READ, self)
        self.join()

    def send(self, key, version, body):
        self.asked = key
        self.socket.sendall(frame(key, version, body))

    def join(self):
        self.assigned = False
        body = text(self.group) + struct.pack(">ii", 45000, 300000) + text(self.id) + text(None) + text("consumer")
        self.send(JOIN, 5, body + struct.pack(">i", 1) + text("range") + blob(self.crowd.subscription))

    def sync(self, members):
        body = text(self.group) + struct.pack(">i", self.generation) + text(self.id) + text(None)
        body += struct.pack(">i", len(members))
        for i, m in enumerate(members):
            mine = range(i, self.crowd.partitions, len(members))
            assignment = struct.pack(">hi", 1, 1) + text("t") + struct.pack(">i", len(mine))
            assignment += struct.pack(">%di" % len(mine), *mine) + struct.pack(">i", -1)
            body += text(m) + blob(assignment)
        self.send(SYNC, 3, body)

    def beat(self):
        self.send(HEARTBEAT, 1, text(self.group) + struct.pack(">i", self.generation) + text(self.id))

    def readable(self):
        self.input += self.socket.recv(1 << 18)
        if len(self.input) >= 4:
            (size,) = struct.unpack_from(">i", self.input)
            if len(self.input) >= 4 + size:
                answer, self.input = self.input[8:4 + size], self.input[4 + size:]
                {JOIN: self.joined, SYNC: self.synced, HEARTBEAT: self.beaten}[self.asked](answer)

    def joined(self, a):
        error, self.generation = struct.unpack_from(">hi", a, 4)
        at, names = 10, []
        for _ in range(3):
            (size,) = struct.unpack_from(">h", a, at)
            names.append(a[at + 2:at + 2 + size].decode())
            at += 2 + size
        (count,) = struct.unpack_from(">i", a, at)
        at, members = at + 4, []
        for _ in range(count):
            (size,) = struct.unpack_from(">h", a, at)
            members.append(a[at + 2:at + 2 + size].decode())
            at += 2 + size + 2
            at += 4 + struct.unpack_from(">i", a, at)[0]
        self.id = names[2] or self.id
        if error == 0:
            self.sync(members)
        elif error == MEMBER_ID_REQUIRED:
            self.join()
        else:
            self.crowd.later(self.join, 0.1)

    def synced(self, a):
        (error,) = struct.unpack_from(">h", a, 4)
        if error:
            self.crowd.later(self.join, 0.1 if error in AGAIN else 0)
            return
        self.assigned = True
        self.crowd.assigned_at = time.monotonic()
        self.crowd.later(self.beat, self.crowd.interval)

    def beaten(self, a):
        (error,) = struct.unpack_from(">h", a, 4)
        self.crowd.beats += 1
        if error:
            self.join()
        else:
            self.crowd.later(self.beat, self.crowd.interval)


class Crowd:
    def __init__(self, broker, partitions, interval=3.0):
        self.address, self.partitions, self.interval = address_of(broker), partitions, interval
        self.subscription = struct.pack(">hi", 1, 1) + text("t") + struct.pack(">ii", -1, 0)
        self.selector, self.timers, self.members = selectors.DefaultSelector(), [], []
        self.beats = self.count = 0
        self.assigned_at = time.monotonic()
        create_topic(self.address, "t", partitions)
        find_coordinator(self.address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for m in self.members:
            m.socket.close()
        self.selector.close()

    def add(self, group):
        self.members.append(Member(self, group))

    def later(self, call, seconds):
        self.count += 1
        heapq.heappush(self.timers, (time.monotonic() + seconds, self.count, call))

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in self.selector.select(0.01):
                key.data.readable()
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2]()

    def settled(self):
        """All of a group in one generation, and assigned."""
        generations = {}
        for m in self.members:
            if not m.assigned or generations.setdefault(m.group, m.generation) != m.generation:
                return False
        return True

    def settle(self, limit=120):
        """Seconds from now to the last assignment."""
        begun = time.monotonic()
        while not self.settled():
            if time.monotonic() - begun > limit:
                raise SystemExit("the groups do not settle within %d s" % limit)
            self.run(0.02)
        return self.assigned_at - begun
