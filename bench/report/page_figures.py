# SPDX-License-Identifier: Apache-2.0
"""What a report shows of a compare.json: cells of workload and durability, in each some figures, of each broker a value with its
range over the rounds, or the reason why there is none. A value that is missing is never a number."""
import statistics
from dataclasses import dataclass, field

PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
ACK, END = "acknowledged", "end to end"
ENOUGH = 0.95  # of the offered rate: below it a broker does not keep up
FEW = 10000  # records: of fewer, one in ten thousand is the slowest of all
# Colours that people who see fewer of them can tell apart (Okabe and Ito), legible on white and on black; a mark goes with each.
STYLES = {"leat": ("#0072B2", "circle"), "kafka": ("#D55E00", "square"), "nats": ("#009E73", "triangle"), "null": ("#808080", "diamond")}
MORE_STYLES = [("#CC79A7", "circle"), ("#B8860B", "square"), ("#2F9BD8", "triangle")]


@dataclass
class Value:
    """Of one broker: what the rounds gave; without any, `missing` says why."""
    rounds: list = field(default_factory=list)
    missing: str = ""

    @property
    def median(self):
        return statistics.median(self.rounds) if self.rounds else None

    @property
    def least(self):
        return min(self.rounds, default=None)

    @property
    def most(self):
        return max(self.rounds, default=None)


@dataclass
class Figure:
    """One plot and its table. kind: "bars" has values {broker: Value}; "percentiles" {broker: [Value, ...]}; "time"
    {broker: [(second, number or None), ...]}, "rates" {broker: [(share, Value of records/s, Value), ...]}, with the rest in `missing`."""
    key: str
    title: str
    unit: str
    kind: str
    values: dict
    note: str = ""
    missing: dict = field(default_factory=dict)
    rounds: dict = field(default_factory=dict)  # of "time": which round, by broker, from 1
    also: dict = field(default_factory=dict)  # columns of the table that are not drawn: {title: {broker: Value}}


