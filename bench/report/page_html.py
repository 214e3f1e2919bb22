# SPDX-License-Identifier: Apache-2.0
"""A comparison as one HTML page that loads nothing."""
from html import escape

import page_svg
import page_targets
from page_figures import BESIDE
from page_sweep import sections
from page_tables import glance, table

STYLE = """:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--edge:#d0d7de;--ground:#fff;--card:#f6f8fa;--link:#0a58ca;
--bad:#b42318}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4ae;--edge:#3d444d;--ground:#0d1117;--card:#161b22;--link:#6cb0ff;
--bad:#ff8a7a}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:74rem;margin:0 auto;padding:1rem}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.25rem;margin:2.5rem 0 .5rem;border-top:1px solid var(--edge);padding-top:1rem}
h3{font-size:1rem;margin:1.5rem 0 .5rem}p,ol,ul{max-width:60rem}a{color:var(--link)}
.soft,figcaption{color:var(--soft);font-size:.9rem}figcaption b{color:var(--ink);font-size:1rem}.bad{color:var(--bad)}
dl{display:grid;grid-template-columns:minmax(5rem,10rem) 1fr;gap:.2rem 1rem;margin:1rem 0}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1.5rem}
figure{margin:0;min-width:0}figure svg{width:100%;max-width:36rem;height:auto;display:block;margin:.3rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums}
td{vertical-align:top}small{color:var(--soft);font-size:.72rem}
th,td{padding:.2rem .6rem .2rem 0;text-align:right;border-bottom:1px solid var(--edge);white-space:nowrap}
th{font-weight:600;color:var(--soft)}th:first-child,td:first-child,.left td,.left th{text-align:left}.left td{white-space:normal}
td.m{white-space:normal;min-width:4rem;max-width:9rem;font-style:italic;color:var(--soft)}
pre{background:var(--card);border:1px solid var(--edge);padding:.7rem;overflow-x:auto;font-size:.8rem}
nav a{display:inline-block;margin-right:1rem}
ul.soft{list-style:none;padding:0}
.dot{display:inline-block;width:.75em;height:.75em;border-radius:50%;margin-right:.4em}
"""
# Behind the plots' own style: on a narrow screen they shrink, and their letters would, too.
NARROW = "@media (max-width:34rem){.plot text{font-size:15px}.plot .s{font-size:14px}}"



def cell_of(inside):
    return f'<td class="m">{inside}</td>' if inside.startswith("missing") else f"<td>{inside}</td>"


def rows_of(head, rows, kind=""):
    """All is text that is escaped already."""
    lines = [f"<tr>{''.join(f'<th>{h}</th>' for h in head)}</tr>"]
    lines += [f"<tr>{''.join(map(cell_of, row))}</tr>" for row in rows]
    shown = f' class="{kind}"' if kind else ""
    return f'<div class="wide"><table{shown}>\n' + "\n".join(lines) + "\n</table></div>"


def escaped(rows):
    return [[escape(cell) for cell in row] for row in rows]


def stacked(rows):
    """The range below its median."""
    return [[f"{first}<br><small>{rest}" + "</small>" if rest else first for first, _, rest in (cell.partition(" (") for cell in row)]
            for row in ([cell.removesuffix(")") for cell in row] for row in escaped(rows))]


def head(comparison):
    yield "<h1>leat beside other brokers</h1>"
    if comparison.failed:
        yield f'<p class="bad">{len(comparison.failed)} runs failed: <a href="#failed">what failed</a>.</p>'
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(fact))}</dd>" for name, fact in comparison.facts())
    yield f"<dl>{facts}</dl>"
    yield "<ol>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in comparison.method()) + "</ol>"
    yield "<h3>The machine's own limits</h3>"
    if comparison.machine:
        yield rows_of(["what", "value", "unit", "conditions"], escaped(comparison.limits()), "left")
    else:
        yield '<p class="soft">Missing: they were not measured.</p>'


