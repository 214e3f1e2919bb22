# SPDX-License-Identifier: Apache-2.0
"""Latency against rate: each broker of Kafka's protocol at some shares of the most that it takes under the same load, so that the curves of
several stand on one axis. Producers and a consumer run at once; every broker is alone, on an empty folder, and is not started anew between
rates. Part of compare.py."""
import sys

from states import Served

SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9)
SHAPE = {"partitions": 16, "size": "1KiB", "producers": 2, "acks": "all", "linger": "1ms", "batch": "256KiB", "buffer": "32MiB"}
ABOUT = ("At 1 to 90 % of what each broker takes at most under this load: two producers, and one consumer of all of it. The most is taken "
         "first, without a rate.")
WARMUP = 2  # seconds before each rate, or as long as the rate is held


def words(options):
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def figures(report):
    """Of a run: {"rate", "acknowledged": {p50, ...}, "end to end": {...}}."""
    out = {row["latency ms"]: {k: v for k, v in row.items() if k.startswith("p") or k == "max"} for row in report["latency"]}
    throughput = report["throughput"][0]
    return out | {"rate": throughput["acked/s"], "broker cpu": throughput.get("broker cpu")}


def sweep(peer, durability, options):
    """{"most": records/s, "points": [{"share", "offered", ...}]}."""
    with Served(peer, durability, options) as s:
        timed = ("--consume", "--warmup", min(WARMUP, options.sweep_seconds), "--duration", options.sweep_seconds)
        most = s.load("--topic", "s", *words(SHAPE), "--rate", 0, "--sample", 100, *timed)["throughput"][0]["acked/s"]
        points = []
        for share in SHARES:
            offered = max(round(most * share), 1)
            report = s.load("--topic", "s", *words(SHAPE), "--rate", offered, *timed)
            points.append({"share": share, "offered": offered} | figures(report))
        return {"most": most, "points": points}


def measure_sweeps(peers, options):
    """[{durability, options, about, runs: {peer: [as sweep() has it]}, failures}] and what failed; brokers take turns."""
    results, failed = [], []
    for durability in ("memory", "fsync") if options.sweep else ():
        runs, failures = {p.name: [] for p in peers}, []
        for number in range(options.sweep):
            for peer in peers[number % len(peers):] + peers[:number % len(peers)]:
                print(f"sweep, {durability}: round {number + 1} of {options.sweep}, {peer.name}", file=sys.stderr, flush=True)
                try:
                    runs[peer.name].append(sweep(peer, durability, options))
                except Exception as why:  # whatever it is, what was measured before is kept
                    failures.append({"peer": peer.name, "round": number + 1, "why": str(why) or type(why).__name__})
                    failed.append(f"sweep {durability} on {peer.name}: {failures[-1]['why']}")
                    print(f"FAILED {failed[-1]}", file=sys.stderr, flush=True)
        results.append({"durability": durability, "driver": options.driver, "options": SHAPE, "about": ABOUT, "rounds": options.sweep, "runs": runs,
                        "failures": failures})
        tell(results[-1])
    return results, failed


def tell(result):
    print(f"\nlatency against rate, {result['durability']}")
    for peer, rounds in result["runs"].items():
        for number, run in enumerate(rounds, 1):
            print(f"  {peer:6} round {number}: at most {run['most']:,.0f} records/s; p99 of what is acknowledged, ms: "
                  + ", ".join(f"{p['share']:.0%} {p['acknowledged']['p99']:.2f}" for p in run["points"]))
    sys.stdout.flush()


def add_options(parser):
    parser.add_argument("--sweep", type=int, default=2, metavar="ROUNDS", help="of latency against rate; 0: without it")
    parser.add_argument("--sweep-seconds", type=float, default=8, help="of each rate")
