#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads leat and other brokers with the same workloads, and says what each reached.

Each measurement is a broker alone on the machine, on an empty folder, loaded by one run of leat-bench (NATS, which has a protocol of its
own, by natsload). Brokers take turns within a round, rounds begin with another one each, and the median of the rounds is told with the least
and the most. `memory` is compared with `memory`, `fsync` with `fsync`. leat without storing anything ("null") gives what client and loopback
can do. Run it by bench/compare.sh, which builds what it needs. What is written is compare.json in the build folder, and compare.html,
which shows it (page.py).
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import host
import page
import states
import sweep

try:
    from machine import machine_limits  # what this machine can do without any broker
except ImportError:
    machine_limits = None

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))
from leat_peer import Leat
from peer import free_port
from peers import PEERS, available

WORKLOADS = HERE.parent / "workloads"
# What is told of each workload, of all that leat-bench measures: (table, row, column).
RATE, BYTES = ("throughput", None, "acked/s"), ("throughput", None, "MB/s")
ACK, END = "acknowledged", "end to end"
TOLD = {
    "produce": [BYTES, ("latency", ACK, "p99"), ("throughput", None, "broker s/GB"), ("throughput", None, "rss MiB")],
    "large": [BYTES, ("throughput", None, "broker s/GB")],
    "keys": [RATE, ("throughput", None, "broker s/M")],
    "small": [RATE, ("latency", ACK, "p99"), ("throughput", None, "broker s/M")],
    "latency": [("latency", END, p) for p in ("p50", "p99", "p99.9", "max")] + [("latency", ACK, "p50"), ("throughput", None, "broker cpu")],
    "fan": [("latency", END, p) for p in ("p50", "p99", "p99.9")] + [("throughput", None, "broker cpu"), ("throughput", None, "own cpu")],
    "half": [("latency", ACK, p) for p in ("p50", "p99", "p99.9")] + [("latency", END, p) for p in ("p50", "p99", "p99.9")] + [RATE],
}
HALF, FULL = "half", "produce"  # the rate of the first is half of what Kafka reached in the second
NATS_OPTIONS = {"rate", "size", "producers", "consume", "outstanding"}


class Null(Leat):
    """leat that stores nothing: what is left is the client and the loopback."""
    name = "null"
    meaning = {"memory": "acknowledged without being stored"}

    def command(self, data, port, durability):
        return [*super().command(data, port, durability), "--set", "null.mode=true"]


