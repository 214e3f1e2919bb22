# SPDX-License-Identifier: Apache-2.0
"""The numbers below each plot, as rows of text: medians, and in brackets the least and the most of the rounds."""
import statistics

from page_figures import PERCENTILES, number

NONE = "–"


def ranged(value):
    if not value.rounds:
        return f"missing: {value.missing}"
    if len(value.rounds) == 1:
        return f"{number(value.median)} (one round)"
    return f"{number(value.median)} ({number(value.least)} to {number(value.most)})"


def rated(value, ours):
    return number(value.median / ours.median) if value.rounds and ours and ours.median else NONE


def of_bars(figure, cell):
    ours = figure.values.get("leat")
    rows = []
    for broker in (b.name for b in cell.brokers):
        value = figure.values[broker]
        also = [ranged(v[broker]) if value.rounds else NONE for v in figure.also.values()]
        rows.append([broker, ranged(value), *also, rated(value, ours), f"{len(value.rounds)} of {cell.planned}"])
    return ["broker", figure.unit, *figure.also, "times leat's", "rounds"], rows


def of_percentiles(figure, cell):
    """A row for each percentile, so that a narrow screen holds it. Why a broker has none stands in its first row."""
    names = [b.name for b in cell.brokers]
    rows = [[p, *(ranged(figure.values[name][i]) for name in names)] for i, p in enumerate(PERCENTILES)]
    rows += [[title, *(ranged(values[name]) for name in names)] for title, values in figure.also.items()]
    for column in range(1, len(names) + 1):
        for row in rows[1:] if rows[0][column].startswith("missing") else ():
            row[column] = NONE if row[column] == rows[0][column] else row[column]
    return [figure.unit, *names], rows


def of_time(figure, cell):
    rows = []
    for broker in (b.name for b in cell.brokers):
        points = [(n, second) for second, n in figure.values.get(broker, ()) if n is not None]
        if not points:
            rows.append([broker, f"missing: {figure.missing[broker]}", *[NONE] * 5])
            continue
        worst, when = max(points)
        empty = len(figure.values[broker]) - len(points)
        rows.append([broker, str(figure.rounds[broker]), number(min(points)[0]), number(statistics.median(n for n, _ in points)),
                     number(worst), f"{when:g}", str(empty)])
    return ["p99, ms", "round", "least", "median", "most", "in second", "empty s"], rows


def of_rates(figure, cell):
    """A row for each share of the most, with the rate that it came to."""
    names = [b.name for b in cell.brokers]
    shares = next(([share for share, _, _ in points] for points in figure.values.values()), [])
    rows = []
    for i, share in enumerate(shares):
        row = [f"{share:.0%}"]
        for name in names:
            points = figure.values.get(name)
            row += [number(points[i][1].median), ranged(points[i][2])] if points else [NONE, NONE if i else f"missing: {figure.missing[name]}"]
        rows.append(row)
    return ["of its most", *(word for name in names for word in (f"{name}, records/s", f"{name}, ms"))], rows


def table(figure, cell):
    """(head, rows) of text."""
    return {"bars": of_bars, "percentiles": of_percentiles, "time": of_time, "rates": of_rates}[figure.kind](figure, cell)


def glance(comparison):
    """All cells in one table: throughput, and p99 of what is acknowledged (of end to end, where it is consumed)."""
    rows = []
    for cell in comparison.cells:
        figures = {f.key: f for f in cell.figures()}
        throughput = figures["throughput"]
        latency = figures.get("latency-end-to-end", figures["latency-acknowledged"])
        p99 = {name: values[PERCENTILES.index("p99")] for name, values in latency.values.items()}
        for what, unit, values in (("throughput", throughput.unit, throughput.values),
                                   (f"p99 {'end to end' if cell.consumers else 'acknowledged'}", "ms", p99)):
            told = [f"{number(v.median)}" if v.rounds else "missing" for v in (values[b.name] for b in comparison.brokers)]
            rows.append([cell, f"{what}, {unit}", *told])
    return ["workload", "figure (median of the rounds)", *(b.name for b in comparison.brokers)], rows