def at_a_glance(comparison):
    names, rows = glance(comparison)
    linked = [[f'<a href="#{cell.slug}">{escape(cell.title)}</a><br><small>{escape(figure)}</small>', *map(escape, texts)]
              for cell, figure, *texts in rows]
    yield '<h2 id="glance">At a glance</h2><p class="soft">Medians of the rounds; ranges and conditions stand with each figure below.</p>'
    yield rows_of(map(escape, [names[0], *names[2:]]), linked)
    yield f'<h2 id="targets">{escape(page_targets.TITLE)}</h2><p class="soft">{escape(page_targets.ABOUT)}</p>'
    names, rows = page_targets.rows(comparison)
    yield rows_of(map(escape, names), escaped(rows), "left")
    more = [(s.slug, s.title) for s in sections(comparison)[len(comparison.cells):]]
    more += [("beside", "Beside a load"), ("brokers", "How each broker was run"), ("failed", "What failed")]
    yield '<nav class="soft"><p>' + "".join(f'<a href="#{slug}">{escape(title)}</a>' for slug, title in more) + "</p></nav>"


def figure_of(figure, cell):
    names, rows = table(figure, cell)
    note = f"; {figure.note}" if figure.note else ""
    note += "; the round whose p99 is the median; a second has the records that were meant for it" if figure.kind == "time" else ""
    return (f'<figure id="{cell.slug}-{figure.key}"><figcaption><b>{escape(figure.title)}</b>, {escape(figure.unit)}<br>'
            f"{escape(cell.durability + note)}</figcaption>\n{page_svg.draw(figure, cell)}{rows_of(map(escape, names), stacked(rows))}"
            "</figure>")


def section(cell):
    yield f'<h2 id="{cell.slug}">{escape(cell.title)}</h2>'
    yield f"<p>{escape(cell.about)}</p>" if cell.about else ""
    meanings = [f"<li><i class=\"dot\" style=\"background:{b.colour}\"></i><b>{escape(b.name)}</b>: "
                f"{escape(b.meaning.get(cell.durability, 'it has no ' + cell.durability))}</li>" for b in cell.brokers]
    yield f'<p class="soft">{escape(cell.conditions())}</p><ul class="soft">{"".join(meanings)}</ul>'
    yield '<div class="plots">' + "\n".join(figure_of(f, cell) for f in cell.figures()) + "</div>"
    troubles = cell.troubles()
    if troubles:
        yield '<p class="bad">' + "<br>".join(map(escape, troubles)) + "</p>"
    else:
        yield '<p class="soft">No round failed, no record was refused, none is missing.</p>'


def beside(comparison):
    yield f'<h2 id="beside">Beside a load</h2><p class="soft">{escape(BESIDE)}</p>'
    if comparison.states:
        names, rows = comparison.beside()
        yield rows_of(map(escape, names), stacked(rows))
    else:
        yield '<p class="soft">Missing: it was not measured.</p>'


def brokers(comparison):
    clients = comparison.clients()
    yield '<h2 id="brokers">How each broker was run</h2>'
    for broker in comparison.brokers:
        yield f"<h3>{escape(broker.label)}</h3>"
        own = "" if broker.protocol.startswith("Kafka") else " A protocol of its own, so its rates are those of another client as well."
        yield (f"<p>Protocol: {escape(broker.protocol)}.{own} Loaded by {escape(clients.get(broker.name, 'nothing: it was not measured'))}."
               "</p>")
        for durability, text in broker.configuration.items():
            yield f"<p><b>{escape(durability)}</b>: {escape(broker.meaning.get(durability, ''))}</p><pre>{escape(text)}</pre>"
    for name, why in comparison.left_out.items():
        yield f"<h3>{escape(name)}</h3><p>Left out: {escape(why)}</p>"


def failures(comparison):
    yield '<h2 id="failed">What failed</h2>'
    troubles = [f"{cell.title}: {trouble}" for cell in sections(comparison) for trouble in cell.troubles()]
    if troubles:
        yield "<ul>" + "".join(f"<li>{escape(t)}</li>" for t in troubles) + "</ul>"
    else:
        yield "<p>Nothing: all rounds of all brokers count, no record was refused, none is missing.</p>"


def page(comparison):
    parts = [*head(comparison), *at_a_glance(comparison)]
    for cell in sections(comparison):
        parts += section(cell)
    parts += [*beside(comparison), *brokers(comparison), *failures(comparison)]
    body = "\n".join(part for part in parts if part)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
            f'initial-scale=1"><title>leat beside other brokers</title>\n<style>{STYLE}{page_svg.STYLE}\n{NARROW}</style></head>\n'
            f"<body><main>\n{body}\n</main></body></html>\n")
