# SPDX-License-Identifier: Apache-2.0
"""What all brokers have in common: they are fetched, started on a port below a folder, asked until they serve, measured
and stopped."""
import atexit
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

START_S = 120
STOP_S = 120
FREE_S = 5
FETCH_S = 500
POLL_MS = 10
DURABILITIES = ("memory", "fsync")
# What changes a broker without standing in its configuration.
HIDDEN = ("LEAT_", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT")


class Unavailable(Exception):
    """A peer that cannot be had here: why, and what would help. A comparison leaves it out and says so."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def in_use(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


def run_counted(title, command, counted, **more):
    """Runs what fetches or builds: (succeeded, its lines). Lines that match `counted` are counted on a terminal."""
    shown = sys.stderr.isatty()
    print(f"{title} ...", end="" if shown else "\n", file=sys.stderr, flush=True)
    lines, count = [], 0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **more) as process:
        limit = threading.Timer(FETCH_S, process.kill)
        limit.start()
        for line in process.stdout:
            lines.append(line.rstrip())
            count += bool(re.search(counted, line))
            if shown:
                print(f"\r{title} ... {count}", end="", file=sys.stderr, flush=True)
        status = process.wait()
        limit.cancel()
    if shown:
        print("" if status == 0 else " failed", file=sys.stderr)
    return status == 0, lines


# --- whether it serves: each protocol's first question ------------------------------------------------


def kafka_answers(s, receive):
    """ApiVersions v0, which every broker of Kafka's protocol answers once it takes requests."""
    s.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
    answer = b""
    while len(answer) < 10:
        more = receive()
        if not more:
            return False
        answer += more
    _, correlation, error = struct.unpack_from(">iih", answer)
    return correlation == 1 and error == 0


def nats_answers(_, receive):
    """A NATS server speaks first: INFO and a line of JSON, which tells whether JetStream is there."""
    answer = b""
    while not answer.endswith(b"\n"):
        more = receive()
        if not more:
            return False
        answer += more
    return answer.startswith(b"INFO ") and json.loads(answer[5:]).get("jetstream") is True


# --- the process --------------------------------------------------------------------------------------


class Peer:
    """One broker of one node. fetch(), then start() and stop(), again and again on the same or other folders.

    A subclass has name, protocol, meaning (what each durability is, in its own words), answers, and the four methods
    that say so below."""

    def __init__(self):
        self.build = None
        self.process = None
        self.port = None

    # What a subclass defines.

    @property
    def version(self):
        raise NotImplementedError

    def availability(self, build):
        """(state, remark): "there", "can be fetched" (asks no registry), or "not to be had" and why."""
        raise NotImplementedError

    def prepare(self, data, port, durability):
        """Writes below `data` what the broker needs before it starts."""

    def command(self, data, port, durability):
        raise NotImplementedError

    def configuration(self, durability, data="DATA", port="PORT"):
        """The exact text for a report: of the command, and of the file that it reads. Words in capitals vary."""
        return " ".join(str(word) for word in self.command(data, port, durability)) + "\n"

    # What all do alike.

    def fetch(self, build):
        """Once; what is there is not fetched again. Raises Unavailable."""
        self.build = Path(build).resolve()
        state, remark = self.availability(self.build)
        if state == "not to be had":
            raise Unavailable(f"{self.name}: {remark}")
        if state == "can be fetched":
            (self.build / "peers").mkdir(parents=True, exist_ok=True)
            self.get()
        return self

    def start(self, data, port, durability, inside=()):
        """Returns when it serves. `inside`: words before the command, such as taskset -c 0; they must exec it."""
        assert self.build is not None, "fetch() comes first"
        assert self.process is None, f"{self.name} runs"
        assert durability in DURABILITIES, durability
        self.wait_until_free(port)
        data = Path(data).resolve()
        data.mkdir(parents=True, exist_ok=True)
        self.log = data / "log"
        self.port = port
        self.prepare(data, port, durability)
        with open(self.log, "ab") as log:
            self.life_begins = log.tell()
            # In a session of its own: a Ctrl-C on the terminal is for whoever measures.
            self.process = subprocess.Popen([*inside, *map(str, self.command(data, port, durability))], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                                            env={k: v for k, v in os.environ.items() if not k.startswith(HIDDEN)})
        atexit.register(self.forget)
        try:
            self.wait_until_it_serves()
        except BaseException:
            self.forget()
            raise
        return self

    @staticmethod
    def wait_until_free(port):
        """Otherwise somebody else would answer. What io_uring accepts is let go a little after the end of its process."""
        deadline = time.monotonic() + FREE_S
        while in_use(port):
            if time.monotonic() > deadline:
                raise RuntimeError(f"port {port} is in use")
            select.select([], [], [], POLL_MS / 1000)

    def wait_until_it_serves(self):
        """Asks the port; a refused connection is tried again soon, the end of the process is noticed at once."""
        deadline = time.monotonic() + START_S
        ended = os.pidfd_open(self.pid)
        try:
            while not self.serves(ended, deadline):
                if select.select([ended], [], [], POLL_MS / 1000)[0]:
                    raise RuntimeError(f"{self.name} ended at its start:\n{self.said()}")
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} does not serve after {START_S} s:\n{self.said()}")
        finally:
            os.close(ended)

    def serves(self, ended, deadline):
        def receive():
            readable, _, _ = select.select([s, ended], [], [], max(0, deadline - time.monotonic()))
            return s.recv(1 << 16) if s in readable else b""

        try:
            # From another address than the broker's: a connection to a free port of this machine may otherwise be made to
            # itself, and would keep the broker from the port.
            with socket.create_connection(("127.0.0.1", self.port), 1, ("127.0.0.2", 0)) as s:
                return type(self).answers(s, receive)
        except OSError:
            return False

    def stop(self, number=signal.SIGTERM):
        """Its exit status. Raises when it had ended before."""
        process, self.process = self.process, None
        status = process.poll()
        if status is not None:
            raise RuntimeError(f"{self.name} ended by itself with {status}:\n{self.said()}")
        process.send_signal(number)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"{self.name} did not end within {STOP_S} s and was killed") from None

    def forget(self):
        """Nothing is left running, however a measurement ends."""
        process, self.process = self.process, None
        if process and process.poll() is None:
            process.kill()
            process.wait()

    def said(self):
        """The end of what this life has printed."""
        with open(self.log, "rb") as log:
            log.seek(self.life_begins)
            return "".join(log.read().decode(errors="replace").splitlines(keepends=True)[-30:])

    @property
    def pid(self):
        return self.process.pid

    def cpu_seconds(self):
        """User and system time of all threads, also of those that have ended; in steps of 10 ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
