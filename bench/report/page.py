#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows what compare.py has written.

    page.py COMPARE.JSON                   compare.html beside it: one page that loads nothing
    page.py COMPARE.JSON --docs [FOLDER]   and benchmarks.md with its plots in benchmarks/ below that folder (docs/)

The same input gives the same files.
"""
import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import page_docs
import page_html
from page_figures import Comparison


def write(source, docs=None):
    """The files that were written."""
    comparison = Comparison(json.loads(Path(source).read_text()))
    html = Path(source).with_suffix(".html")
    html.write_text(page_html.page(comparison))
    return [html] if docs is None else [html, page_docs.write(comparison, Path(docs))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="COMPARE.JSON")
    parser.add_argument("--docs", nargs="?", type=Path, metavar="FOLDER", const=Path(__file__).resolve().parents[2] / "docs")
    options = parser.parse_args()
    for path in write(options.source, options.docs):
        print(path)


if __name__ == "__main__":
    main()
