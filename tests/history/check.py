#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/history/check.py [--stuck SECONDS] FILE...: what may never happen to a client of one node.

README.md beside this file tells what a history is. Each file is checked by itself; one line for each property, with the lines
that prove a violation below it. Exit status 0: none, 1: some, 2: a file is no history.

A file is read once, line by line; what is kept is one entry for each value, offset and commit. Everything else is sorting and
bisection: n operations take O(n log n).

What follows from what. A value is *read* at an offset by a poll and *acknowledged* at one by a produce; both together are the log
of a partition. Values that a property has been charged with are left out by the later ones, so that one anomaly is one violation.
"""
import argparse
import bisect
import gc
import json
import sys
import zlib

PROPERTIES = {
    "inconsistent_offset": "C1", "duplicate": "C2", "lost_write": "C3", "unseen_final": "C4", "poll_skip": "C7",
    "poll_nonmonotonic": "C8", "send_nonmonotonic": "C11", "spurious_offset": "C18", "stuck_client": "C19",
    "group_offset_lost": "C23", "dual_owner": "C24", "definite_error_lied": "C25", "corrupt_served": "C28",
    "dedupe_false_positive": "C30", "dedupe_false_negative": "C30", "retention_overdelete": "C31",
    "compaction_lost_latest": "C31", "tombstone_resurrect": "C31",
}
SHOWN = 5  # violations of a property that are shown in full
CLOCK_SLACK_NS = 50_000_000  # between the wall clock of timestamps and the monotonic one of histories
RECORD_OVERHEAD = 200  # bytes of a record and its part of a batch that a history does not tell, at most
FOREVER = float("inf")


class NoHistory(Exception):
    """A file that cannot be read as one."""


class Value:
    """A value that somebody sent."""
    __slots__ = ("key", "process", "idempotent", "invoke", "line", "attempts", "acks", "reads", "failed")

    def __init__(self, key, process, idempotent, invoke, line):
        self.key, self.process, self.idempotent, self.invoke, self.line = key, process, idempotent, invoke, line
        self.attempts, self.acks, self.reads = 0, {}, {}  # offset -> line
        self.failed = 0  # attempts that were refused


class Partition:
    def __init__(self, name):
        self.name = name
        self.values = {}
        self.reads = {}        # offset -> (value or None, key, line)
        self.batches = []      # (line, result, offset, values, idempotent)
        self.tombstones = {}   # offset -> (key, line): acknowledged
        self.doubtful = {}     # key -> (process, records) of a tombstone in doubt
        self.sightings = []    # (complete, offset, process, line): the log reached at least so far
        self.acks = []         # (complete, offset, line)
        self.ends = []         # (invoke, complete, start, end, line)
        self.trims = []        # (invoke, offset, line)
        self.scans = {}        # name -> [invoke, {offset: line}]
        self.jumps = []        # (from, to, line)
        self.idle = []         # (since, until, position, line)
        self.blamed = set()

    def log(self):
        """{offset: (value, key, line)} of all that is known to have been stored."""
        log = {offset: (None, key, line) for offset, (key, line) in self.tombstones.items()}
        for name, value in self.values.items():
            log.update((offset, (name, value.key, line)) for offset, line in value.acks.items())
        log.update(self.reads)
        return log


class Topic:
    def __init__(self):
        self.compacted, self.deletes = False, True
        self.retention_ms = self.retention_bytes = -1


class History:
    """What was read of a file, and what was found wrong."""

    def __init__(self, path, stuck_ns):
        self.path, self.stuck_ns = path, stuck_ns
        self.partitions, self.topics = {}, {}
        self.commits, self.fetches = {}, {}  # (group, topic, partition) -> []
        self.positions, self.idles = {}, {}  # (process, topic, partition) -> next offset; -> (since, position)
        self.work = {}                       # (process, op) -> [(complete, invoke, ok, line)]
        self.up, self.since = [], 0          # [(from, to)] of the node; from of the present life or None
        self.lived = False
        self.end = 0
        self.checked = dict.fromkeys(PROPERTIES, 0)
        self.violations = {name: [] for name in PROPERTIES}

    def violation(self, name, lines, what):
        self.violations[name].append((sorted(set(lines)), what))

    def partition(self, o):
        key = o["topic"], o["partition"]
        if key not in self.partitions:
            self.partitions[key] = Partition(f"{key[0]}-{key[1]}")
        return self.partitions[key]

    # --- reading ------------------------------------------------------------------------------

    def read(self):
        with open(self.path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                try:
                    o = json.loads(text)
                    if o["result"] not in ("ok", "fail", "info"):
                        raise ValueError(f"result {o['result']}")
                    self.take(o, number)
                except (ValueError, KeyError, TypeError) as error:
                    raise NoHistory(f"{self.path}:{number}: not a line of a history: {error!r}") from error
        if self.since is not None:
            self.up.append((self.since, FOREVER))

    def take(self, o, line):
        op, complete = o["op"], o["complete"]
        self.end = max(self.end, o["invoke"], complete or 0)
        if complete is None:
            o["complete"], o["result"] = FOREVER, "info"
        getattr(self, f"take_{op}")(o, line)
        if op not in ("topic", "node"):
            self.work.setdefault((o["process"], op), []).append((o["complete"], o["invoke"], o["result"] == "ok", line))

    def take_topic(self, o, _):
        topic = self.topics.setdefault(o["topic"], Topic())
        cleanup = o.get("cleanup", "delete").split(",")
        topic.compacted, topic.deletes = "compact" in cleanup, "delete" in cleanup
        topic.retention_ms, topic.retention_bytes = o.get("retention_ms", -1), o.get("retention_bytes", -1)

    def take_node(self, o, _):
        if o["state"] == "ready":
            self.since = o["complete"]
        else:
            # The first thing that is told may be the end of a life that began before.
            if self.since is not None:
                self.up.append((self.since, o["invoke"]))
            self.since = None

    def take_produce(self, o, line):
        p, result, base = self.partition(o), o["result"], o.get("offset") if o["result"] == "ok" else None
        names, same = [], (o["process"], o["records"])
        for i, (name, key) in enumerate(o["records"]):
            names.append(name)
            if name is None:
                if result == "info":
                    p.doubtful[key] = same
                elif base is not None:
                    p.tombstones[base + i] = key, line
                    if p.doubtful.get(key) == same:
                        del p.doubtful[key]
                continue
            value = p.values.get(name)
            if value is None:
                value = p.values[name] = Value(key, o["process"], o.get("idempotent", False), o["invoke"], line)
            value.attempts += 1
            value.failed += result == "fail"
            value.invoke = min(value.invoke, o["invoke"])
            if base is not None:
                value.acks.setdefault(base + i, line)
        p.batches.append((line, result, base, names))
        if base is not None:
            last = base + len(names) - 1
            p.acks.append((o["complete"], last, line))
            p.sightings.append((o["complete"], last, o["process"], line))

    def take_poll(self, o, line):
        if o["result"] != "ok":
            return
        p, place = self.partition(o), (o["process"], o["topic"], o["partition"])
        seen = p.scans.setdefault(o["scan"], [o["invoke"], {}])[1] if o.get("scan") is not None else None
        for offset, name, key in o["records"]:
            if seen is not None:
                seen[offset] = line
            self.position(p, place, offset, line)
            self.served(p, o, offset, name, key, line)
        if o["records"]:
            p.sightings.append((o["complete"], o["records"][-1][0], o["process"], line))
            self.idles.pop(place, None)
        elif self.positions.get(place) is not None:
            since = self.idles.setdefault(place, o["complete"])
            p.idle.append((since, o["complete"], self.positions[place], line))

    def position(self, p, place, offset, line):
        """C8 at once; what might be a C7 is kept until the whole log is known."""
        following = self.positions.get(place)
        if following is not None:
            self.checked["poll_nonmonotonic"] += 1
            self.checked["poll_skip"] += 1
            if offset < following:
                self.violation("poll_nonmonotonic", [line], f"{place[0]} read {p.name} at {offset}, where {following} was next")
            elif offset > following:
                p.jumps.append((following, offset, line))
        self.positions[place] = offset + 1

    def served(self, p, o, offset, name, key, line):
        """C1 among reads, C28."""
        self.checked["inconsistent_offset"] += 1
        before = p.reads.setdefault(offset, (name, key, line))
        if before[:2] != (name, key):
            self.violation("inconsistent_offset", [before[2], line], f"{p.name} at {offset}: {before[0]!r} and {name!r}")
            p.blamed |= {name, before[0]}
        if name is None:
            return
        self.checked["corrupt_served"] += 1
        why = corruption(o["topic"], o["partition"], name, key)
        if why:
            self.violation("corrupt_served", [line], f"{p.name} at {offset}: {why}: {name!r:.200}")
            p.blamed.add(name)

    def take_assign(self, o, _):
        for topic, partition, offset in o["partitions"]:
            place = o["process"], topic, partition
            self.positions[place] = offset
            self.idles.pop(place, None)

    take_seek = take_assign

    def take_revoke(self, o, _):
        for topic, partition, *_ in o["partitions"]:
            self.positions.pop((o["process"], topic, partition), None)
            self.idles.pop((o["process"], topic, partition), None)

    def take_subscribe(self, o, _):
        for place in [place for place in self.positions if place[0] == o["process"]]:
            del self.positions[place]

    def take_commit(self, o, line):
        self.commits.setdefault((o["group"], o["topic"], o["partition"]), []).append(
            (o["complete"], o["invoke"], o["result"], o["offset"], o.get("generation", -1),
             o.get("instance") or o.get("member"), line))

    def take_fetch_offsets(self, o, line):
        if o["result"] == "ok":
            self.fetches.setdefault((o["group"], o["topic"], o["partition"]), []).append(
                (o["invoke"], o["complete"], o["offset"], line))

    def take_offsets(self, o, line):
        if o["result"] == "ok":
            p = self.partition(o)
            p.ends.append((o["invoke"], o["complete"], o["start"], o["end"], line))
            p.sightings.append((o["complete"], o["end"] - 1, o["process"], line))

    def take_trim(self, o, line):
        if o["result"] != "fail":
            self.partition(o).trims.append((o["invoke"], o["offset"], line))

    # --- checking -----------------------------------------------------------------------------

    def check(self):
        for (name, _), p in self.partitions.items():
            topic = self.topics.get(name, Topic())
            self.resolve_reads(p)
            self.check_positions(p)
            self.check_offsets(p)
            self.check_sends(p)
            self.check_consistency(p)
            self.check_scans(p)
            log = p.log()
            latest = {}
            for offset in sorted(log):
                latest[log[offset][1]] = offset
            start = max([s for _, _, s, _, _ in p.ends] + [o for _, o, _ in p.trims], default=0)
            self.check_jumps(p, topic, latest, start)
            self.check_lost(p, topic, latest, start)
            if topic.compacted:
                self.check_compaction(p, topic, log, latest, start)
            self.check_retention(p, topic, log)
            self.check_idle(p, topic)
        for place in set(self.commits) | set(self.fetches):
            self.check_group(place, self.commits.get(place, []), self.fetches.get(place, []))
        self.check_progress()

    def resolve_reads(self, p):
        """C25, and the part of C28 that needs to know who sent what."""
        for offset, (name, _, line) in p.reads.items():
            value = p.values.get(name)
            if value is not None:
                value.reads[offset] = line
                self.checked["definite_error_lied"] += 1
                if value.failed == value.attempts:
                    self.violation("definite_error_lied", [value.line, line],
                                   f"{p.name} at {offset}: {name!r:.100} was refused")
                    p.blamed.add(name)
            elif name is not None and name not in p.blamed:
                self.violation("corrupt_served", [line], f"{p.name} at {offset}: nobody sent {name!r:.200}")
                p.blamed.add(name)

    def check_positions(self, p):
        """C2 and C30: where a value is. A library's retries are not lines; those of an idempotent producer leave no trace."""
        for name, value in p.values.items():
            resent = value.idempotent and value.attempts > 1
            self.checked["duplicate"] += value.idempotent and value.attempts == 1
            self.checked["dedupe_false_negative"] += resent
            self.checked["dedupe_false_positive"] += resent and bool(value.acks)
            if not value.idempotent or name in p.blamed:
                continue
            lines = [value.line, *value.reads.values(), *value.acks.values()]
            if len(value.reads) > 1:
                self.violation("dedupe_false_negative" if resent else "duplicate", lines,
                               f"{p.name}: {name!r:.100} is at {sorted(value.reads)}")
            elif len(value.acks) > 1:
                self.violation("dedupe_false_negative", lines, f"{p.name}: {name!r:.100} was acknowledged at {sorted(value.acks)}")
            elif resent and value.acks:
                (offset, _), = value.acks.items()
                other = p.reads.get(offset)
                if not other or other[0] == name:
                    continue
                self.violation("dedupe_false_positive", lines + [other[2]],
                               f"{p.name}: {name!r:.100} was acknowledged at {offset}, where {other[0]!r:.100} is")
            else:
                continue
            p.blamed.add(name)

    def check_offsets(self, p):
        """C18: an acknowledged offset is where the value is, above all that was seen before it was sent, and below every end
        that was told afterwards. What the same process was told before is C11's, unless the offset is 0."""
        times, best = sightings(p.sightings)
        for name, value in p.values.items():
            for offset, line in value.acks.items():
                self.checked["spurious_offset"] += 1
                if name in p.blamed:
                    continue
                if value.reads and offset not in value.reads:
                    self.violation("spurious_offset", [line, *value.reads.values()],
                                   f"{p.name}: {name!r:.100} was acknowledged at {offset} and is at {sorted(value.reads)}")
                    p.blamed.add(name)
                    continue
                before = best[bisect.bisect_left(times, value.invoke)]
                witness = next((w for w in before if offset == 0 or w[1] != value.process), None)
                if offset < 0 or witness and offset <= witness[0]:
                    self.violation("spurious_offset", [line] + ([witness[2]] if witness else []),
                                   f"{p.name}: {name!r:.100} was acknowledged at {offset}, "
                                   f"{witness[0] if witness else 'nothing'} was there before it was sent")
                    p.blamed.add(name)
        times, best = sightings([(complete, offset, None, line) for complete, offset, line in p.acks])
        for invoke, _, _, end, line in p.ends:
            self.checked["spurious_offset"] += 1
            for offset, _, witness in best[bisect.bisect_left(times, invoke)]:
                if offset >= end:
                    self.violation("spurious_offset", [witness, line],
                                   f"{p.name}: {offset} was acknowledged, and the log ends at {end}")

    def check_sends(self, p):
        """C11: offsets grow in the order of the sends of a process. Resends of others than idempotent producers may overtake."""
        sends = {}
        for name, value in p.values.items():
            if value.acks and name not in p.blamed and (value.idempotent or value.attempts == 1):
                offset = min(value.acks)
                sends.setdefault(value.process, []).append((value.invoke, value.acks[offset], offset, name))
        for process, list_ in sends.items():
            list_.sort(key=lambda s: s[0])
            most = None
            for send in list_:
                self.checked["send_nonmonotonic"] += 1
                if most is not None and send[2] <= most[2]:
                    self.violation("send_nonmonotonic", [most[1], send[1]],
                                   f"{process}: {p.name} {send[2]} was acknowledged for a send after that of {most[2]}")
                    p.blamed |= {send[3], most[3]}
                else:
                    most = send

    def check_consistency(self, p):
        """C1 with acknowledgements."""
        log = {offset: (name, line) for offset, (name, _, line) in p.reads.items()}
        marks = [(offset, name, line) for name, value in p.values.items() for offset, line in value.acks.items()]
        marks += [(offset, None, line) for offset, (_, line) in p.tombstones.items()]
        for offset, name, line in marks:
            self.checked["inconsistent_offset"] += 1
            before = log.setdefault(offset, (name, line))
            if before[0] != name and name not in p.blamed and before[0] not in p.blamed:
                self.violation("inconsistent_offset", [before[1], line], f"{p.name} at {offset}: {before[0]!r} and {name!r}")
                p.blamed |= {name, before[0]} - {None}

    def check_scans(self, p):
        """What a whole reading did not find, below what it found, is not there in a later one (C31)."""
        missing, there, known, at = {}, [], sorted(p.reads), 0
        for _, seen in sorted(p.scans.values(), key=lambda s: s[0]):
            self.checked["tombstone_resurrect"] += len(seen)
            back = sorted(offset for offset in seen if offset in missing)
            if back:
                self.violation("tombstone_resurrect", [seen[back[0]], missing[back[0]]],
                               f"{p.name} at {back[0]} and {len(back) - 1} more: a reading missed what a later one found")
            most = max(seen, default=-1)
            while at < len(known) and known[at] < most:
                there.append(known[at])
                at += 1
            missing.update((offset, seen[most]) for offset in there if offset < most and offset not in seen)
            there = [offset for offset in there if offset not in missing]

    def check_jumps(self, p, topic, latest, start):
        """C7: what somebody read was skipped between two polls, but for what compaction or retention may have removed. What nobody
        read is C3's."""
        known = sorted(p.reads)
        for first, last, line in p.jumps:
            for i in range(bisect.bisect_left(known, max(first, start)), bisect.bisect_left(known, last)):
                name, key, proof = p.reads[known[i]]
                if name in p.blamed or topic.compacted and (latest[key] > known[i] or name is None or key in p.doubtful):
                    continue
                self.violation("poll_skip", [proof, line], f"{p.name}: a poll went from {first} to {last}, past {known[i]}")
                break

    def must_have(self, p):
        """(offset, value, line) of what was acknowledged, or is of a batch of which anything was read, and was never read."""
        for line, result, base, names in p.batches:
            if result == "fail":
                continue
            if base is None:
                for i, name in enumerate(names):
                    if name is not None and p.values[name].reads:
                        base = min(p.values[name].reads) - i
                        break
                else:
                    continue
            for i, name in enumerate(names):
                if name is not None and not p.values[name].reads and name not in p.blamed:
                    yield base + i, name, line

    def check_lost(self, p, topic, latest, start):
        """C3 below the highest offset that was read, C4 above it once there was a final poll."""
        highest = max(p.reads, default=-1)
        final = max((begun for begun, _ in p.scans.values()), default=None)
        answered = {line: complete for complete, _, line in p.acks}
        told = sum(bool(v.acks) for v in p.values.values())
        self.checked["lost_write"] += told
        self.checked["unseen_final"] += told if final is not None else 0
        for offset, name, line in self.must_have(p):
            if offset < start or offset in p.reads and p.reads[offset][0] in p.blamed:
                continue
            if topic.compacted and (latest.get(p.values[name].key, offset) > offset or p.scans and offset <= highest
                                    or p.values[name].key in p.doubtful):
                continue  # superseded; or the latest one, which check_compaction() looks for
            if offset <= highest:
                self.violation("lost_write", [line, p.reads[highest][2]], f"{p.name} at {offset}: nobody read {name!r:.100}")
            elif final is not None and answered.get(line, FOREVER) < final:
                self.violation("unseen_final", [line], f"{p.name} at {offset}: the final poll did not reach {name!r:.100}")
            p.blamed.add(name)
        if final is not None:
            self.check_reach(p, topic, latest, start)

    def check_reach(self, p, topic, latest, start):
        """C4 of what others had read before the final poll began."""
        begun, seen = max(p.scans.values(), key=lambda s: s[0])
        most, times = max(seen, default=-1), {line: complete for complete, _, _, line in p.sightings}
        for offset, (name, key, line) in p.reads.items():
            self.checked["unseen_final"] += 1
            if offset > most and offset >= start and times[line] < begun and name is not None and name not in p.blamed:
                if not topic.compacted or latest[key] == offset and key not in p.doubtful:
                    self.violation("unseen_final", [line], f"{p.name} at {offset}: the final poll ended at {most}")

    def check_compaction(self, p, topic, log, latest, start):
        """C31: the last scan shows the latest value of each key, and no older one where the latest is a tombstone that has gone."""
        if not p.scans:
            return
        begun, seen = max(p.scans.values(), key=lambda s: s[0])
        most, shown = max(seen, default=-1), {}
        for offset, line in seen.items():
            shown.setdefault(log[offset][1], (offset, line))
        for key, offset in latest.items():
            name, _, line = log[offset]
            self.checked["compaction_lost_latest"] += name is not None
            self.checked["tombstone_resurrect"] += name is None
            if offset in seen or offset > most or offset < start or name in p.blamed:
                continue
            if name is not None and key not in p.doubtful and (p.ends or not topic.deletes):
                self.violation("compaction_lost_latest", [line, seen[most]],
                               f"{p.name}: the latest value of {key!r} was at {offset} and has gone")
            elif name is None and key in shown:
                self.violation("tombstone_resurrect", [line, shown[key][1]],
                               f"{p.name}: {key!r} was deleted at {offset}, and {shown[key][0]} is back")

    def check_retention(self, p, topic, log):
        """C31: what a log start has passed was older than retention allows, or was more than it allows, or was trimmed."""
        known, sizes = sorted(log), [0]
        for offset in known:
            name, key, _ = log[offset]
            sizes.append(sizes[-1] + len(name or "") + len(key or "") + RECORD_OVERHEAD)
        largest = max((b - a for a, b in zip(sizes, sizes[1:])), default=RECORD_OVERHEAD)
        done, trims, trimmed = 0, sorted(p.trims, reverse=True), 0
        for _, complete, start, end, line in sorted(p.ends, key=lambda e: e[1]):
            while trims and trims[-1][0] <= complete:
                trimmed = max(trimmed, trims.pop()[1])
            first, last = bisect.bisect_left(known, start), bisect.bisect_left(known, end)
            held = sizes[last] - sizes[first] + max(0, end - start - (last - first)) * largest
            enough = topic.deletes and 0 <= topic.retention_bytes <= held
            for offset in known[done:first]:
                name, _, proof = log[offset]
                self.checked["retention_overdelete"] += 1
                age = complete - p.values[name].invoke if name in p.values else None
                old = topic.deletes and topic.retention_ms >= 0 and (
                    age is None or age + CLOCK_SLACK_NS >= topic.retention_ms * 1_000_000)
                if offset >= trimmed and not enough and not old:
                    self.violation("retention_overdelete", [proof, line],
                                   f"{p.name}: the log starts at {start}, and {offset} was {(age or 0) / 1e6:.0f} ms old")
                    break
            done = max(done, first)

    # --- liveness -----------------------------------------------------------------------------

    def longest_up(self, start, stop):
        """The longest time between both in which the node was there without a break."""
        stop = min(stop, self.end)
        if stop - start <= self.stuck_ns:
            return 0
        return max((min(stop, down) - max(start, ready) for ready, down in self.up if down > start and ready < stop), default=0)

    def check_idle(self, p, topic):
        """C19 of a consumer: polls that come back with nothing though there is something."""
        reached = []  # acknowledgements of offsets above all before
        for complete, offset, line in sorted(p.acks):
            if not reached or offset > reached[-1][0]:
                reached.append((offset, complete, line))
        told = set()
        for since, until, position, line in p.idle:
            self.checked["stuck_client"] += 1
            at = bisect.bisect_left(reached, (position,))
            if at == len(reached) or (since, position) in told or topic.compacted:
                continue
            offset, acked, witness = reached[at]
            if self.longest_up(max(since, acked), until) > self.stuck_ns:
                self.violation("stuck_client", [witness, line], f"{p.name}: polls at {position} find nothing, {offset} is there")
                told.add((since, position))

    def check_progress(self):
        """C19: an operation, or a row of such that did not succeed, that lasts although the node is there."""
        for (process, op), list_ in self.work.items():
            waiting, before = None, 0
            for complete, invoke, ok, line in sorted(list_):
                self.checked["stuck_client"] += 1
                if invoke - before > self.stuck_ns // 4:
                    waiting = None  # who does not ask does not wait
                before = complete
                since, first = waiting or (invoke, line)
                if self.longest_up(since, complete) > self.stuck_ns:
                    self.violation("stuck_client", [first, line], f"{process}: {op} made no progress")
                    ok = True
                waiting = None if ok else (since, first)

    # --- groups -------------------------------------------------------------------------------

    def check_group(self, place, commits, fetches):
        """C23, C24, and C25 of commits."""
        name = f"{place[0]}: {place[1]}-{place[2]}"
        owners, by_offset = {}, {}
        for commit in commits:
            _, _, result, offset, generation, member, line = commit
            by_offset.setdefault(offset, []).append(commit)
            if result == "ok" and generation >= 0:
                self.checked["dual_owner"] += 1
                owner, proof = owners.setdefault(generation, (member, line))
                if owner != member:
                    self.violation("dual_owner", [proof, line], f"{name}: {owner} and {member} own it in generation {generation}")
        acked = sorted((c for c in commits if c[2] == "ok"), key=lambda c: c[0])
        times, last = [c[0] for c in acked], [None]
        for c in acked:
            last.append(c if last[-1] is None or later(c, last[-1]) else last[-1])
        for invoke, complete, offset, line in fetches:
            self.checked["group_offset_lost"] += 1
            newest = last[bisect.bisect_left(times, invoke)]
            candidates = [c for c in by_offset.get(offset, []) if c[1] <= complete]
            if offset >= 0 and candidates and all(c[2] == "fail" for c in candidates):
                self.violation("definite_error_lied", [line] + [c[6] for c in candidates],
                               f"{name}: {offset} is committed, which was refused")
            elif newest is None and (offset < 0 or candidates):
                continue
            elif newest is None or not any(may_follow(c, newest) for c in candidates):
                self.violation("group_offset_lost", [line] + ([newest[6]] if newest else []),
                               f"{name}: {offset} is committed, {newest[3] if newest else 'nothing'} was acknowledged last")


