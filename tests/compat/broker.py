# SPDX-License-Identifier: Apache-2.0
"""A leatd for the tests of other people's clients, and a look at what it really stored.

What a client reads back says nothing of the codec: a client that thinks that the broker knows no
lz4 sends plain batches, and the round trip succeeds. So codecs() asks for the batches over a socket of
its own and reads the attributes of each.
"""
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("BUILD", "build")
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def skip(why):
    print(why)
    sys.exit(77)


class Broker:
    """with Broker() as b: b.address is "127.0.0.1:PORT"."""

    def __init__(self, *settings, shards=1, port=0, advertised=None):
        self.settings = settings
        self.advertised = advertised  # a port that clients are told in place of the broker's own
        self.shards = shards
        self.wanted = port

    def __enter__(self):
        self.scratch = tempfile.TemporaryDirectory(dir=os.environ.get("SCRATCH"))
        self.log = open(f"{self.scratch.name}/log", "w+")
        self.start(self.wanted)
        return self

    def start(self, port):
        command = [f"{BUILD}/bin/leatd", "--data", f"{self.scratch.name}/data", "--shards", str(self.shards)]
        if self.advertised is None:
            command += ["--listen", f"127.0.0.1:{port}"]
        else:
            listener = f"{{ name: plain, address: 127.0.0.1:{port}, advertised: 127.0.0.1:{self.advertised} }}"
            with open(f"{self.scratch.name}/leat.yaml", "w") as config:
                config.write(f"listeners:\n  - {listener}\n")
            command += ["--config", f"{self.scratch.name}/leat.yaml"]
        for setting in self.settings:
            command += ["--set", setting]
        self.life_begins = self.log.seek(0, os.SEEK_END)
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while True:
            ready = re.search(r"ready: 127\.0\.0\.1:(\d+)", self.said()[self.life_begins:])
            if ready:
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("leatd did not start:\n" + self.said())
            time.sleep(0.01)
        self.port = int(ready.group(1))
        self.address = f"127.0.0.1:{self.port}"

    def kill_and_start(self):
        """kill -9, and another life at the same address."""
        self.process.kill()
        self.process.wait()
        self.start(self.port)

    def said(self):
        with open(f"{self.scratch.name}/log") as log:
            return log.read()

    def __exit__(self, kind, value, trace):
        alive = self.process.poll() is None
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "no end within 30 s"
        said = self.said()
        self.log.close()
        self.scratch.cleanup()
        if kind is not None or not alive or status != 0:
            print("leatd said:\n" + said)
        assert alive, f"leatd ended by itself with {status}"
        assert status == 0, f"leatd stopped with {status}"

    # --- the protocol, by hand -----------------------------------------------------------------

    def leader(self, topic, partition):
        """The port of the node that leads it."""
        return self.port

    def ask(self, port, key, version, body):
        """One request with header v1 on a connection of its own; the answer's body."""
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            frame = struct.pack(">hhih", key, version, 1, -1) + body
            s.sendall(struct.pack(">i", len(frame)) + frame)
            answer = b""
            while len(answer) < 4 or len(answer) < 4 + struct.unpack_from(">i", answer)[0]:
                more = s.recv(1 << 20)
                assert more, "the connection was closed"
                answer += more
        return answer[8:]

    def stored(self, topic, partition=0):
        """The bytes of every batch, by Fetch v4."""
        found, offset = [], 0
        name, port = topic.encode(), self.leader(topic, partition)
        while True:
            body = struct.pack(">iiiibi", -1, 0, 0, 1 << 26, 0, 1)
            body += struct.pack(">h", len(name)) + name + struct.pack(">iiqi", 1, partition, offset, 1 << 24)
            answer = self.ask(port, 1, 4, body)
            at = 4 + 4 + 2 + len(name) + 4 + 4
            error, high, _, aborted = struct.unpack_from(">hqqi", answer, at)
            assert error == 0, f"fetch of {topic}: error {error}"
            at += 22 + 16 * max(aborted, 0)
            (size,) = struct.unpack_from(">i", answer, at)
            records = answer[at + 4:at + 4 + size]
            if not records:
                assert offset == high, f"{topic}: nothing at {offset}, but the log ends at {high}"
                return found
            at = 0
            while at < len(records):
                base, length = struct.unpack_from(">qi", records, at)
                (last,) = struct.unpack_from(">i", records, at + 23)
                assert base >= offset, f"{topic}: a batch at {base} where {offset} was next"
                offset = base + last + 1
                found.append(records[at:at + 12 + length])
                at += 12 + length

    def batches(self, topic, partition=0):
        """(base offset, codec, records) of every batch."""
        return [(*struct.unpack_from(">q", batch), CODECS[struct.unpack_from(">h", batch, 21)[0] & 7],
                 *struct.unpack_from(">i", batch, 57)) for batch in self.stored(topic, partition)]

    def producers(self, topic, partition=0):
        """(producer id, sequence of the first record, records) of every batch."""
        return [(*struct.unpack_from(">q", batch, 43), *struct.unpack_from(">ii", batch, 53))
                for batch in self.stored(topic, partition)]

    def codecs(self, topic, partition=0):
        """Of batches of a few records at least: clients send what does not shrink as it is."""
        return {codec for _, codec, count in self.batches(topic, partition) if count >= 10}


def same(got, wanted, what):
    assert got == wanted, f"{what}: got {got!r:.400}, wanted {wanted!r:.400}"
    print(f"ok: {what}")