def number(value):
    """Three digits or a few more, as a person reads them."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    decimals = 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{decimals}f}" if size >= 0.001 or value == 0 else f"{value:.2g}"


class Broker:
    def __init__(self, peer, style):
        self.name, self.version, self.protocol = peer["name"], peer.get("version", "unknown"), peer.get("protocol", "unknown")
        self.meaning, self.configuration = peer.get("meaning", {}), peer.get("configuration", {})
        self.colour, self.mark = style
        self.is_null = self.name == "null"

    @property
    def label(self):
        return "leat without storage (null)" if self.is_null else f"{self.name} {self.version}"


class Cell:
    """One workload in one durability."""

    def __init__(self, result, brokers, planned):
        self.workload, self.durability, self.driver = result["workload"], result["durability"], result.get("driver", "unknown")
        self.options, self.about = result.get("options", {}), result.get("about", "")
        self.runs, self.brokers, self.planned = result["runs"], brokers, planned
        self.absent, self.failures = result.get("absent", {}), result.get("failures", [])
        self.title, self.slug = f"{self.workload}, {self.durability}", f"{self.workload}-{self.durability}"
        self.consumers = int(self.options.get("consumers", self.options.get("consume") == "true"))
        self.is_open = self.offered() is not None

    # Why there is nothing.

    def why(self, broker):
        if broker in self.absent:
            return self.absent[broker]
        if any(f["peer"] == broker for f in self.failures):
            return "failed in every round"
        return "not measured" if broker in self.runs else f"not measured in {self.durability}"

    def value(self, broker, pick):
        """pick(report): a number, or None."""
        reports = self.runs.get(broker) or []
        numbers = [n for n in map(pick, reports) if isinstance(n, (int, float))]
        if numbers:
            return Value(numbers)
        return Value(missing="not told by the load" if reports else self.why(broker))

    def throughput(self, column):
        def pick(report):
            return next(iter(report.get("throughput", [])), {}).get(column)

        return {b.name: self.value(b.name, pick) for b in self.brokers}

    def latency(self, row, column):
        def pick(report):
            return next((r.get(column) for r in report.get("latency", []) if r.get("latency ms") == row), None)

        return {b.name: self.value(b.name, pick) for b in self.brokers}

    # What is shown.

    def figures(self):
        records = self.is_open or self.options.get("size") == "100"
        shown, also = ("records/s", "MB/s") if records else ("MB/s", "records/s")
        columns = {"records/s": "acked/s", "MB/s": "MB/s"}
        note = f"offered: {self.options.get('rate')} records/s" if self.is_open else "as fast as the client gives"
        yield Figure("throughput", "Throughput, acknowledged", shown, "bars", self.throughput(columns[shown]), note,
                     also={also: self.throughput(columns[also])})
        yield Figure("memory", "Resident memory of the broker", "MiB", "bars", self.throughput("rss MiB"), "at the end of the window")
        for row in (ACK, END) if self.consumers else (ACK,):
            yield self.percentiles(row)
            yield self.over_time(row)
        yield Figure("cpu-gb", "Broker CPU for a GB", "s/GB", "bars", self.throughput("broker s/GB"), "CPU seconds of all its threads")
        yield Figure("cpu-m", "Broker CPU for a million records", "s/M", "bars", self.throughput("broker s/M"),
                     "CPU seconds of all its threads")

    def offered(self):
        """Records per second; None: as many as possible."""
        rate = str(self.options.get("rate", "0"))
        count = float(rate.rstrip("kM")) * {"k": 1e3, "M": 1e6}.get(rate[-1:], 1)
        return count or None

    @property
    def latency_from(self):
        if not self.is_open:
            return "closed loop: from the call, so the wait in the client's full buffer counts"
        behind = [name for name, v in self.throughput("acked/s").items() if v.rounds and v.median < ENOUGH * self.offered()]
        note = f"; what did not keep up with the rate ({', '.join(behind)}) has the latency of a growing queue" if behind else ""
        return "from the time that a record was meant to be sent" + note

    def percentiles(self, row):
        columns = [self.latency(row, p) for p in PERCENTILES]
        values = {b.name: [column[b.name] for column in columns] for b in self.brokers}
        counts = self.latency(row, "count")
        few = [name for name, v in counts.items() if v.rounds and v.least < FEW]
        note = self.latency_from + (f"; of {', '.join(few)} fewer than {FEW:,} records were timed in a round: their p99.99 is the max"
                                    if few else "")
        return Figure(f"latency-{row.replace(' ', '-')}", f"Latency, {row}", "ms", "percentiles", values, note,
                      also={"records timed": counts})

    def over_time(self, row):
        """Of each broker the round whose p99 is the median of its rounds (with an even number, the lower of the two)."""
        column = "end p99" if row == END else "p99"
        out = Figure(f"time-{row.replace(' ', '-')}", f"p99 of each second, {row}", "ms", "time", {}, self.latency_from)
        for broker in (b.name for b in self.brokers):
            reports = [(p99, i, r) for i, r in enumerate(self.runs.get(broker) or [])
                       if (p99 := next((x.get("p99") for x in r.get("latency", []) if x["latency ms"] == row), None)) is not None]
            if not reports:
                out.missing[broker] = self.latency(row, "p99")[broker].missing
                continue
            _, index, report = sorted(reports, key=lambda r: r[:2])[(len(reports) - 1) // 2]
            points = [(r["second"], r.get(column)) for r in report.get("time", [])]
            if any(p99 is not None for _, p99 in points):
                out.values[broker], out.rounds[broker] = points, index + 1
            else:
                out.missing[broker] = "not told by the load"
        return out

    # Errors.

    def stolen(self):
        """Most of the processors' time that the host took in a round, in cores."""
        return max((float(r["conditions"].get("stolen cpu", 0)) for reports in self.runs.values() for r in reports), default=0)

    def troubles(self):
        """Sentences on what failed; none is good news."""
        out = [f"{f['peer']}: round {f['round']} failed: {f['why']}" for f in self.failures]
        for broker, reports in self.runs.items():
            for column, what in (("failed", "refused"), ("missing", "acknowledged but not read back")):
                count = sum(int(next(iter(r["throughput"]), {}).get(column) or 0) for r in reports)
                out += [f"{broker}: {count:,} records {what}, in all rounds"] if count else []
            if 0 < len(reports) < self.planned:
                out.append(f"{broker}: {len(reports)} of {self.planned} rounds count")
        return out

    def conditions(self):
        """The workload as one line."""
        words = [f"{name} {value}" for name, value in self.options.items() if name not in ("rate", "consume", "consumers")]
        read = f", read back by {'one consumer' if self.consumers == 1 else f'{self.consumers} consumers'}" if self.consumers else ""
        load = f"open loop at {self.options['rate']} records/s" if self.is_open else "closed loop"
        return f"{self.durability}; {load}{read}; {', '.join(words)}"


BESIDE = ("Partitions, connections and readers, the median of the rounds with the least and the most. Topics are durable as each broker ships "
          "them; every broker is alone, on an empty folder, and loaded by the same client.")


