#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The checker is checked: of each property a history that is refused by it and by no other, and one without anything wrong."""
import json
import os
import subprocess
import sys

import check
from recorder import value_of

SCRATCH = os.environ.get("SCRATCH", "/tmp")
SECOND = 10**9


def v(n, key="", partition=0, topic="t", producer="a"):
    return value_of(topic, partition, producer, n, key)


class Story:
    """Lines, a second apart."""

    def __init__(self):
        self.lines, self.now = [], 0

    def add(self, process, op, result="ok", lasts=SECOND // 10, **more):
        self.now += SECOND
        self.lines.append({"process": process, "op": op, "invoke": self.now, "complete": self.now + lasts, "result": result, **more})
        return self

    def send(self, n, offset=None, result="ok", process="a", key="", **more):
        records = [[value if value is None else v(value, key), key] for value in (n if isinstance(n, list) else [n])]
        return self.add(process, "produce", result, topic="t", partition=0, records=records, offset=offset,
                        **{"idempotent": True, **more})

    def poll(self, *found, process="c", **more):
        """found: (offset, number or value, key)"""
        records = [[o, v(n, *key) if isinstance(n, int) else n, *(key or [""])] for o, n, *key in found]
        return self.add(process, "poll", topic="t", partition=0, records=records, **more)

    def scan(self, *found, name="end"):
        return self.poll(*found, process=f"scan {name}", scan=name)

    def assign(self, offset=0, process="c"):
        return self.add(process, "assign", partitions=[["t", 0, offset]])

    def commit(self, offset, generation=1, member="m", result="ok"):
        return self.add(member, "commit", result, group="g", topic="t", partition=0, offset=offset, generation=generation,
                        member=member)

    def committed(self, offset):
        return self.add("m", "fetch_offsets", group="g", topic="t", partition=0, offset=offset)

    def ends(self, start, end):
        return self.add("o", "offsets", topic="t", partition=0, start=start, end=end)

    def topic(self, **more):
        return self.add("o", "topic", topic="t", **more)

    def node(self, state):
        return self.add("node", "node", state=state)

    def wait(self, seconds):
        self.now += seconds * SECOND
        return self


def compacted():
    return Story().topic(cleanup="compact")


BAD = {
    "inconsistent_offset": [
        Story().send(1, result="info").send(2, result="info").poll((0, 1)).poll((0, 2), process="d"),
        Story().send(1, 0).send(2, result="info", process="b").poll((0, 2)),
    ],
    "duplicate": [Story().send(1, 0).send(2, 2).poll((0, 1), (1, 1), (2, 2))],
    "lost_write": [
        Story().send(1, 0).send(2, 1).send(3, 2).poll((0, 1), (2, 3)),
        Story().send([1, 2, 3], result="info").poll((0, 1), (2, 3)),
    ],
    "unseen_final": [
        Story().send(1, 0).send(2, 1).scan((0, 1)),
        Story().send(1, 0).send(2, 1).poll((0, 1), (1, 2)).scan((0, 1)),
        Story().send(1, 0).scan(),
    ],
    "poll_skip": [
        Story().send(1, 0).send(2, 1).send(3, 2).assign().poll((0, 1)).poll((2, 3)).poll((1, 2), process="d"),
        Story().send(1, 0).send(2, 1).assign().poll((1, 2)).poll((0, 1), process="d"),
    ],
    "poll_nonmonotonic": [
        Story().send(1, 0).send(2, 1).assign().poll((0, 1)).poll((1, 2)).poll((0, 1)),
        Story().send(1, 0).assign().poll((0, 1)).poll((0, 1)),
    ],
    "send_nonmonotonic": [Story().send(1, 5).send(2, 4)],
    "spurious_offset": [
        Story().send(1, 0).send(2, 1, process="b").send(3, 0, process="c"),
        Story().send(1, 0).send(2, 0),
        Story().send(1, 5).poll((6, 1)),
        Story().send(1, 5).ends(0, 5),
        Story().send(1, 5).ends(0, 6).send(2, 3, process="b"),
        Story().send(1, -1),
    ],
    "stuck_client": [
        Story().node("ready").send(1, 0, lasts=40 * SECOND).wait(50),
        Story().node("ready").send(1, result="info", lasts=40 * SECOND).wait(50).ends(0, 0),
        Story().node("ready").send(1, 0).assign().poll().wait(5).poll().wait(5).poll().wait(30).poll(),
        # Retried all the time, in vain, after the node was back.
        Story().node("ready").node("down").node("ready").send(1, result="info", lasts=9 * SECOND).wait(8).send(
            1, result="info", lasts=9 * SECOND).wait(8).send(1, result="info", lasts=9 * SECOND).wait(8).send(
                1, result="info", lasts=9 * SECOND).wait(8).send(1, 0),
    ],
    "group_offset_lost": [
        Story().commit(5).commit(9).committed(5),
        Story().commit(5).committed(-1),
        Story().commit(5).committed(7),
        Story().commit(5, 1, result="info").commit(6, 2, "n").committed(5),
        Story().committed(3),
    ],
    "dual_owner": [Story().commit(5, 3).commit(6, 3, "n").committed(6)],
    "definite_error_lied": [
        Story().send(1, 0).send(2, result="fail").poll((0, 1), (1, 2)),
        Story().commit(5).commit(9, result="fail").committed(9),
    ],
    "corrupt_served": [
        Story().send(1, 0).poll((0, v(1)[:-3] + "0//")),
        Story().send(1, result="info").poll((0, "gibberish")),
        Story().send(1, result="info").poll((0, v(1, partition=1))),
        Story().send(1, result="info").poll((0, v(1, topic="u"))),
        Story().send(1, result="info", key="k").poll((0, v(1, "k"), "l")),
        Story().send(1, result="info").poll((0, 2)),
    ],
    "dedupe_false_positive": [Story().send(1, 0).send(2, result="info").send(2, 0).poll((0, 1))],
    "dedupe_false_negative": [
        Story().send(1, result="info").send(1, 1).poll((0, 1), (1, 1)),
        Story().send(1, 0).send(1, 1),
    ],
    "retention_overdelete": [
        Story().topic(retention_ms=60000).send(1, 0).send(2, 1).ends(1, 2),
        Story().topic(retention_ms=-1, retention_bytes=1 << 20).send(1, 0).wait(100).send(2, 1).ends(1, 2),
        Story().topic().send(1, 0).send(2, 1).add("o", "trim", topic="t", partition=0, offset=1).ends(2, 2),
    ],
    "compaction_lost_latest": [
        compacted().send(1, 0, key="k").send(2, 1, key="k").send(3, 2, key="l").scan((2, 3, "l")),
        compacted().send(1, 0, key="k").send(2, 1, key="l").poll((0, 1, "k")).scan((1, 2, "l")),
    ],
    "tombstone_resurrect": [
        compacted().send(1, 0, key="k").send(None, 1, key="k").send(2, 2, key="l").scan((0, 1, "k"), (2, 2, "l")),
        compacted().send(1, 0, key="k").send(2, 1, key="k").send(3, 2, key="l").poll((0, 1, "k")).scan(
            (1, 2, "k"), (2, 3, "l"), name="first").scan((0, 1, "k"), (1, 2, "k"), (2, 3, "l")),
    ],
}


def clean():
    """What looks odd and is allowed."""
    s = Story().node("ready").topic(retention_ms=10000)
    s.send(1, 0).send([2, 3], 1).send(4, result="info").send(4, 3).send(5, result="fail").send(5, 4).send(6, result="fail")
    s.send(7, result="info", idempotent=False).send(7, 6, idempotent=False)
    s.assign().poll((0, 1), (1, 2)).poll((2, 3)).node("down").wait(100).node("ready").poll((3, 4), (4, 5), (5, 7), (6, 7))
    s.assign(1).poll((1, 2)).add("c", "revoke", partitions=[["t", 0]]).poll((3, 4))
    s.send(8, result="info").send([9, 10], result="info").send(11, 7).poll((7, 11), process="d")
    s.commit(3).commit(4, result="info").committed(4).committed(3).commit(4, 2, "n").commit(9, 1, result="fail").committed(4)
    s.commit(2, -1, "").committed(2)
    s.wait(20).ends(3, 8).add("o", "trim", topic="t", partition=0, offset=5).ends(5, 8).assign(5).poll((5, 7), (6, 7), (7, 11))
    return s.scan((5, 7), (6, 7), (7, 11)).send(12, 8)


def clean_compacted():
    s = compacted().node("ready").send(1, 0, key="k").send(2, 1, key="l").send(3, 2, key="k").send(None, 3, key="l")
    s.assign().poll((0, 1, "k"), (1, 2, "l")).scan((1, 2, "l"), (2, 3, "k"), (3, None, "l"), name="first")
    s.send(4, 4, key="m").send(None, result="info", key="m").send(5, 5, key="n")
    return s.poll((2, 3, "k")).scan((2, 3, "k"), (5, 5, "n"))


def verdict(story, name):
    path = f"{SCRATCH}/{name}.jsonl"
    with open(path, "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in story.lines)
    history = check.check(path, 30)
    return path, {name: list_ for name, list_ in history.violations.items() if list_}, history


def run(*paths):
    done = subprocess.run([sys.executable, check.__file__, *paths], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def main():
    assert set(BAD) == set(check.PROPERTIES), "a property without its anomaly"
    for name, stories in BAD.items():
        for i, story in enumerate(stories):
            path, found, _ = verdict(story, f"{name}-{i}")
            assert list(found) == [name] and len(found[name]) == 1, f"{name} {i}: found {found}"
            assert all(1 <= line <= len(story.lines) for line in found[name][0][0]), found
        status, said, _ = run(path)
        assert status == 1 and f"{name:24} checked" in said and f"{path}:{found[name][0][0][0]}: {{" in said, said
        print(f"ok: {name}: {len(stories)} histories")
    checked = dict.fromkeys(check.PROPERTIES, 0)
    for name, story in (("clean", clean()), ("compacted", clean_compacted())):
        path, found, history = verdict(story, name)
        assert not found, f"{name}: found {found}"
        assert run(path)[0] == 0
        checked = {name: n + history.checked[name] for name, n in checked.items()}
    assert all(checked.values()), f"the clean histories try everything: {checked}"
    with open(path, "a") as file:
        file.write('{"process": "a", "op": "produce"}\n')
    status, _, said = run(path)
    assert status == 2 and "not a line of a history" in said, said
    print("ok: what is allowed, and what is no history")


main()
