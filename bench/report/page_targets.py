# SPDX-License-Identifier: Apache-2.0
"""What was to be reached beside Kafka, and what was: rows of text. A figure that was not measured is missing, never reached."""
from page_figures import ACK, END, number

TITLE = "What was to be reached"
ABOUT = ("Medians. Durable leat stands beside durable Kafka, and, where it says so, beside Kafka as it is shipped, which acknowledges from memory. "
         "What needs no other broker is measured by bench/numbers.sh (1,000 partitions, io_uring beside epoll) and bench/cluster.sh (three nodes).")


class Medians:
    """Of a comparison; None: there is none."""

    def __init__(self, comparison):
        self.cells = {(c.workload, c.durability): c for c in comparison.cells}
        self.states = {name: by for state in comparison.states for name, by in state["figures"].items()}
        self.limits = {limit.get("what"): limit.get("value") for limit in comparison.machine}

    def load(self, workload, durability, broker, column):
        cell = self.cells.get((workload, durability))
        return cell and self.of(cell.throughput(column), broker)

    def latency(self, workload, durability, broker, row, column):
        cell = self.cells.get((workload, durability))
        return cell and self.of(cell.latency(row, column), broker)

    @staticmethod
    def of(values, broker):
        return values[broker].median if broker in values else None

    def state(self, ending, broker):
        return next((by[broker]["median"] for name, by in self.states.items() if name.endswith(ending) and broker in by), None)

    def limit(self, beginning):
        return next((v for what, v in self.limits.items() if what and what.startswith(beginning)), None)


def ratio(a, b):
    return a / b if a is not None and b else None


def least(*values):
    return min((v for v in values if v is not None), default=None)


def targets(m):
    """(what, unit, value, "at least" or "at most", limit)."""
    def rates(workload, durability, column="MB/s"):
        return [m.load(workload, durability, broker, column) for broker in ("leat", "kafka", "null")]

    leat, kafka, null = rates("produce", "memory")
    durable, durable_kafka, _ = rates("produce", "fsync")
    yield "produce, memory", "times Kafka's rate", ratio(leat, kafka), "at least", least(3, ratio(null, kafka))
    yield ("produce, memory: broker CPU for a GB", "of Kafka's", ratio(*rates("produce", "memory", "broker s/GB")[:2]), "at most", 1 / 8)
    yield "produce, durable, beside Kafka as shipped", "times Kafka's rate", ratio(durable, kafka), "at least", 1
    yield ("produce, durable, beside Kafka as shipped: p99", "of Kafka's", ratio(m.latency("produce", "fsync", "leat", ACK, "p99"),
           m.latency("produce", "memory", "kafka", ACK, "p99")), "at most", 1 / 2)
    yield "produce, durable, both", "times Kafka's rate", ratio(durable, durable_kafka), "at least", 20
    small, small_kafka, small_null = rates("small", "memory", "acked/s")
    yield "400 producers, a record a batch, memory", "times Kafka's rate", ratio(small, small_kafka), "at least", 5
    yield "400 producers, a record a batch, memory", "of leat's without storage", ratio(small, small_null), "at least", 1 / 2
    p50, p50_kafka = (m.latency("latency", "memory", broker, END, "p50") for broker in ("leat", "kafka"))
    yield "10,000 records/s, memory, end to end: p50", "ms", p50, "at most", max(0.15, p50_kafka / 4) if p50_kafka else 0.15
    yield ("10,000 records/s, memory, end to end: p99", "of Kafka's", ratio(*(m.latency("latency", "memory", broker, END, "p99")
           for broker in ("leat", "kafka"))), "at most", 1 / 8)
    yield ("half of Kafka's most, memory, end to end: p99.9", "of Kafka's", ratio(*(m.latency("half", "memory", broker, END, "p99.9")
           for broker in ("leat", "kafka"))), "at most", 1 / 20)
    yield ("many partitions: resident memory", "of Kafka's", ratio(*(m.state("partitions: rss MiB", broker) for broker in ("leat", "kafka"))),
           "at most", 1 / 10)
    yield "many partitions: serves again after kill -9", "s", m.state("serves again after kill -9, s", "leat"), "at most", 2
    reads = least(m.limit("sequential read"), m.limit("loopback, one connection"))
    yield ("catching up beside producers", "of the machine's reads or loopback", ratio(m.state("catching up: MB/s", "leat"), reads), "at least", 0.8)
    yield "catching up: p99 of the producers", "times what it is alone", m.state("produce p99, times", "leat"), "at most", 2
    yield "an idle connection", "KiB", m.state("idle connections: KiB each", "leat"), "at most", 4
    yield "an idle broker", "% of a core", m.state("doing nothing: % of a core", "leat"), "at most", 0.1


def rows(comparison):
    """(head, rows) of text."""
    out = []
    for what, unit, value, side, limit in targets(Medians(comparison)):
        if value is None or limit is None:
            out.append([what, unit, f"{side} {number(limit)}" if limit is not None else "missing: it was not measured", "missing: it was not measured",
                        "not known"])
            continue
        reached = value >= limit if side == "at least" else value <= limit
        out.append([what, unit, f"{side} {number(limit)}", number(value), "yes" if reached else "no"])
    return ["figure", "unit", "wanted", "measured", "reached"], out