def options_of(workload):
    """The workload's file: plain lines of `name: value`."""
    pairs = (line.split(":", 1) for line in workload.read_text().splitlines() if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def about(workload):
    """What the workload's file says of itself."""
    return " ".join(line.lstrip("# ") for line in workload.read_text().splitlines() if line.startswith("#"))


def why_absent(peer, workload, durability):
    """Why that broker has no such cell; None: it has."""
    given = options_of(workload)
    if durability not in peer.meaning:
        return f"it has no {durability}"
    if peer.name == "null" and ("consume" in given or "consumers" in given):
        return "what is not stored cannot be read back"
    lacks = [name for name in ("keys", "consumers") if name in given] if peer.protocol != "Kafka" else []
    return f"its load has no {lacks[0]}" if lacks else None


def command_of(peer, workload, options, more):
    """The load for that broker, and for nobody else's; `more` options count more than the workload's."""
    if peer.protocol == "Kafka":
        return [options.build / "bin" / "leat-bench", "--workload", workload, "--brokers", f"127.0.0.1:{peer.port}", "--driver",
                options.driver, "--pid", peer.pid, "--json", *(word for name, value in more.items() for word in (f"--{name}", value))]
    given = options_of(workload) | more
    words = [options.build / "peers" / "natsload", "--url", f"nats://127.0.0.1:{peer.port}", "--pid", peer.pid, "--size",
             {"1KiB": "1024", "64KiB": "65536"}.get(given["size"], given["size"]), "--rate", given["rate"].replace("k", "000"),
             "--publishers", given["producers"]]
    words += ["--consume"] if given.get("consume") == "true" else []
    words += ["--in-flight", given["outstanding"]] if "outstanding" in given else []
    seconds = {"--warmup": given["warmup"].rstrip("s"), "--seconds": given["duration"].rstrip("s")}
    return words + [str(word) for pair in seconds.items() for word in pair]


def pinned(options, processor):
    return ["taskset", "-c", processor] if options.pin else []


def measure(peer, workload, durability, options, more):
    """What the load has printed. Raises where the broker or the load fails."""
    data = Path(options.dir) / f"compare-{peer.name}"
    shutil.rmtree(data, ignore_errors=True)
    peer.start(data, free_port(), durability, pinned(options, "0"))
    try:
        done = subprocess.run([*pinned(options, f"1-{os.cpu_count() - 1}"), *map(str, command_of(peer, workload, options, more))],
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{workload.stem} on {peer.name}, {durability}: status {done.returncode}: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout)
    finally:
        peer.stop()
        shutil.rmtree(data, ignore_errors=True)
        drop_caches()


def drop_caches():
    """Where that is allowed: what one broker has left in the page cache is not the next one's."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1\n")
    except OSError:
        pass


def figure(report, told):
    table, row, column = told
    rows = [r for r in report[table] if row is None or r["latency ms"] == row]
    return rows[0].get(column) if rows else None


class Comparison:
    def __init__(self, options):
        self.options = options
        self.failed, self.failures = [], []
        names = options.peers.split(",") if options.peers else list(PEERS)
        self.peers = [*available(options.build, names), Null().fetch(options.build)]
        self.left_out = {n: PEERS[n]().availability(options.build)[1] or "it could not be fetched" for n in names
                         if n not in [p.name for p in self.peers]}
        self.results = []

    def cells(self):
        for name in TOLD:
            for durability in ("memory", "fsync"):
                cell = f"{name} {durability}"
                if not self.options.only or any(word in cell for word in self.options.only.split(",")):
                    yield name, durability

    def run(self):
        for name, durability in self.cells():
            workload = WORKLOADS / f"{name}.yaml"
            more = self.more(name, durability)
            absent = {p.name: why for p in self.peers if (why := why_absent(p, workload, durability))}
            runs = {peer.name: [] for peer in self.peers if peer.name not in absent}
            self.failures = []
            for number in range(self.options.rounds):
                order = [p for p in self.peers if p.name in runs]
                for peer in order[number % len(order):] + order[:number % len(order)]:
                    self.one(peer, workload, durability, runs, number, more)
            self.results.append({"workload": name, "durability": durability, "driver": self.options.driver, "about": about(workload),
                                 "options": options_of(workload) | more, "figures": self.figures(name, runs), "runs": runs, "absent": absent,
                                 "failures": self.failures})
            self.tell(self.results[-1])

    def more(self, name, durability):
        """Options of the cell that its workload does not have."""
        told = {"warmup": self.options.warmup, "duration": self.options.duration}
        more = {option: f"{seconds:g}s" for option, seconds in told.items() if seconds is not None}
        kafka = next((p for p in self.peers if p.name == "kafka"), None)
        if name == HALF and kafka:
            runs = next((r["runs"].get("kafka") for r in self.results if (r["workload"], r["durability"]) == (FULL, durability)), None)
            if not runs:
                full = {kafka.name: []}
                self.one(kafka, WORKLOADS / f"{FULL}.yaml", durability, full, 0, more)
                runs = full[kafka.name]
            rates = [figure(r, RATE) for r in runs]
            more |= {"rate": str(round(statistics.median(rates) / 2))} if rates else {}
        return more

    def kafkas(self):
        """What speaks Kafka's protocol, and stores."""
        return [p for p in self.peers if p.protocol == "Kafka" and p.name != "null"]

    def sweeps(self):
        """Latency against rate; not where cells alone are asked for."""
        if not self.kafkas() or (self.options.only and "sweep" not in self.options.only.split(",")):
            return []
        results, failed = sweep.measure_sweeps(self.kafkas(), self.options)
        self.failed += failed
        return results

    def beside(self):
        """What brokers of Kafka's protocol cost beside a steady load; not where cells alone are asked for."""
        peers = self.kafkas()
        if not peers or (self.options.only and not self.options.states) or self.options.states == "none":
            return []
        results, failed = states.measure_states(peers, self.options)
        self.failed += failed
        return results

    def one(self, peer, workload, durability, runs, number, more):
        print(f"{workload.stem}, {durability}: round {number + 1} of {self.options.rounds}, {peer.name}", file=sys.stderr, flush=True)
        try:
            runs[peer.name].append(measure(peer, workload, durability, self.options, more))
        except RuntimeError as why:
            self.failed.append(str(why))
            self.failures.append({"peer": peer.name, "round": number + 1, "why": str(why)})
            print(f"FAILED {why}", file=sys.stderr, flush=True)

    @staticmethod
    def figures(name, runs):
        """For each broker and figure: the median of the rounds, the least and the most."""
        out = {}
        for peer, reports in runs.items():
            for told in TOLD[name] if reports else ():
                values = [v for v in (figure(r, told) for r in reports) if v is not None]
                label = " ".join(word for word in (told[1], told[2]) if word)
                if values:
                    out.setdefault(label, {})[peer] = {"median": statistics.median(values), "least": min(values), "most": max(values)}
        return out

    @staticmethod
    def tell(result):
        print(f"\n{result['workload']}, {result['durability']}")
        for label, peers in result["figures"].items():
            ours = peers.get("leat", {}).get("median")
            for peer, f in peers.items():
                times = f"  {f['median'] / ours:8.2f} of leat's" if ours and peer != "leat" else ""
                print(f"  {label:22} {peer:6} {f['median']:12.3f}  ({f['least']:.3f} to {f['most']:.3f}){times}")
        sys.stdout.flush()


def limits(options):
    """What this machine can do without any broker; None: that was not measured, and why stands on stderr."""
    try:
        return machine_limits(options.build, options.dir) if machine_limits and not options.no_machine else None
    except (OSError, RuntimeError) as why:
        print(f"left out: the machine's limits: {why}", file=sys.stderr)
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=lambda p: Path(p).resolve(), default=Path("build").resolve(), help="the build folder")
    parser.add_argument("--dir", default="/tmp", help="where the brokers' folders are made, one at a time")
    parser.add_argument("--peers", help=f"some of {', '.join(PEERS)}; without it all that can be had")
    parser.add_argument("--driver", default="leat", help="the client library for all brokers of Kafka's protocol: leat or rdkafka")
    parser.add_argument("--only", help="words of the cells that are wanted, as 'produce fsync,latency'")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=float, help="seconds, instead of the workload's")
    parser.add_argument("--duration", type=float, help="seconds, instead of the workload's")
    parser.add_argument("--pin", action="store_true", help="brokers on the first processor alone, the load on the others")
    parser.add_argument("--no-machine", action="store_true", help="without the machine's own limits, which take a minute")
    parser.add_argument("--write-docs", action="store_true", help="docs/benchmarks.md and its plots, too")
    states.add_options(parser)
    sweep.add_options(parser)
    options = parser.parse_args()
    if options.pin and (os.cpu_count() < 2 or not shutil.which("taskset")):
        parser.error("--pin needs two processors, and taskset (Debian: util-linux)")
    begun = time.time()
    comparison = Comparison(options)
    told = {"commit": host.commit(HERE), "host": host.facts(options.dir, any(p.name == "kafka" for p in comparison.peers)),
            "machine": limits(options)}
    comparison.run()
    out = options.build / "compare.json"
    write(out, begun, comparison, told)  # hours of measuring are not lost with what follows
    told["sweeps"] = comparison.sweeps()
    write(out, begun, comparison, told)
    told["states"] = comparison.beside()
    write(out, begun, comparison, told)
    written = [out, *page.write(out, docs=HERE.parents[1] / "docs" if options.write_docs else None)]
    print(f"\nall of it: {', '.join(map(str, written))}")
    return 1 if comparison.failed else 0


def write(out, begun, comparison, told):
    out.write_text(json.dumps({"when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(begun)), "seconds": round(time.time() - begun),
                               "rounds": comparison.options.rounds, "pinned": comparison.options.pin, **told,
                               "peers": [{"name": p.name, "version": p.version, "protocol": p.protocol, "meaning": p.meaning,
                                          "configuration": {d: p.configuration(d) for d in p.meaning}} for p in comparison.peers],
                               "left out": comparison.left_out, "results": comparison.results,
                               "failed": comparison.failed}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
