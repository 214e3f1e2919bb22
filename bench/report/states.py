#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What brokers of Kafka's protocol cost beside a steady load: many partitions and a start after kill -9, idle connections, doing nothing,
a consumer that catches up beside producers, several that read the same.

    bench/report/states.py [--build build] [--dir /tmp] [--peers leat,kafka] [--only partitions,connections] [--rounds 3]

Each broker is alone on the machine, on an empty folder; brokers take turns, the median of the rounds is told with the least and the most.
"""
import argparse
import json
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))
from peer import free_port
from peers import available

MIB = 1 << 20
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class Served:
    """A broker on a folder of its own, and what is asked of it."""

    def __init__(self, peer, durability, options):
        self.peer, self.durability, self.options = peer, durability, options
        self.folder = Path(options.dir) / f"states-{peer.name}"

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.port = free_port()
        self.peer.start(self.folder, self.port, self.durability)
        return self

    def __exit__(self, *_):
        if self.peer.process:
            self.peer.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def leat(self, *words):
        done = subprocess.run([self.options.build / "bin" / "leat", "-b", f"127.0.0.1:{self.port}", *map(str, words)],
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"leat {' '.join(map(str, words))}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def bench(self, *words):
        return [str(w) for w in (self.options.build / "bin" / "leat-bench", *words, "--brokers", f"127.0.0.1:{self.port}",
                                 "--driver", self.options.driver, "--json")]

    def load(self, *words):
        return finished(subprocess.Popen(self.bench("--pid", self.peer.pid, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def records(self, topic):
        rows = json.loads(self.leat("topic", "offsets", topic, "--output", "json"))
        return sum(row["end"] - row["start"] for row in rows)


def finished(process):
    out, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"leat-bench: status {process.returncode}: {said.strip()[-300:]}")
    return json.loads(out)


def acknowledged(report, column):
    return next(r for r in report["latency"] if r["latency ms"] == "acknowledged")[column]


# --- the states ---------------------------------------------------------------------------------------


def partitions(peer, durability, options):
    """Made, used a little, killed, and there again."""
    count = options.partitions
    with Served(peer, durability, options) as s:
        begun = time.monotonic()
        s.leat("--timeout", "300s", "topic", "create", "many", "--partitions", count)
        made = time.monotonic() - begun
        s.load("--topic", "many", "--partitions", count, "--rate", 20000, "--size", 100, "--warmup", 1, "--duration", 5)
        used = peer.rss_bytes()
        process, peer.process = peer.process, None
        process.send_signal(signal.SIGKILL)
        process.wait()
        begun = time.monotonic()
        peer.start(s.folder, s.port, durability)
        s.load("--topic", "many", "--partitions", count, "--rate", 1, "--warmup", 0, "--duration", 1)
        back = time.monotonic() - begun - 1
        return {f"{count} partitions: made s": made, f"{count} partitions: rss MiB": used / MIB,
                f"{count} partitions: serves again after kill -9, s": back}


def connections(peer, durability, options):
    """Each has been answered once, and is quiet then."""
    count = options.connections
    with Served(peer, durability, options) as s:
        s.leat("topic", "create", "t", "--partitions", 1)
        before, open_ones = peer.rss_bytes(), []
        for _ in range(count):
            c = socket.create_connection(("127.0.0.1", s.port), timeout=30)
            c.sendall(API_VERSIONS)
            open_ones.append(c)
        for c in open_ones:
            if not c.recv(4096):
                raise RuntimeError(f"of {count} connections the broker closed one that had asked ApiVersions")
        after = peer.rss_bytes()
        for c in open_ones:
            c.close()
        return {f"{count} idle connections: KiB each": (after - before) / count / 1024}


def idle(peer, durability, options):
    with Served(peer, durability, options) as s:
        s.leat("topic", "create", "t", "--partitions", 100)
        time.sleep(5)
        begun, cpu = time.monotonic(), peer.cpu_seconds()
        time.sleep(options.idle_seconds)
        return {"doing nothing: % of a core": 100 * (peer.cpu_seconds() - cpu) / (time.monotonic() - begun),
                "doing nothing: rss MiB": peer.rss_bytes() / MIB}


def catch_up(peer, durability, options):
    """From the first record on, which is on the disk alone, beside producers at half of what they can."""
    shape = ("--topic", "c", "--partitions", 16, "--size", 1024, "--producers", 2)
    with Served(peer, durability, options) as s:
        full = s.load(*shape, "--rate", 0, "--sample", 100, "--warmup", 2, "--duration", 10)
        rate = full["throughput"][0]["acked/s"]
        while s.records("c") * 1024 < options.backlog:
            s.load(*shape, "--rate", 0, "--sample", 100, "--warmup", 0, "--duration", 10)
        behind, half = s.records("c"), int(rate / 2)
        alone = s.load(*shape, "--rate", half, "--warmup", 3, "--duration", 10)
        drop_caches()
        load = subprocess.Popen(s.bench("--pid", peer.pid, *shape, "--rate", half, "--warmup", 1, "--duration", options.beside_seconds),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(2)
            drained = finished(subprocess.Popen(s.bench("drain", "--topic", "c", "--partitions", 16, "--records", behind, "--pid", peer.pid),
                                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))["drain"][0]
            beside = finished(load)
        finally:
            load.kill()
            load.wait()
        return {"catching up: MB/s": drained["MB/s"], "catching up: s": drained["slowest s"],
                "produce p99 alone, ms": acknowledged(alone, "p99"), "produce p99 beside it, ms": acknowledged(beside, "p99"),
                "produce p99, times": acknowledged(beside, "p99") / acknowledged(alone, "p99")}


def fan_out(peer, durability, options):
    """Five consumers, each of which reads the same gigabyte."""
    with Served(peer, durability, options) as s:
        while s.load("--topic", "f", "--partitions", 16, "--size", 1024, "--producers", 2, "--rate", 0, "--sample", 100, "--warmup", 0,
                     "--duration", 3) and s.records("f") * 1024 < options.fan_bytes:
            pass
        read = finished(subprocess.Popen(s.bench("drain", "--topic", "f", "--partitions", 16, "--records", s.records("f"), "--consumers", 5,
                                                 "--pid", peer.pid), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))["drain"][0]
        return {"five readers: MB/s in all": read["MB/s"], "five readers: broker s/GB": read["broker s/GB"]}


STATES = {"partitions": partitions, "connections": connections, "idle": idle, "catch-up": catch_up, "fan-out": fan_out}


def drop_caches():
    subprocess.run(["sync"], check=True)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1\n")
    except OSError:
        print("the page cache cannot be dropped here: what is read may come from memory", file=sys.stderr)


# --- all of it ----------------------------------------------------------------------------------------


def measure_states(peers, options):
    """[{state, durability, figures: {name: {peer: {median, least, most}}}}] and what failed."""
    results, failed = [], []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name, state in STATES.items():
        if options.states and name not in options.states.split(","):
            continue
        seen = {}
        for number in range(options.rounds):
            for peer in peers[number % len(peers):] + peers[:number % len(peers)]:
                print(f"{name}: round {number + 1} of {options.rounds}, {peer.name}", file=sys.stderr, flush=True)
                try:
                    found = state(peer, "fsync", options)
                except Exception as why:  # whatever it is, what was measured before is kept
                    failed.append(f"{name} on {peer.name}: {why or type(why).__name__}")
                    print(f"FAILED {failed[-1]}", file=sys.stderr, flush=True)
                    continue
                for figure, value in found.items():
                    seen.setdefault(figure, {}).setdefault(peer.name, []).append(value)
        figures = {f: {p: {"median": statistics.median(v), "least": min(v), "most": max(v)} for p, v in by.items()} for f, by in seen.items()}
        results.append({"state": name, "durability": "fsync", "figures": figures})
        tell(results[-1])
    return results, failed


def tell(result):
    print(f"\n{result['state']}")
    for label, peers in result["figures"].items():
        for peer, f in peers.items():
            print(f"  {label:48} {peer:6} {f['median']:12.3f}  ({f['least']:.3f} to {f['most']:.3f})")
    sys.stdout.flush()


def add_options(parser):
    parser.add_argument("--states", help=f"some of {', '.join(STATES)}, what brokers cost beside a load; 'none' without them")
    parser.add_argument("--partitions", type=int, default=10000)
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--idle-seconds", type=float, default=20)
    parser.add_argument("--backlog", type=int, default=10 << 30, help="bytes that a consumer is behind")
    parser.add_argument("--beside-seconds", type=float, default=20)
    parser.add_argument("--fan-bytes", type=int, default=1 << 30)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=lambda p: Path(p).resolve(), default=Path("build").resolve())
    parser.add_argument("--dir", default="/tmp")
    parser.add_argument("--peers", default="leat,kafka")
    parser.add_argument("--driver", default="leat")
    parser.add_argument("--rounds", type=int, default=3)
    add_options(parser)
    options = parser.parse_args()
    peers = [p for p in available(options.build, options.peers.split(",")) if p.protocol == "Kafka"]
    results, failed = measure_states(peers, options)
    out = options.build / "states.json"
    out.write_text(json.dumps({"states": results, "failed": failed}, indent=1))
    print(f"\nall of it: {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
