# SPDX-License-Identifier: Apache-2.0
"""What the fault tests share: a leatd that can be killed at any moment, and as much of the protocol as it
takes to know exactly what was sent, what was answered, and what is in doubt.

Clients' libraries hide retries and batches, so that "in doubt" cannot be told from "lost". Here a batch is a
bytes object that is kept: what comes back must be the same bytes, but for the two fields that the broker
stamps (base offset and leader epoch, both outside the checksum).
"""
import atexit
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time

BUILD = os.environ.get("BUILD", "build")
SCRATCH = os.environ.get("SCRATCH", "/tmp")

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID = 19, 20, 21, 22
NO_ERROR, OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC, EXISTS, STORAGE_ERROR = 0, 1, 3, 36, 56
LATEST, EARLIEST = -1, -2
BATCH_HEADER = 61
RECORD_ROOM = 20  # of a record without its value, at most


def skip(why):
    print(why)
    sys.exit(77)


def fail(what):
    sys.exit(f"FAILED: {what}")


def check(truth, what):
    if not truth:
        fail(what)


def wait_until(what, condition, seconds=30):
    """Polls something that has no event of its own; the limit only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"{what}: not within {seconds} s")
        select.select([], [], [], 0.005)


# --- the process ----------------------------------------------------------------------------------


class Leatd:
    """One data directory and the lives of its broker. Each life listens on a port of its own unless one is named."""

    def __init__(self, data, *settings, backend="auto", shards=1, preload=None, port=0, host="127.0.0.1", inside=()):
        self.data = data
        self.host = host
        self.inside = list(inside)
        self.wanted = port
        self.settings = list(settings)
        self.backend = backend
        self.shards = shards
        self.preload = preload
        self.process = None
        self.log = f"{SCRATCH}/{os.path.basename(data)}.{backend}.log"
        self.life_begins = 0
        atexit.register(self.forget)

    def forget(self):
        """Nothing is left running, however the test ends."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def launch(self, *more):
        """Starts the process and waits for nothing."""
        command = [*self.inside, f"{BUILD}/bin/leatd", "--data", self.data, "--listen", f"{self.host}:{self.wanted}", "--shards",
                   str(self.shards), "--io", self.backend]
        for setting in self.settings:
            command += ["--set", setting]
        environment = dict(os.environ, LD_PRELOAD=self.preload) if self.preload else None
        with open(self.log, "ab") as log:
            self.life_begins = log.tell()
            self.process = subprocess.Popen(command + list(more), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, env=environment)
        return self

    def said(self):
        """What this life has printed."""
        with open(self.log, "rb") as log:
            log.seek(self.life_begins)
            return log.read().decode(errors="replace")

    def start(self, *more):
        self.launch(*more)
        deadline = time.monotonic() + 60
        while True:
            ready = re.search(rf"ready: {re.escape(self.host)}:(\d+)", self.said())
            if ready:
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                fail(f"leatd did not start ({self.process.poll()}):\n{self.said()[-3000:]}")
            select.select([], [], [], 0.002)
        self.port = int(ready.group(1))
        return self

    def refused(self, *more):
        """A start that must end by itself: (status, what it said)."""
        self.launch(*more)
        wait_until("a start is ready or refused",
                   lambda: self.process.poll() is not None or "ready:" in self.said(), 60)
        status = self.process.poll()
        if status is None:
            self.kill()
            return "ready", self.said()
        return status, self.said()

    def ended(self, seconds=30):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            fail(f"leatd did not end within {seconds} s; it said:\n{self.said()[-3000:]}")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.ended()

    def stop(self):
        status = self.end()
        check(status == 0, f"leatd ended with {status} on SIGTERM:\n{self.said()[-3000:]}")

    def kill(self):
        self.end(signal.SIGKILL)

    def rss(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) * 1024


# --- bytes ----------------------------------------------------------------------------------------

CRC_TABLE = []
for _i in range(256):
    for _ in range(8):
        _i = _i >> 1 ^ 0x82F63B78 * (_i & 1)
    CRC_TABLE.append(_i)


def crc32c(data):
    crc = 0xFFFFFFFF
    table = CRC_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(n):
    n = n << 1 ^ n >> 63
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def sealed(records, count, producer, sequence, when):
    """A batch of records that are encoded."""
    rest = struct.pack(">hiqqqhii", 0, count - 1, when, when, producer[0], producer[1], sequence, count) + records
    return struct.pack(">qiibI", 0, len(rest) + 9, -1, 2, crc32c(rest)) + rest


