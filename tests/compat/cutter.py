# SPDX-License-Identifier: Apache-2.0
"""Stands before a broker and cuts connections where it hurts: the broker has stored a batch, and its answer is lost.

The connection ends in place of the answer to every seventh Produce. A producer must send again what has no
answer, and a broker must know it again.
"""
import socket
import struct
import threading

PRODUCE = 0
EVERY = 7


def receive(s, size):
    data = b""
    while len(data) < size:
        more = s.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def frame(s):
    """A request or an answer, with its size."""
    size = receive(s, 4)
    return size + receive(s, struct.unpack(">i", size)[0])


class Cutter:
    """with Cutter() as c: c.port is open; after c.forward(port), what connects reaches that broker. c.cuts counts."""

    def __init__(self):
        self.cuts, self.produces, self.lock = 0, 0, threading.Lock()
        self.target, self.sockets = None, []

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        return self

    def forward(self, port):
        self.target = port
        threading.Thread(target=self.accept, daemon=True).start()

    def __exit__(self, kind, value, trace):
        self.listener.close()
        with self.lock:
            for s in self.sockets:
                s.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self.target))
            with self.lock:
                self.sockets += [client, broker]
            doomed = set()
            for way in ((self.requests, client, broker), (self.answers, broker, client)):
                threading.Thread(target=self.run, args=(*way, doomed), daemon=True).start()

    def run(self, way, source, sink, doomed):
        try:
            while way(source, sink, doomed):
                pass
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def requests(self, client, broker, doomed):
        request = frame(client)
        key, _, correlation = struct.unpack_from(">hhi", request, 4)
        if key == PRODUCE:
            with self.lock:
                self.produces += 1
                if self.produces % EVERY == 0:
                    doomed.add(correlation)
        broker.sendall(request)
        return True

    def answers(self, broker, client, doomed):
        answer = frame(broker)
        if struct.unpack_from(">i", answer, 4)[0] in doomed:
            with self.lock:
                self.cuts += 1
            return False
        client.sendall(answer)
        return True
