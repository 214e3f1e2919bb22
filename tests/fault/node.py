# SPDX-License-Identifier: Apache-2.0
"""A leatd that is started, stopped, killed and paused, and the protocol by hand: many Produce requests in
flight over one socket, batches that carry an id of their own, and what stands in a log read back whole.

The checksum of a batch is made from that of its template, which ends where the id begins, so that Python
can send some thousand batches a second.
"""
import atexit
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

BUILD = os.environ.get("BUILD", "build")
SCRATCH = os.environ.get("SCRATCH", "/tmp")
PRODUCE, FETCH, LIST_OFFSETS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS = 0, 1, 2, 19, 20, 21


def skip(why):
    print(why)
    sys.exit(77)


def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Template:
    """Batches of `records` records of `size` bytes; the last eight bytes of the last value are an id."""

    def __init__(self, records, size):
        body = b""
        for n in range(records):
            value = bytes((n * 7 + i * 31) & 255 for i in range(max(size, 8)))
            record = b"\0" + varint(0) + varint(n) + varint(-1) + varint(len(value)) + value + varint(0)
            body += varint(len(record)) + record
        now = int(time.time() * 1000)
        covered = struct.pack(">hiqqqhii", 0, records - 1, now, now, -1, -1, -1, records) + body
        self.records = records
        self.size = 21 + len(covered)
        self.head = struct.pack(">qiib", 0, self.size - 12, -1, 2)
        self.covered = covered[:-9]
        self.crc = crc32c(self.covered)

    def batch(self, number):
        last = struct.pack(">q", number) + b"\0"
        return self.head + struct.pack(">I", crc32c(last, self.crc)) + self.covered + last


class Node:
    def __init__(self, name, *arguments):
        self.data = f"{SCRATCH}/{name}"
        self.arguments = arguments
        self.log = f"{SCRATCH}/{name}.log"
        self.process = None
        self.port = None
        atexit.register(self.forget)

    def forget(self):
        """Nothing is left running, however the test ends."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self, *more):
        """True when it is ready; false: it ended, and self.status and self.said say how."""
        start = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [f"{BUILD}/bin/leatd", "--data", self.data, "--listen", "127.0.0.1:0", *self.arguments, *more],
                stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().decode()
        with open(self.log, "rb") as log:
            log.seek(start)
            self.said = line + log.read().decode(errors="replace")
        if " ready: 127.0.0.1:" not in line:
            self.status = self.process.wait(60)
            with open(self.log, "rb") as log:
                log.seek(start)
                self.said = line + log.read().decode(errors="replace")
            return False
        self.port = int(line.split(" ready: 127.0.0.1:")[1].split(",")[0])
        return True

    def started(self, *more):
        if not self.start(*more):
            sys.exit(f"leatd did not start (status {self.status}):\n{self.said[-3000:]}")
        return self

    def end(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process.stdout.close()
        return status

    def link(self):
        return Link(self.port)

    def create(self, topic, partitions=1, **configs):
        link = self.link()
        body = struct.pack(">i", 1) + text(topic) + struct.pack(">ihi", partitions, 1, 0)
        body += struct.pack(">i", len(configs))
        for key, value in configs.items():
            body += text(key.replace("_", ".")) + text(value)
        answer = link.ask(CREATE_TOPICS, 2, body + struct.pack(">ib", 30000, 0))
        (error,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic))
        link.close()
        if error:
            sys.exit(f"create {topic}: error {error}")


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


class Link:
    """One connection; answers come in the order of the requests."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.correlation = 0

    def close(self):
        self.socket.close()

    def send(self, key, version, body):
        self.correlation += 1
        frame = struct.pack(">hhih", key, version, self.correlation, -1) + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def answers(self, wait):
        """Bodies of the answers that are there, waiting at most `wait` seconds for the first."""
        if not select.select([self.socket], [], [], wait)[0]:
            return []
        more = self.socket.recv(1 << 20)
        if not more:
            raise ConnectionError("the connection was closed")
        self.buffer += more
        found = []
        while len(self.buffer) >= 4:
            (size,) = struct.unpack_from(">i", self.buffer)
            if len(self.buffer) < 4 + size:
                break
            found.append(bytes(self.buffer[8:4 + size]))
            del self.buffer[:4 + size]
        return found

    def ask(self, key, version, body, wait=30):
        self.send(key, version, body)
        limit = time.monotonic() + wait
        while time.monotonic() < limit:
            found = self.answers(limit - time.monotonic())
            if found:
                return found[0]
        raise TimeoutError(f"no answer to request {key}")

    def start_offset(self, topic, partition):
        body = struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">iiq", 1, partition, -2)
        answer = self.ask(LIST_OFFSETS, 1, body)
        error, _, offset = struct.unpack_from(">hqq", answer, 4 + 2 + len(topic) + 4 + 4)
        if error:
            raise OSError(error, f"start of {topic}-{partition}: error {error}")
        return offset

    def delete_records(self, topic, partition, offset):
        body = struct.pack(">i", 1) + text(topic) + struct.pack(">iiqi", 1, partition, offset, 30000)
        answer = self.ask(DELETE_RECORDS, 1, body)
        low, error = struct.unpack_from(">qh", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
        if error or low != offset:
            raise OSError(error, f"deleting {topic}-{partition} up to {offset}: error {error}, start {low}")

    def produce(self, topic, partition, batch, acks=-1):
        self.send(PRODUCE, 3, struct.pack(">hhii", -1, acks, 30000, 1) + text(topic)
                  + struct.pack(">iii", 1, partition, len(batch)) + batch)

    def read(self, topic, partition, offset):
        """(base offset, records, id, checksum holds as a whole) of each batch from `offset` on."""
        name = text(topic)
        while True:
            body = struct.pack(">iiiibi", -1, 0, 0, 1 << 25, 0, 1) + name
            body += struct.pack(">iiqi", 1, partition, offset, 1 << 23)
            answer = self.ask(FETCH, 4, body)
            at = 4 + 4 + len(name) + 4 + 4
            error, high, _, aborted = struct.unpack_from(">hqqi", answer, at)
            if error:
                raise OSError(error, f"fetch of {topic}-{partition} at {offset}: error {error}")
            at += 22 + 16 * max(aborted, 0)
            (size,) = struct.unpack_from(">i", answer, at)
            at += 4
            end = at + size
            if at == end:
                if offset != high:
                    raise OSError(f"{topic}-{partition}: nothing at {offset}, the log ends at {high}")
                return
            while at < end:
                base, length, _, _, crc, _, last = struct.unpack_from(">qiibIhi", answer, at)
                (number,) = struct.unpack_from(">q", answer, at + length + 12 - 9)
                yield base, last + 1, number, crc
                if base > offset:
                    raise OSError(f"{topic}-{partition}: a batch at {base} where {offset} was next")
                offset = base + last + 1
                at += 12 + length


def produce_answer(body):
    """(error, base offset) of an answer to Produce v3 for one partition."""
    (size,) = struct.unpack_from(">h", body, 4)
    return struct.unpack_from(">hq", body, 4 + 2 + size + 4 + 4)
