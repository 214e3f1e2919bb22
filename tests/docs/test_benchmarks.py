#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
"""What bench/report/page.py makes of a comparison: benchmarks.json, in which rounds fail and figures are missing. The page and the plots
parse, load nothing, show every broker in every figure, and say what is missing instead of drawing it."""
import json
import os
import re
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench" / "report"))
import page  # noqa: E402
import page_svg  # noqa: E402
from page_figures import Comparison  # noqa: E402
from page_sweep import sections  # noqa: E402

SOURCE = HERE / "benchmarks.json"
EMPTY = {"meta", "br", "link", "img"}
LOADING = {"script", "link", "img", "iframe", "object", "embed", "image", "use", "video", "audio", "source", "base"}
SWEEP = {"acknowledged-p50", "acknowledged-p99", "end-to-end-p99"}
FIGURES = {"throughput", "memory", "latency-acknowledged", "time-acknowledged", "cpu-gb", "cpu-m"}


class Page(HTMLParser):
    """Elements in balance; ids, links, the text of each figure."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.figures, self.figure = [], set(), set(), {}, None
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        assert tag not in LOADING, f"<{tag}> loads something"
        given = dict(attributes)
        assert not {"src", "srcset", "data", "xlink:href"} & set(given) and not any(name.startswith("on") for name in given), given
        if "id" in given:
            assert given["id"] not in self.ids, f"{given['id']} twice"
            self.ids.add(given["id"])
        if "href" in given:
            assert given["href"].startswith("#"), given["href"]
            self.links.add(given["href"][1:])
        if tag == "figure":
            self.figure = given["id"]
            self.figures[self.figure] = []
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"
        self.figure = None if tag == "figure" else self.figure

    def handle_data(self, data):
        if self.figure:
            self.figures[self.figure].append(data)


def rendered(told, name):
    """(text of the page, of the document, {name: text} of the plots)."""
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("SCRATCH"))) / name
    folder.mkdir()
    (folder / "compare.json").write_text(json.dumps(told))
    html, document = page.write(folder / "compare.json", folder / "docs")
    plots = {p.name: p.read_text() for p in sorted((folder / "docs" / "benchmarks").iterdir())}
    return html.read_text(), document.read_text(), plots


def expected(comparison):
    for cell in comparison.cells:
        for key in FIGURES | ({"latency-end-to-end", "time-end-to-end"} if cell.consumers else set()):
            yield cell, f"{cell.slug}-{key}"
    for sweep in sections(comparison)[len(comparison.cells):]:
        for key in SWEEP:
            yield sweep, f"{sweep.slug}-{key}"


def check_page(html, comparison):
    parsed = Page(html)
    assert not re.search(r"url\(|@import", html), "the style loads something"
    assert parsed.links <= parsed.ids, parsed.links - parsed.ids
    assert set(parsed.figures) == {name for _, name in expected(comparison)}, set(parsed.figures)
    for name, words in parsed.figures.items():
        text = " ".join(words)
        section = next(s for s in sections(comparison) if name.startswith(s.slug))
        assert all(b.name in text for b in section.brokers), (name, text)
        assert ("memory" if "-memory-" in name else "fsync") in text, f"{name} does not tell its durability"
    for broker in comparison.brokers:
        for text in [broker.version, *broker.meaning.values(), *(c.strip().splitlines()[-1] for c in broker.configuration.values())]:
            assert page.page_html.escape(text) in html, text
    said = {"produce-memory-throughput": ["450 to 500", "2 of 3", "112,300"], "produce-memory-cpu-gb": ["missing: not told by the load"],
            "produce-memory-time-acknowledged": ["null, missing: not told"], "produce-memory-latency-acknowledged": ["p99.99 is the max"],
            "keys-fsync-throughput": ["failed in every round", "its load has no keys", "it has no fsync"],
            "keys-fsync-latency-acknowledged": ["failed in every round", "its load has no keys", "it has no fsync"],
            "latency-memory-latency-end-to-end": ["did not keep up with the rate (nats)"],
            "latency-memory-time-end-to-end": ["what is not stored cannot be read back"],
            "sweep-fsync-acknowledged-p99": ["50%", "1.25", "1.00 to 1.50", "missing: failed in every round", "184,500"]}
    for name, texts in said.items():
        for text in texts:
            assert text in " ".join(parsed.figures[name]), f"{name} does not say '{text}'"
    for text in ("A Processor 9000", "23.5 GiB", "ext4 on vda", "iperf3 is not installed", "2026-01-02", "libleat 0.1.0 for leat, kafka",
                 "nats.go v1.0 for nats", "nats: 12 records refused", "kafka: 7 records acknowledged but not read back",
                 "&lt;timed out&gt; &amp; gone", "otherq", "go is not installed", "A protocol of its own", "10000 partitions: made s",
                 "61.5<br><small>60.2 to 64", "missing: it was not measured", "latency against rate, fsync: kafka: round 2 failed: it &lt;ended&gt;"):
        assert text in html, f"the page does not say '{text}'"
    print(f"ok: the page: {len(parsed.figures)} figures of {len(comparison.brokers)} brokers")


def check_plot(name, text, colours):
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("}svg"), root.tag
    height, width = float(root.get("height")), float(root.get("width"))
    for e in root.iter():
        tag = e.tag.split("}")[1]
        assert tag not in LOADING and not any("href" in a for a in e.attrib), (name, tag)
        if tag == "text":
            x, length = float(e.get("x")), len(e.text) * page_svg.CHARACTER
            left = x - {"end": length, "middle": length / 2}.get(e.get("text-anchor"), 0)
            assert -2 <= left and left + length <= width + 10 and 0 < float(e.get("y")) <= height, (name, "cut off", e.text)
        for side, most in [(s, width) for s in ("x", "x1", "x2", "cx")] + [(s, height) for s in ("y", "y1", "y2", "cy")]:
            assert 0 <= float(e.get(side, 0)) <= most, (name, ElementTree.tostring(e))
        assert "nan" not in str(e.attrib) and "inf" not in str(e.attrib).replace("info", ""), (name, e.attrib)
    return {broker for broker, colour in colours.items() if f'"{colour}"' in text}


def check_plots(document, plots, comparison):
    colours = {b.name: b.colour for b in comparison.brokers}
    drawn = {name: check_plot(name, text, colours) for name, text in plots.items()}
    assert set(drawn) == {f"{name}.svg" for _, name in expected(comparison)}, set(drawn)
    assert drawn["keys-fsync-throughput.svg"] == drawn["keys-fsync-latency-acknowledged.svg"] == {"leat"}, "what is missing was drawn"
    assert drawn["produce-memory-cpu-gb.svg"] == {"leat", "kafka", "null"} == drawn["produce-memory-memory.svg"], drawn
    assert drawn["produce-memory-time-acknowledged.svg"] == {"leat", "kafka", "nats"}, drawn
    assert drawn["produce-memory-throughput.svg"] == set(colours), drawn
    assert drawn["sweep-fsync-acknowledged-p99.svg"] == {"leat"}, drawn
    # The second without a figure breaks the line.
    lines = [p.get("d").count("M") for p in ElementTree.fromstring(plots["produce-memory-time-acknowledged.svg"]).iter() if p.get("d")]
    assert lines == [2, 1, 1], lines
    assert set(re.findall(r"!\[[^\]]+\]\(benchmarks/([^)]+)\)", document)) == set(plots)
    for part in document.split("\n### ")[1:]:
        if "![" in part:
            assert re.search(r"\b(memory|fsync); (open|closed) loop", part) and re.search("median of (2|3|the) rounds", part), part[:300]
    assert "memory; open loop at 10k records/s, read back by one consumer; partitions 16" in document
    assert "missing: failed in every round" in document
    assert "| 10000 partitions: made s | 0.800 (0.700 to 0.900) | missing: it was not measured |" in document
    for row in ("| produce, memory | times Kafka's rate | at least 3.00 | 4.09 | yes |",
                "| produce, memory: broker CPU for a GB | of Kafka's | at most 0.125 | 0.244 | no |",
                "| an idle broker | % of a core | at most 0.100 | missing: it was not measured | not known |"):
        assert row in document, f"the document does not say '{row}'"
    assert "a protocol of its own" in document and "&lt;timed out>" in document and "1 KiB &lt;records>" in document
    print(f"ok: the document: {len(plots)} plots")


def main():
    told = json.loads(SOURCE.read_text())
    comparison = Comparison(told)
    html, document, plots = rendered(told, "one")
    assert (html, document, plots) == rendered(told, "two"), "the same input gave other files"
    check_page(html, comparison)
    check_plots(document, plots, comparison)
    # What an older comparison does not tell, or one in which nothing came about.
    for key in ("when", "host", "machine", "commit", "left out", "failed"):
        told.pop(key)
    for result in told["results"]:
        result.pop("absent")
        result.pop("failures")
    html, _, _ = rendered(told, "old")
    Page(html)
    assert "<dd>not told</dd>" in html and "Missing: they were not measured." in html and "missing: not measured in fsync" in html
    told["results"][1]["runs"]["leat"] = []
    Page(rendered(told, "less")[0])
    Page(rendered(told | {"results": []}, "nothing")[0])
    print("ok: less is told")


main()