def batch(values, producer=(-1, -1), sequence=-1, when=None):
    """One record batch, as a producer sends it."""
    when = int(time.time() * 1000) if when is None else when
    records = bytearray()
    for i, value in enumerate(values):
        record = b"\0\0" + varint(i) + b"\1" + varint(len(value)) + value + b"\0"
        records += varint(len(record)) + record
    return sealed(records, len(values), producer, sequence, when)


def keyed_batch(records, producer, sequence):
    """records: [(key, value or None)]"""
    body = bytearray()
    for i, (key, value) in enumerate(records):
        record = b"\0\0" + varint(i) + varint(len(key)) + key
        record += varint(-1) if value is None else varint(len(value)) + value
        record += b"\0"
        body += varint(len(record)) + record
    return sealed(body, len(records), producer, sequence, int(time.time() * 1000))


def unstamped(data):
    """A batch without the two fields that the broker stamps."""
    return data[8:12] + data[16:]


def split(records):
    """(base offset, count, bytes) of each whole batch of a fetched set."""
    at = 0
    while at + BATCH_HEADER <= len(records):
        base, length = struct.unpack_from(">qi", records, at)
        if at + 12 + length > len(records):
            return
        (last,) = struct.unpack_from(">i", records, at + 23)
        yield base, last + 1, records[at:at + 12 + length]
        at += 12 + length


def unvarint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        if byte < 128:
            return value >> 1 ^ -(value & 1), at


def records_of(data):
    """(offset, key or None, value or None) of each record of a batch without codec."""
    base, = struct.unpack_from(">q", data)
    attributes, = struct.unpack_from(">h", data, 21)
    count, = struct.unpack_from(">i", data, 57)
    check(attributes & 7 == 0, f"a batch at {base} has a codec")
    at = BATCH_HEADER
    for _ in range(count):
        size, at = unvarint(data, at)
        end = at + size
        _, at = unvarint(data, at + 1)
        delta, at = unvarint(data, at)
        length, at = unvarint(data, at)
        key = None if length < 0 else data[at:at + length]
        length, at = unvarint(data, at + max(length, 0))
        yield base + delta, key, None if length < 0 else data[at:at + length]
        at = end


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values if len(values) > 1 else values[0]

    def text(self):
        size = self.take("h")
        self.at += max(size, 0)
        return self.data[self.at - size:self.at].decode() if size >= 0 else None

    def raw(self):
        """A string that need not be text."""
        size = self.take("h")
        self.at += max(size, 0)
        return self.data[self.at - size:self.at] if size >= 0 else None

    def bytes(self):
        size = self.take("i")
        self.at += max(size, 0)
        return self.data[self.at - size:self.at] if size >= 0 else b""


# --- a connection ---------------------------------------------------------------------------------


class Gone(Exception):
    """The broker's side of the connection has ended."""


class Connection:
    """Requests may be sent ahead; answers come in their order."""

    def __init__(self, port, timeout=30):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        except OSError as error:
            raise Gone from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = bytearray()
        self.sent = 0
        self.received = 0

    def close(self):
        self.socket.close()

    def send(self, key, version, body):
        self.sent += 1
        self.transmit(struct.pack(">hhih", key, version, self.sent, -1) + body)

    def transmit(self, frame):
        try:
            self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        except socket.timeout:
            fail(f"a request of {len(frame)} bytes was not taken in time")
        except OSError as error:
            raise Gone from error

    def whole(self):
        """The next answer if all of it is there, else None."""
        if len(self.input) < 4:
            return None
        (size,) = struct.unpack_from(">i", self.input)
        if len(self.input) < 4 + size:
            return None
        answer = bytes(self.input[4:4 + size])
        del self.input[:4 + size]
        self.received += 1
        (correlation,) = struct.unpack_from(">i", answer)
        check(correlation == self.received, f"answer {correlation} where {self.received} was next")
        return answer[4:]

    def more(self):
        try:
            data = self.socket.recv(1 << 20)
        except socket.timeout:
            fail(f"no answer in time; {self.sent - self.received} requests wait")
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self.input += data

    def receive(self):
        while True:
            answer = self.whole()
            if answer is not None:
                return answer
            self.more()

    def ask(self, key, version, body):
        self.send(key, version, body)
        return self.receive()


# --- requests -------------------------------------------------------------------------------------


def produce_body(topic, batches, acks=-1, timeout_ms=30000):
    """batches: {partition: bytes}. For Produce 3."""
    body = struct.pack(">hhii", -1, acks, timeout_ms, 1) + text(topic) + struct.pack(">i", len(batches))
    return body + b"".join(struct.pack(">ii", p, len(data)) + data for p, data in batches.items())


