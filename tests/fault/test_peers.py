#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Slow and abusive peers against one broker, all at the same time, on io_uring and on epoll:

    1,000 connections that send nothing, 200 with half a frame, 200 that send a byte now and then, frames that
    declare 2 GB, a negative or an absurd size, garbage, requests without end whose answers nobody reads
    (small and large fetches, metadata), produce bodies that stop in the middle, connections that come and go

Meanwhile one producer and one consumer must have every request answered, with what was sent, by what it
asks for and not by the end of its waiting time, which is longer than their patience; and the resident
memory must stay below limits.memory and a fixed margin, with plenty of it and with little.

    tests/fault/test_peers.py [--io uring|epoll] [--memory MIB] [--seconds N] [--seed S]
"""
import argparse
import errno
import random
import threading

from node import *

parser = argparse.ArgumentParser()
parser.add_argument("--io", choices=("uring", "epoll"))
parser.add_argument("--memory", type=int)
parser.add_argument("--seconds", type=int, default=5)
parser.add_argument("--seed", type=int, default=5)
arguments = parser.parse_args()
MARGIN = 48 << 20
QUIET, HALF, DRIP = 1000, 200, 200
FOREVER_MS = 600000


def nothing_more(connection):
    """What has come is thrown away. False: the broker has closed it."""
    try:
        while True:
            if not connection.recv(1 << 16):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False


class Abuse:
    """Connections that never block, moved by step()."""

    def __init__(self, port, source):
        self.port, self.source = port, source
        self.closed = 0
        self.quiet = [self.open() for _ in range(QUIET)]
        self.half = [self.open() for _ in range(HALF)]
        for c in self.half:
            self.give(c, struct.pack(">ihhih", 1000, PRODUCE, 3, 1, -1)[:source.randrange(1, 14)])
        self.drip = [self.open() for _ in range(DRIP)]
        self.dripped = 0
        body = fetch_body("bulk", 0, 0, most=1 << 20)
        small = fetch_body("bulk", 0, 0, most=1)
        self.greedy = [[self.open(), frame * 50, 0] for frame in (
            self.frame(FETCH, 4, body), self.frame(FETCH, 4, small),
            self.frame(METADATA, 1, struct.pack(">i", -1))) for _ in range(20)]
        self.bodies = [self.open() for _ in range(20)]
        for c in self.bodies:  # each asks for a large part of the pool, and then does not fill it
            self.give(c, struct.pack(">ihhih", 1 << 20, PRODUCE, 3, 1, -1) + bytes(100000))

    @staticmethod
    def frame(key, version, body):
        data = struct.pack(">hhih", key, version, 1, -1) + body
        return struct.pack(">i", len(data)) + data

    def open(self):
        c = socket.create_connection(("127.0.0.1", self.port), 30)
        c.setblocking(False)
        return c

    def give(self, c, data):
        """How many bytes were taken, -1 if the broker has closed it; the rest is not sent."""
        try:
            return c.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.closed += 1
            return -1

    def once(self, data):
        """A connection of its own for something that must be answered by its end."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as c:
            try:
                c.sendall(data)
                while c.recv(1 << 16):
                    pass
            except socket.timeout:
                fail(f"a connection that sent {data[:20]!r} is still open after 30 s")
            except OSError as error:
                check(error.errno in (errno.ECONNRESET, errno.EPIPE), f"{error}")

    def refused(self):
        for size in (0x7FFFFFFF, -1, -0x80000000, 0, 3, 200 << 20):
            self.once(struct.pack(">i", size) + b"\0" * 16)
        self.once(self.frame(9999, 0, b""))
        self.once(self.frame(PRODUCE, 3, b"\xff" * 40))
        self.once(b"GET / HTTP/1.1\r\nHost: leat\r\n\r\n")
        self.once(self.source.randbytes(300).replace(b"\0", b"\1"))

    def step(self):
        slow = struct.pack(">ihhih", 1000, PRODUCE, 3, 1, -1) + bytes(990)
        for c in self.drip if self.dripped < len(slow) else ():
            self.give(c, slow[self.dripped:self.dripped + 1])
        self.dripped += 1
        for peer in self.greedy:  # whole requests, one behind the other, as fast as they are taken
            while (taken := self.give(peer[0], peer[1][peer[2]:])) > 0:
                peer[2] = (peer[2] + taken) % len(peer[1])
            if taken < 0:  # closed for taking nothing: it comes again
                peer[0].close()
                peer[0], peer[2] = self.open(), 0
        for _ in range(5):
            self.open().close()

    def count_open(self):
        return sum(nothing_more(c) for c in self.quiet)