def later(c, d):
    """Of two acknowledged commits: generations follow each other, and who is no member commits when there are none."""
    return (c[4], c[1]) > (d[4], d[1]) if c[4] >= 0 and d[4] >= 0 else c[1] > d[1]


def may_follow(c, newest):
    """Whether the commit may have been taken after that which was acknowledged last, or is it."""
    if c is newest:
        return True
    return c[2] != "fail" and (FOREVER if c[2] == "info" else c[0]) >= newest[1] and (c[4] < 0 or c[4] >= newest[4])


def sightings(list_):
    """Sorted times, and for each number of them the two highest (offset, process, line) of different processes."""
    times, best = [], [()]
    for complete, offset, process, line in sorted(list_, key=lambda s: s[0]):
        times.append(complete)
        rest = sorted(((offset, process, line), *best[-1]), key=lambda w: -w[0])
        best.append((rest[0], *[w for w in rest[1:] if w[1] != rest[0][1]][:1]))
    return times, best


def corruption(topic, partition, name, key):
    """What is wrong with a value that was served there; None: nothing."""
    parts = name.split("/", 5)
    if len(parts) != 6:
        return "nothing that was sent"
    head = "/".join(parts[:4])
    sum_ = zlib.crc32(f"{head}/{key or ''}/{parts[5]}".encode("utf-8", "surrogateescape"))
    if f"{sum_:08x}" != parts[4]:
        return "it has another hash"
    if (parts[0], parts[1]) != (topic, str(partition)):
        return "it was sent elsewhere"
    return None