def ranges(figure):
    """Of a median with the least and the most."""
    if figure is None:
        return "missing: it was not measured"
    return f"{number(figure['median'])} ({number(figure['least'])} to {number(figure['most'])})"


class Comparison:
    """A compare.json."""

    def __init__(self, told):
        self.told = told
        more = list(MORE_STYLES)
        self.brokers = [Broker(p, STYLES.get(p["name"]) or (more.pop(0) if more else ("#808080", "circle"))) for p in told["peers"]]
        self.by_name = {b.name: b for b in self.brokers}
        self.rounds = told["rounds"]
        self.cells = [Cell(r, self.brokers, self.rounds) for r in told["results"]]
        self.failed = told.get("failed", [])
        self.machine, self.left_out = told.get("machine") or [], told.get("left out", {})
        self.states = told.get("states") or []
        self.sweeps = told.get("sweeps") or []

    def limits(self):
        """Rows of text of what the machine can do without a broker."""
        for limit in self.machine:
            value = limit.get("value")
            yield [limit.get("what", ""), "missing" if value is None else number(value), limit.get("unit", ""), limit.get("note", "")]

    def beside(self):
        """(head, rows) of text: what brokers cost beside a steady load."""
        names = list(dict.fromkeys(name for state in self.states for by in state["figures"].values() for name in by))
        rows = [[figure, *(ranges(by.get(name)) for name in names)] for state in self.states for figure, by in state["figures"].items()]
        return ["figure", *names], rows

    def clients(self):
        """{broker: the client libraries that loaded it}."""
        out = {}
        for cell in self.cells:
            for broker, reports in cell.runs.items():
                for r in reports:
                    c = r.get("conditions", {})
                    driver = f"lib{c['driver']}" if "driver" in c else "unknown"
                    out.setdefault(broker, set()).add(c.get("client") or driver)
        return {broker: ", ".join(sorted(names)) for broker, names in out.items()}

    def lengths(self):
        """How long windows were, as measured: "20 s", "15 to 30 s"."""
        seconds = [float(r["conditions"]["seconds"]) for c in self.cells for reports in c.runs.values() for r in reports
                   if "seconds" in r.get("conditions", {})]
        if not seconds:
            return "unknown"
        least, most = round(min(seconds)), round(max(seconds))
        return f"{least} s" if least == most else f"{least} to {most} s"

    def facts(self):
        """(name, text) of the head of a report."""
        leat = self.by_name.get("leat")
        clients = self.clients()
        commit = {leat.name: f" (commit {self.told['commit']})"} if leat and self.told.get("commit") else {}
        versions = ", ".join(f"{b.name} {b.version}{commit.get(b.name, '')}" for b in self.brokers if not b.is_null)
        yield "measured", "; ".join(f"{name}: {', '.join(c.durability for c in self.cells if c.workload == name)}"
                                    for name in dict.fromkeys(c.workload for c in self.cells))
        yield "when", f"{self.told.get('when', 'not told')}, for {self.told.get('seconds', 0) / 60:.0f} minutes"
        yield "brokers", versions
        by_client = {}
        for broker, client in clients.items():
            by_client.setdefault(client, []).append(broker)
        yield "client library", "; ".join(f"{client} for {', '.join(names)}" for client, names in by_client.items()) or "not told"
        yield "rounds", f"{self.rounds}, each with a window of {self.lengths()} after its warm-up"
        if self.told.get("pinned"):
            yield "processors", "brokers on the first one alone, the load on the others"
        yield from (self.told.get("host") or {"machine": "not told"}).items()
        yield "stolen by the host", f"at most {max((c.stolen() for c in self.cells), default=0):.2f} of a core in a round"

    def method(self):
        """Four sentences."""
        other = [b.name for b in self.brokers if not b.protocol.startswith("Kafka")]
        own = f" ({', '.join(other)}, with a protocol and a client of its own, by natsload)" if other else ""
        return [
            f"Each run is one broker on an empty folder, loaded by leat-bench over loopback{own}; the load shares the machine with it.",
            f"Brokers take turns within each of {self.rounds} rounds; a figure is the median of the rounds, a whisker shows the least and "
            "the most of them.",
            "With a rate, a latency counts from the time that the record was meant to be sent, so a stall is paid by all that it held up; "
            "without one the client sends as fast as it can, and latency counts from the call.",
            "memory is compared with memory and fsync with fsync; null is leat without storage: what client and loopback can do, no "
            "broker's figure.",
        ]
