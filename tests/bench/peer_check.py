# SPDX-License-Identifier: Apache-2.0
"""What the tests of bench/peers share: one peer is fetched, and lives twice on one folder, once in each durability."""
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", ROOT / "build")).resolve()
SCRATCH = Path(os.environ.get("SCRATCH", "/tmp"))
LIMIT_S = 60
sys.path.insert(0, str(ROOT / "bench" / "peers"))

import peer as shared  # noqa: E402
import peers  # noqa: E402


def refused(what, said, *arguments, **more):
    try:
        what(*arguments, **more)
    except (RuntimeError, shared.Unavailable) as why:
        assert said in str(why), f"'{why}' does not say '{said}'"
        print(f"ok: refused: {said}")
    else:
        sys.exit(f"FAILED: not refused: {said}")


def fetched(name):
    """The peer; where it cannot be had the test is skipped, and the last line says why."""
    try:
        return peers.PEERS[name]().fetch(BUILD)
    except shared.Unavailable as why:
        print(" ".join(str(why).split()))
        sys.exit(77)


def busy(peer):
    """Its time is told in steps of 10 ms, of which a start and some lines may take less than one."""
    until = time.monotonic() + LIMIT_S
    while peer.cpu_seconds() == 0 and time.monotonic() < until:
        socket.create_connection(("127.0.0.1", peer.port)).close()


def two_lives(peer, work):
    """work(life) publishes and reads, and returns what is checked of it by the caller."""
    for life, durability in enumerate(shared.DURABILITIES):
        port = shared.free_port()
        peer.start(SCRATCH / peer.name, port, durability)
        work(life)
        busy(peer)
        assert peer.cpu_seconds() > 0 and peer.rss_bytes() > 1 << 20, (peer.cpu_seconds(), peer.rss_bytes())
        peer.stop()
        assert not shared.in_use(port), f"{peer.name} is still there"
        print(f"ok: {peer.name} {peer.version}, {durability}")


def leat(peer, *arguments, text=""):
    command = [BUILD / "bin" / "leat", "-b", f"127.0.0.1:{peer.port}", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, f"leat {' '.join(arguments)}: status {done.returncode}: {done.stderr}"
    return done.stdout


def kafka_work(peer):
    """Each life publishes some lines, and reads them with those of the lives before."""
    lines = "".join(f"line {i}\n" for i in range(500))

    def work(life):
        leat(peer, "produce", "t", text=lines)
        read = leat(peer, "consume", "t", "--from-beginning", "-e")
        assert read == lines * (life + 1), f"life {life}: {len(read)} bytes came back, not {len(lines) * (life + 1)}"

    return work