def report(history):
    """One line for each property; the number of violations."""
    wanted = {line for list_ in history.violations.values() for lines, _ in list_[:SHOWN] for line in lines}
    texts = {}
    if wanted:
        with open(history.path, encoding="utf-8") as file:
            texts = {number: text.rstrip("\n") for number, text in enumerate(file, 1) if number in wanted}
    for name, number in PROPERTIES.items():
        list_ = history.violations[name]
        print(f"{number:4} {name:24} checked {history.checked[name]:8}, violations {len(list_)}")
        for lines, what in list_[:SHOWN]:
            print(f"       {what}")
            for line in lines:
                print(f"         {history.path}:{line}: {texts[line]:.400}")
    return sum(map(len, history.violations.values()))


def check(path, stuck_seconds):
    history = History(path, int(stuck_seconds * 1e9))
    history.read()
    history.check()
    return history


def main():
    parser = argparse.ArgumentParser(description="Checks histories of clients; see tests/history/README.md.")
    parser.add_argument("--stuck", type=float, default=30, metavar="SECONDS", help="who makes no progress for so long is stuck")
    parser.add_argument("files", nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    gc.disable()  # nothing of a history is cyclic
    found = 0
    for path in arguments.files:
        print(f"{path}:")
        try:
            found += report(check(path, arguments.stuck))
        except (NoHistory, OSError) as error:
            print(error, file=sys.stderr)
            sys.exit(2)
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