class Normal(threading.Thread):
    """A producer and a consumer that mind their own business."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.producer, self.consumer = Client(port), Client(port)
        self.stop = threading.Event()
        self.error = None
        self.waits = []
        self.records = 0

    def run(self):
        try:
            while not self.stop.is_set():
                self.turn()
        except BaseException as error:  # told by the main thread
            self.error = error

    def turn(self):
        data = batch([b"%d-" % self.records + b"n" * 1000])
        begun = time.monotonic()
        error, base = self.producer.produce("normal", 0, data)
        check(error == NO_ERROR and base == self.records, f"the normal producer: error {error}, at {base}")
        error, high, records = self.consumer.fetch("normal", 0, base, wait_ms=FOREVER_MS, least=1)
        self.waits.append(time.monotonic() - begun)
        check(error == NO_ERROR and high > base, f"the normal consumer: error {error}, end {high}")
        found = list(split(records))
        check(len(found) == 1 and unstamped(found[0][2]) == unstamped(data), "another batch is read")
        self.records += 1


def prepare(leatd):
    client = Client(leatd.port)
    client.create("normal", 1)
    client.create("bulk", 1)
    bulk = Bulk(256 << 10)
    for _ in range(160):
        check(bulk.send(client, "bulk") == NO_ERROR, "an append is refused")
    client.close()


def run(backend, memory, seed):
    settings = (f"limits.memory={memory}", "limits.connections=4000")
    leatd = Leatd(f"{SCRATCH}/peers-{backend}-{memory >> 20}", *settings, backend=backend, shards=2).start()
    prepare(leatd)
    normal = Normal(leatd.port)
    normal.start()
    abuse = Abuse(leatd.port, random.Random(f"{seed}-{backend}"))
    abuse.refused()
    largest, stop = 0, time.monotonic() + arguments.seconds
    while time.monotonic() < stop and normal.error is None:
        abuse.step()
        check(leatd.process.poll() is None, f"leatd ended with {leatd.process.poll()}:\n{leatd.said()[-3000:]}")
        largest = max(largest, leatd.rss())
        check(largest < memory + MARGIN, f"{largest} bytes resident, limits.memory is {memory}")
        normal.stop.wait(0.02)
    normal.stop.set()
    normal.join(60)
    check(not normal.is_alive(), "a request of the normal producer or consumer was never answered")
    if normal.error is not None:
        print(f"{backend}, {memory >> 20} MiB, seed {seed}; leatd's status is {leatd.process.poll()}, its log ends with")
        print(leatd.said()[-3000:], flush=True)
        raise normal.error
    check(normal.records > 0, "the normal producer did nothing")
    check(abuse.count_open() == QUIET, "connections that only wait were closed")
    leatd.stop()
    waits = sorted(normal.waits)
    print(f"ok: {backend}, seed {seed}: {normal.records} produce and fetch pairs, p50 "
          f"{waits[len(waits) // 2] * 1000:.1f} ms, p99 {waits[len(waits) * 99 // 100] * 1000:.1f} ms; "
          f"{abuse.closed} sends met a closed connection; {largest >> 20} MiB resident of {memory >> 20} + "
          f"{MARGIN >> 20}", flush=True)


for chosen in [arguments.io] if arguments.io else ["uring", "epoll"]:
    for mib in [arguments.memory] if arguments.memory else [512, 128]:
        run(chosen, mib << 20, arguments.seed)