def produced(answer):
    """{partition: (error, base offset)} of a Produce 3 answer."""
    r = Reader(answer)
    found = {}
    for _ in range(r.take("i")):
        r.text()
        for _ in range(r.take("i")):
            partition, error, base, _ = r.take("ihqq")
            found[partition] = (error, base)
    return found


def create_body(topic, partitions, config):
    body = struct.pack(">i", 1) + text(topic) + struct.pack(">ihii", partitions, 1, 0, len(config))
    return body + b"".join(text(k) + text(str(v)) for k, v in config.items()) + struct.pack(">ib", 30000, 0)


def created(answer):
    r = Reader(answer)
    r.take("ii")
    r.text()
    return r.take("h"), r.text()


def delete_body(topic):
    return struct.pack(">i", 1) + text(topic) + struct.pack(">i", 30000)


def deleted(answer):
    r = Reader(answer)
    r.take("ii")
    r.text()
    return r.take("h")


def delete_records_body(topic, partition, offset):
    return struct.pack(">i", 1) + text(topic) + struct.pack(">iiqi", 1, partition, offset, 30000)


def records_deleted(answer):
    """(low watermark, error)"""
    r = Reader(answer)
    r.take("ii")
    r.text()
    r.take("i")
    return r.take("iqh")[1:]


def offsets_body(topic, partitions, what):
    body = struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">i", len(partitions))
    return body + b"".join(struct.pack(">iq", p, what) for p in partitions)


def offsets_found(answer):
    """{partition: (error, offset)} of a ListOffsets 1 answer."""
    r = Reader(answer)
    r.take("i")
    r.text()
    return {p: (e, o) for p, e, _, o in (r.take("ihqq") for _ in range(r.take("i")))}


def fetch_body(topic, partition, offset, most=4 << 20, wait_ms=0, least=0):
    return struct.pack(">iiiibi", -1, wait_ms, least, most, 0, 1) + text(topic) + struct.pack(
        ">iiqi", 1, partition, offset, most)


def fetched(answer):
    """(error, high watermark, records) of a Fetch 4 answer of one partition."""
    r = Reader(answer)
    r.take("ii")
    r.text()
    _, _, error, high, _, aborted = r.take("iihqqi")
    for _ in range(aborted):
        r.take("qq")
    return error, high, r.bytes()


class Client(Connection):
    """One request at a time."""

    def create(self, topic, partitions=1, **config):
        config = {k.replace("_", "."): v for k, v in config.items()}
        error, why = created(self.ask(CREATE_TOPICS, 2, create_body(topic, partitions, config)))
        check(error == NO_ERROR, f"{topic} was not created: {error} {why}")

    def delete(self, topic):
        error = deleted(self.ask(DELETE_TOPICS, 1, delete_body(topic)))
        check(error == NO_ERROR, f"{topic} was not deleted: {error}")

    def delete_records(self, topic, partition, offset):
        low, error = records_deleted(self.ask(DELETE_RECORDS, 1,
                                              delete_records_body(topic, partition, offset)))
        check(error == NO_ERROR, f"DeleteRecords of {topic}-{partition}: error {error}")
        return low

    def producer_id(self):
        r = Reader(self.ask(INIT_PRODUCER_ID, 0, struct.pack(">hi", -1, 60000)))
        _, error, number, epoch = r.take("ihqh")
        check(error == NO_ERROR, f"InitProducerId: error {error}")
        return number, epoch

    def produce(self, topic, partition, data, acks=-1):
        """(error, base offset)"""
        return produced(self.ask(PRODUCE, 3, produce_body(topic, {partition: data}, acks)))[partition]

    def leaders(self, topic):
        """{partition: leader}, -1 where nobody leads."""
        r = Reader(self.ask(METADATA, 1, struct.pack(">i", 1) + text(topic)))
        for _ in range(r.take("i")):
            r.take("i"), r.text(), r.take("i"), r.text()
        r.take("i")
        found = {}
        for _ in range(r.take("i")):
            r.take("h"), r.text(), r.take("b")
            for _ in range(r.take("i")):
                _, partition, leader = r.take("hii")
                for _ in range(2):
                    for _ in range(r.take("i")):
                        r.take("i")
                found[partition] = leader
        return found

    def offset(self, topic, partition, what):
        error, offset = offsets_found(self.ask(LIST_OFFSETS, 1, offsets_body(topic, [partition], what)))[
            partition]
        check(error == NO_ERROR, f"ListOffsets of {topic}-{partition}: error {error}")
        return offset

    def fetch(self, topic, partition, offset, **more):
        return fetched(self.ask(FETCH, 4, fetch_body(topic, partition, offset, **more)))

    def batches(self, topic, partition, offset):
        """(base offset, count, bytes) of all batches from `offset` to the high watermark: no gaps."""
        while True:
            error, high, records = self.fetch(topic, partition, offset)
            check(error == NO_ERROR, f"fetch of {topic}-{partition} at {offset}: error {error}")
            if offset >= high:
                return
            found = False
            for base, count, data in split(records):
                check(base <= offset < base + count or base == offset,
                      f"{topic}-{partition}: a batch at {base} where {offset} was next")
                offset = base + count
                found = True
                yield base, count, data
            check(found, f"{topic}-{partition}: nothing at {offset}, but the log ends at {high}")


