# SPDX-License-Identifier: Apache-2.0
"""Latency against rate, of one durability, as a report shows it: what a Cell is for a workload."""
from page_figures import ACK, END, Figure, Value

SHOWN = ((ACK, "p50"), (ACK, "p99"), (END, "p99"))


class Sweep:
    def __init__(self, told, brokers):
        self.durability, self.about, self.options = told["durability"], told.get("about", ""), told.get("options", {})
        self.runs, self.failures, self.planned = told["runs"], told.get("failures", []), told["rounds"]
        self.brokers = [b for b in brokers if b.name in self.runs]
        self.title, self.slug = f"latency against rate, {self.durability}", f"sweep-{self.durability}"

    def conditions(self):
        words = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.durability}; open loop at shares of each broker's most, read back by one consumer; {words}"

    def figures(self):
        for row, percentile in SHOWN:
            yield Figure(f"{row.replace(' ', '-')}-{percentile}", f"{percentile} against rate, {row}", "ms", "rates",
                         {b.name: self.points(b.name, row, percentile) for b in self.brokers if self.runs[b.name]},
                         "from the time that a record was meant to be sent",
                         missing={b.name: "failed in every round" for b in self.brokers if not self.runs[b.name]})

    def points(self, broker, row, percentile):
        """[(share, Value of records/s, Value of ms)]"""
        rounds = [run["points"] for run in self.runs[broker]]
        return [(at[0]["share"], Value([p["rate"] for p in at]), Value([p[row][percentile] for p in at])) for at in zip(*rounds)]

    def troubles(self):
        out = [f"{f['peer']}: round {f['round']} failed: {f['why']}" for f in self.failures]
        return out + [f"{name}: {len(rounds)} of {self.planned} rounds count" for name, rounds in self.runs.items() if 0 < len(rounds) < self.planned]


def sections(comparison):
    """What has a section of its own in a report."""
    return [*comparison.cells, *(Sweep(told, comparison.brokers) for told in comparison.sweeps)]
