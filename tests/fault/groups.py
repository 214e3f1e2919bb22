# SPDX-License-Identifier: Apache-2.0
"""Consumer groups by hand, for tests that must know what was answered and what is in doubt. Strings may be bytes."""
import struct

from node import Connection, Reader, check

COMMIT, OFFSETS, FIND, JOIN, HEARTBEAT, LEAVE, SYNC, DESCRIBE, LIST, DELETE = 8, 9, 10, 11, 12, 13, 14, 15, 16, 42
NOT_AVAILABLE, NOT_COORDINATOR, LOADING = 15, 16, 14
ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL, INVALID_GROUP, UNKNOWN_MEMBER = 22, 23, 24, 25
REBALANCING, INVALID_REQUEST, MEMBER_ID_REQUIRED, GROUP_FULL = 27, 42, 79, 81
GONE_FOR_NOW = (NOT_AVAILABLE, NOT_COORDINATOR, LOADING)


def text(value):
    if value is None:
        return struct.pack(">h", -1)
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">h", len(data)) + data


def blob(data):
    return struct.pack(">i", len(data)) + data


class Groups(Connection):
    """A client of coordinators. Every request says which client it is."""

    client_id = "tester"

    def send(self, key, version, body):
        self.sent += 1
        frame = struct.pack(">hhi", key, version, self.sent) + text(self.client_id) + body
        self.transmit(frame)

    def find(self, group="any"):
        """The first question makes the topic of offsets."""
        return Reader(self.ask(FIND, 0, text(group))).take("h")

    @staticmethod
    def join_body(group, member="", session_ms=10000, rebalance_ms=20000, protocols=(("range", b"x"),), kind="consumer",
                  instance=None):
        body = text(group) + struct.pack(">ii", session_ms, rebalance_ms) + text(member) + text(instance) + text(kind)
        return body + struct.pack(">i", len(protocols)) + b"".join(text(n) + blob(m) for n, m in protocols)

    @staticmethod
    def joined(answer):
        """(error, generation, member, leader, members)"""
        r = Reader(answer)
        _, error, generation = r.take("i"), r.take("h"), r.take("i")
        r.raw()
        leader, member = r.raw(), r.raw()
        members = []
        for _ in range(r.take("i")):
            members.append(r.raw())
            r.raw()
            r.bytes()
        return error, generation, member, leader, members

    def join(self, group, member="", **more):
        """With the id that is asked for first."""
        answer = self.joined(self.ask(JOIN, 5, self.join_body(group, member, **more)))
        if answer[0] == MEMBER_ID_REQUIRED:
            answer = self.joined(self.ask(JOIN, 5, self.join_body(group, answer[2], **more)))
        return answer

    @staticmethod
    def sync_body(group, generation, member, assignments=(), instance=None):
        body = text(group) + struct.pack(">i", generation) + text(member) + text(instance)
        return body + struct.pack(">i", len(assignments)) + b"".join(text(m) + blob(a) for m, a in assignments)

    @staticmethod
    def synced(answer):
        """(error, assignment)"""
        r = Reader(answer)
        _, error = r.take("i"), r.take("h")
        return error, r.bytes()

    def sync(self, group, generation, member, assignments=(), instance=None):
        return self.synced(self.ask(SYNC, 3, self.sync_body(group, generation, member, assignments, instance)))

    def heartbeat(self, group, generation, member):
        return Reader(self.ask(HEARTBEAT, 1, text(group) + struct.pack(">i", generation) + text(member))).take("ih")[1]

    def leave(self, group, member):
        return Reader(self.ask(LEAVE, 1, text(group) + text(member))).take("ih")[1]

    @staticmethod
    def commit_body(group, generation, member, offsets, metadata=""):
        """offsets: {topic: {partition: offset}}"""
        body = text(group) + struct.pack(">i", generation) + text(member) + text(None) + struct.pack(">i", len(offsets))
        for topic, partitions in offsets.items():
            body += text(topic) + struct.pack(">i", len(partitions))
            body += b"".join(struct.pack(">iqi", p, o, -1) + text(metadata) for p, o in partitions.items())
        return body

    @staticmethod
    def committed(answer):
        """{(topic, partition): error}"""
        r, found = Reader(answer), {}
        r.take("i")
        for _ in range(r.take("i")):
            topic = r.text()
            for _ in range(r.take("i")):
                partition, error = r.take("ih")
                found[topic, partition] = error
        return found

    def commit(self, group, offsets, generation=-1, member="", metadata=""):
        return self.committed(self.ask(COMMIT, 7, self.commit_body(group, generation, member, offsets, metadata)))

    def offsets(self, group):
        """(error, {(topic, partition): offset})"""
        r, found = Reader(self.ask(OFFSETS, 5, text(group) + struct.pack(">i", -1))), {}
        r.take("i")
        for _ in range(r.take("i")):
            topic = r.text()
            for _ in range(r.take("i")):
                partition, offset, _ = r.take("iqi")
                found[topic, partition] = offset
                r.raw()
                r.take("h")
        return r.take("h"), found

    def delete_group(self, *groups):
        """[error]"""
        r = Reader(self.ask(DELETE, 1, struct.pack(">i", len(groups)) + b"".join(map(text, groups))))
        r.take("i")
        return [(r.raw(), r.take("h"))[1] for _ in range(r.take("i"))]

    def list(self):
        """(error, [group])"""
        r = Reader(self.ask(LIST, 2, b""))
        _, error = r.take("ih")
        return error, [(r.raw(), r.raw())[0] for _ in range(r.take("i"))]

    def describe(self, group):
        """(error, state, members)"""
        r = Reader(self.ask(DESCRIBE, 3, struct.pack(">i", 1) + text(group) + b"\x00"))
        check(r.take("ii")[1] == 1, "one group is described")
        error = r.take("h")
        r.raw()
        state = r.text()
        r.text()
        r.text()
        return error, state, r.take("i")