# --- file systems ---------------------------------------------------------------------------------


def run_quietly(*command):
    """(status, what it said)"""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
    except FileNotFoundError:
        return 127, f"{command[0]} is not installed"
    return done.returncode, done.stdout.strip()


class Mount:
    """A small file system of its own: `with Mount(...) as m:` m.path is where it is. Needs root."""

    def __init__(self, name, kind="ext4", size=192 << 20, image_in=None):
        self.kind, self.size = kind, size
        self.path = f"{SCRATCH}/{name}"
        self.image = f"{image_in or SCRATCH}/{name}.image"
        self.mounted = False

    def __enter__(self):
        if os.geteuid() != 0:
            skip("a file system of its own needs root")
        os.makedirs(self.path, exist_ok=True)
        if self.kind == "ext4":
            with open(self.image, "wb") as image:
                image.truncate(self.size)
            # Nothing is written lazily, so that a backing file grows only with what the broker writes.
            status, said = run_quietly("mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", "-E",
                                       "lazy_itable_init=0,lazy_journal_init=0", self.image)
            if status:
                skip(f"no ext4 image can be made: {said}")
        self.mount()
        return self

    def mount(self):
        if self.kind == "ext4":
            status, said = run_quietly("mount", "-o", "loop", self.image, self.path)
        else:
            status, said = run_quietly("mount", "-t", self.kind, "-o", f"size={self.size}", "none",
                                       self.path)
        if status:
            skip(f"{self.kind} cannot be mounted here: {said.splitlines()[-1]}")
        self.mounted = True

    def unmount(self):
        # A ring holds its files until the kernel has taken it apart, which is after its process has ended.
        wait_until(f"umount {self.path}", lambda: run_quietly("umount", self.path)[0] == 0)
        self.mounted = False

    def free(self):
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def __exit__(self, *_):
        if self.mounted:  # a test that failed: its broker is ended later
            run_quietly("umount", "-l", self.path)
        if self.kind == "ext4" and os.path.exists(self.image):
            os.unlink(self.image)


class Bulk:
    """Large batches for many partitions: what was acknowledged, and a comparison of all of it."""

    def __init__(self, size=128 << 10, kinds=8):
        values = [[b"%d-%d-" % (kind, i) + bytes([97 + kind]) * (size // 8) for i in range(8)]
                  for kind in range(kinds)]
        self.batches = [batch(v) for v in values]
        self.known = {unstamped(b): i for i, b in enumerate(self.batches)}
        self.acked = {}  # (topic, partition) -> {base offset: kind}
        self.turn = 0

    def send(self, client, topic, partition=0):
        """One batch, acknowledged or refused: the error."""
        self.turn += 1
        kind = self.turn % len(self.batches)
        error, base = client.produce(topic, partition, self.batches[kind])
        if error == NO_ERROR:
            self.acked.setdefault((topic, partition), {})[base] = kind
        return error

    def fill(self, client, places):
        """Sends to all places until each refuses. Returns the errors."""
        refused = {}
        while len(refused) < len(places):
            for place in places:
                error = self.send(client, *place)
                if error != NO_ERROR:
                    refused[place] = error
        return set(refused.values())

    def compare(self, client, place):
        """Everything from the log start on: no gap, nothing else, all that was acknowledged."""
        topic, partition = place
        start = client.offset(topic, partition, EARLIEST)
        wanted = {b: k for b, k in self.acked.get(place, {}).items() if b + 8 > start}
        found = {}
        for base, _, data in client.batches(topic, partition, start):
            check(unstamped(data) in self.known, f"{topic}-{partition}: the batch at {base} is changed")
            found[base] = self.known[unstamped(data)]
        lost = [b for b, k in wanted.items() if found.get(b) != k]
        check(not lost, f"{topic}-{partition}: acknowledged batches at {lost[:3]} are lost or others")
        return len(wanted) * 8

    def compare_all(self, client, places):
        return sum(self.compare(client, place) for place in places)
