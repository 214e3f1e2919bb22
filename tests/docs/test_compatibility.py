#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/reference/compatibility.md is what tests/compat/report.py makes, and the last run bears out what it claims.

What the clients' tests have left in $BUILD/compat is held against the page, client by client. A client that was
not run, or is there in another version than on the page, is named and proves nothing: the page tells its version.
"""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/compat"))

from report import CLIENTS, SCENARIOS, parse, render, seen

AGAIN = "make it again: tests/run.sh scenarios; tests/compat/report.py > docs/reference/compatibility.md"


def contradictions(page, run):
    """What a run of one client says against the page's record of it."""
    if "skipped" in run:
        return []
    found = []
    for name, now in run["scenarios"].items():
        claimed = page.get("scenarios", {}).get(name, {"result": "skipped"})
        if now["result"] == "failed" and claimed["result"] == "passed":
            found.append(f"{name} is claimed, and failed")
        elif run["version"] == page.get("version") and now != claimed:
            found.append(f"{name}: the page says {claimed}, the run {now}")
    return found


def check_contradictions():
    """That contradictions() finds them."""
    passed, cannot, failed = ({"result": r, "note": ""} for r in ("passed", "cannot", "failed"))

    def one(version, result):
        return {"version": version, "scenarios": {"keys": result}}
    assert contradictions(one("1", passed), one("1", passed)) == []
    assert contradictions(one("1", passed), {"skipped": "not there"}) == []
    assert contradictions(one("1", passed), one("2", cannot)) == []
    assert contradictions({"skipped": "not there"}, one("1", passed)) == []
    assert len(contradictions(one("1", passed), one("1", cannot))) == 1
    assert len(contradictions(one("1", cannot), one("1", passed))) == 1
    assert len(contradictions(one("1", passed), one("2", failed))) == 1


check_contradictions()
text = (ROOT / "docs/reference/compatibility.md").read_text()
page = parse(text)
findings = []
if set(page) != set(CLIENTS) or any(set(run.get("scenarios", SCENARIOS)) != set(SCENARIOS) for run in page.values()):
    findings.append(f"docs/reference/compatibility.md has other clients or scenarios than tests/compat/scenarios.py; {AGAIN}")
elif render(page) != text:
    findings.append(f"docs/reference/compatibility.md is not what tests/compat/report.py makes; {AGAIN}")
last = seen()
for client, name in CLIENTS.items():
    run = last.get(client, {"skipped": "it was not run"})
    findings += [f"docs/reference/compatibility.md: {name}: {what}; {AGAIN}"
                 for what in contradictions(page.get(client, {}), run)]
    if "skipped" in run:
        print(f"{name}: nothing to compare with, {run['skipped']}")
    elif run["version"] != page.get(client, {}).get("version"):
        print(f"{name}: the page tells of another version than {run['version']}")
print("\n".join(findings) or "ok: the page is borne out by the last run")
sys.exit(1 if findings else 0)
