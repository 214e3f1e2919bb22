# SPDX-License-Identifier: Apache-2.0
"""A comparison as a document: benchmarks.md, and its plots as files beside it."""
import page_svg
import page_targets
from page_figures import BESIDE
from page_sweep import sections
from page_tables import glance, table

PLOTS = "benchmarks"


def plain(words):
    """Text that Markdown leaves as it is."""
    return str(words).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def rows_of(head, rows):
    lines = ["| " + " | ".join(map(plain, row)) + " |" for row in [head, *rows]]
    return [lines[0], "|" + "---|" * len(head), *lines[1:], ""]


def head(comparison):
    yield from ["# Benchmarks: leat beside other brokers", "",
                "Made by bench/compare.sh from one run of it; no number is put in by hand. What the workloads are stands in "
                "`bench/workloads`, how to measure again in `bench/README.md`.", ""]
    if comparison.failed:
        yield from [f"**{len(comparison.failed)} runs failed**: see [what failed](#what-failed).", ""]
    yield from rows_of(["", ""], comparison.facts())
    yield from [f"{number}. {plain(sentence)}" for number, sentence in enumerate(comparison.method(), 1)]
    yield from ["", "## The machine's own limits", ""]
    if comparison.machine:
        yield from rows_of(["what", "value", "unit", "conditions"], comparison.limits())
    else:
        yield from ["Missing: they were not measured.", ""]
    names, rows = glance(comparison)
    yield from ["## At a glance", "", *rows_of(names, [[cell.title, *texts] for cell, *texts in rows])]
    yield from [f"## {page_targets.TITLE}", "", page_targets.ABOUT, "", *rows_of(*page_targets.rows(comparison))]


def section(cell, folder):
    yield from [f"## {cell.title}", "", *([plain(cell.about), ""] if cell.about else [])]
    yield from [f"- **{b.name}**, {cell.durability}: {plain(b.meaning.get(cell.durability, 'it has none'))}" for b in cell.brokers]
    yield ""
    told = {kind: f"median of {cell.planned} rounds, with the least and the most" for kind in ("bars", "percentiles", "rates")}
    told["time"] = "the round whose p99 is the median of the rounds; a second has the records that were meant for it"
    for figure in cell.figures():
        file = folder / f"{cell.slug}-{figure.key}.svg"
        file.write_text(page_svg.draw(figure, cell, standalone=True))
        conditions = "; ".join(words for words in (cell.conditions(), figure.note) if words)
        yield from [f"### {figure.title}: {cell.title}", "", f"In {figure.unit}; {plain(conditions)}; {told[figure.kind]}.", "",
                    f"![{figure.title}, {figure.unit}: {cell.title}]({PLOTS}/{file.name})", "", *rows_of(*table(figure, cell))]
    yield from [f"- {plain(t)}" for t in cell.troubles()] or ["No round failed, no record was refused, none is missing."]
    yield ""


def beside(comparison):
    yield from ["## Beside a load", "", BESIDE, ""]
    if comparison.states:
        yield from rows_of(*comparison.beside())
    else:
        yield from ["Missing: it was not measured.", ""]


def brokers(comparison):
    clients = comparison.clients()
    yield from ["## How each broker was run", ""]
    for broker in comparison.brokers:
        own = "" if broker.protocol.startswith("Kafka") else \
            " That is a protocol of its own, so its rates are those of another client as well."
        yield from [f"### {broker.label}", "", f"Protocol: {broker.protocol}.{own} Loaded by "
                    f"{clients.get(broker.name, 'nothing: it was not measured')}.", ""]
        for durability, text in broker.configuration.items():
            yield from [f"`{durability}`: {plain(broker.meaning.get(durability, ''))}", "", "```text", text.rstrip("\n"), "```", ""]
    for name, why in comparison.left_out.items():
        yield from [f"### {name}", "", f"Left out: {plain(why)}", ""]


def failures(comparison):
    yield from ["## What failed", ""]
    troubles = [f"- {cell.title}: {plain(trouble)}" for cell in sections(comparison) for trouble in cell.troubles()]
    yield from troubles or ["Nothing: all rounds of all brokers count, no record was refused, none is missing."]


def write(comparison, docs):
    """docs/benchmarks.md; plots of another run are removed."""
    folder = docs / PLOTS
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    lines = list(head(comparison))
    for cell in sections(comparison):
        lines += section(cell, folder)
    lines += [*beside(comparison), *brokers(comparison), *failures(comparison)]
    out = docs / "benchmarks.md"
    out.write_text("\n".join(lines).rstrip("\n") + "\n")
    return out
