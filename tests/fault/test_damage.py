#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Damage in every kind of file of a data directory that was stopped cleanly or killed. Each either heals (all
that was acknowledged is served), is told when it is read, or is refused by the start with status 74 (78 where
the directory is not ours): the sentence names the file, and the command that decides, and what holds the
records is not changed. Put back, everything is there. Never is anything cut in silence; never a crash.
Before each start `leat log verify` says what will come of it: damage where there is any, nothing where it heals.

At the end a sweep damages every file there is, at random places: whatever happens, it is one of these.

    tests/fault/test_damage.py [--seed S] [--sweeps N]
"""
import argparse
import concurrent.futures
import hashlib
import itertools
import json
import random
import shutil
import threading

from node import *

SIDE_BY_SIDE = 6
DAMAGE, BUSY, NOT_OURS = 74, 75, 78
CORRUPT_MESSAGE = 2
COPY = "restore the file from a copy"  # where nobody can decide to go on: whose directory it is
COPY_ALL = "restore the directory from a copy"
SETTINGS = ("journal.file.bytes=2MiB", "log.segment.bytes=2MiB")
PLACES = [("t", 0), ("t", 1), ("memory", 0)]
FSYNC_PLACES = PLACES[:2]
SEGMENT = "topics/t-0/" + "0" * 20
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=11)
parser.add_argument("--sweeps", type=int, default=1)
arguments = parser.parse_args()


# --- what is damaged ------------------------------------------------------------------------------


def flip(path, position):
    with open(path, "r+b") as f:
        f.seek(position)
        byte = f.read(1)
        check(byte, f"{path} has no byte {position}")
        f.seek(position)
        f.write(bytes([byte[0] ^ 0x10]))


def rewrite(path, data):
    with open(path, "wb") as f:
        f.write(data)


def groups(path):
    """(position, count, sequence) of the journal groups in a file."""
    with open(path, "rb") as f:
        data = f.read()
    for at in range(4096, len(data), 4096):
        if data[at:at + 4] == b"LGR1":
            count, sequence = struct.unpack_from(">IQ", data, at + 12)
            yield at, count, sequence


def marked(data, root="journal-0"):
    """Whether the first block of a file carries a mark of all that is in the groups (docs/formats/journal.md)."""
    paths = [f"{data}/{root}/{name}" for name in os.listdir(f"{data}/{root}") if name.startswith("durable")]
    newest = max((sequence + count - 1 for path in paths for _, count, sequence in groups(path) if count), default=0)
    settled = 0
    for path in paths:
        with open(path, "rb") as f:
            settled = max(settled, struct.unpack_from(">Q", f.read(48), 40)[0])
    return 0 < newest <= settled


def live_group(data, root="journal-0"):
    """(file, position) of a group with entries of the newest life, in the middle."""
    found = [(sequence, f"{root}/{name}", at) for name in sorted(os.listdir(f"{data}/{root}"))
             if name.startswith("durable") for at, count, sequence in groups(f"{data}/{root}/{name}") if count]
    check(len(found) > 1, f"{root} holds {len(found)} groups only")
    return sorted(found)[-2][1:]


# --- originals ------------------------------------------------------------------------------------


class Original:
    """A data directory with everything in it, and what was acknowledged."""

    def __init__(self, name, ending):
        self.name, self.bulk = name, Bulk(32 << 10)
        leatd = Leatd(f"{SCRATCH}/{name}", *SETTINGS).start()
        client = Client(leatd.port)
        client.create("t", 2)
        client.create("memory", 1, durability="memory")
        for number in range(60):  # so that the metadata log is longer than the block in its checkpoint
            client.create(f"other-{number}", 1)
        self.send(client, 180)
        leatd.stop()
        leatd.start()
        client = Client(leatd.port)
        self.send(client, 30)
        if ending == signal.SIGKILL:
            wait_until("a mark of all that is in the journal", lambda: marked(leatd.data))
            leatd.kill()
        else:
            leatd.stop()
        self.data = leatd.data

    def send(self, client, count):
        for _ in range(count):
            for place in PLACES:
                check(self.bulk.send(client, *place) == NO_ERROR, "an append is refused")

    def copy(self):
        leatd = Leatd(f"{SCRATCH}/case-{next(numbers)}", *SETTINGS)
        made.paths = getattr(made, "paths", []) + [leatd.data]
        status, said = run_quietly("cp", "-a", "--sparse=always", self.data, leatd.data)
        check(status == 0, f"cp: {said}")
        return leatd

    def compare(self, leatd, places=None):
        client = Client(leatd.port)
        self.bulk.compare_all(client, places or PLACES)
        client.close()

    def files(self):
        for base, _, names in sorted(os.walk(self.data)):
            for name in sorted(names):
                yield os.path.relpath(os.path.join(base, name), self.data)


def same(one, other, path):
    try:
        with open(f"{one}/{path}", "rb") as a, open(f"{other}/{path}", "rb") as b:
            return a.read() == b.read()
    except FileNotFoundError:
        return False


def contents(data):
    """Of what holds records. The metadata begins an epoch before the logs are looked at."""
    found = {}
    for top in ("topics", "journal-0"):
        for base, _, names in os.walk(f"{data}/{top}"):
            for name in names:
                path = os.path.join(base, name)
                with open(path, "rb") as f:
                    found[path] = hashlib.sha1(f.read()).digest()
    return found


LEAT = f"{BUILD}/bin/leat"


def verified(data):
    """What `leat log verify` says: its damages, each as "file at position N: what"."""
    before = contents(data)
    done = subprocess.run([LEAT, "log", "verify", data, "--output", "json"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    check(done.returncode in (0, 1) and done.stdout, f"log verify: {done.returncode}: {done.stderr}")
    said = json.loads(done.stdout)
    check(contents(data) == before, "log verify has changed something")
    damages = [f"{f['file']} at position {f['position']}: {f['what']}" for f in said["findings"]
               if f["severity"] == "damage"]
    check(said["ok"] == (not damages) == (done.returncode == 0), f"log verify: {done.returncode}: {said}")
    return damages


def dumped(path, *more):
    """What `leat log dump` shows of a file or of all files: one object for each thing."""
    done = subprocess.run([LEAT, "log", "dump", path, "--output", "json", *more], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    check(done.returncode == 0, f"log dump {path}: {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def verify_names(data, what, *names):
    damages = verified(data)
    check(any(all(name in damage for name in names) for damage in damages),
          f"{what}: log verify does not name {names}: {damages}")


failures = []
numbers = itertools.count()
made = threading.local()  # paths: the copies of the case that this thread is at
pool = concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE)


def counted(function):
    """Cases wait for the disk most of the time, so a few go side by side, and one that fails stops no other."""
    def case(original, what, *places, **more):
        made.paths = []
        try:
            function(original, what, *places, **more)
            for path in made.paths:
                shutil.rmtree(path)
            print(f"ok: {original.name}, {what}", flush=True)
        except BaseException as error:  # told at the end
            failures.append(f"{original.name}, {what}: {error!r}")
            print(failures[-1][:1500], flush=True)

    return lambda *places, **more: pool.submit(case, *places, **more)


# --- the outcomes ---------------------------------------------------------------------------------


@counted
def heals(original, what, damage, places=None, quiet=False):
    leatd = original.copy()
    damage(leatd.data)
    damages = verified(leatd.data)
    check(not damages, f"{what}: log verify takes it for damage: {damages}")
    leatd.start()
    original.compare(leatd, places)
    check(not quiet or "level=error" not in leatd.said(), f"{what}: not silent:\n{leatd.said()}")
    leatd.stop()
    leatd.start()  # healed for good
    original.compare(leatd, places)
    leatd.kill()


@counted
def refused(original, what, damage, names, status=DAMAGE, accepted=True):
    """`accepted`: --accept-loss goes on and the topics that do not suffer are served."""
    leatd = original.copy()
    damage(leatd.data)
    touched = [path for path in original.files() if not same(original.data, leatd.data, path)]
    before = contents(leatd.data)
    verify_names(leatd.data, what, *[name for name in names if name not in (COPY, COPY_ALL, "at offset 0")])
    got, said = leatd.refused()
    check(got == status, f"{what}: status {got}, not {status}:\n{said}")
    decides = ["--accept-loss"] if status == DAMAGE and not {COPY, COPY_ALL} & set(names) else []
    for name in list(names) + decides:
        check(name in said, f"{what}: {name!r} is not named:\n{said}")
    now = contents(leatd.data)
    changed = [p for p in set(before) | set(now) if before.get(p) != now.get(p)]
    check(not changed, f"{what}: a refused start has changed {changed}")
    for path in touched:  # put back: the refused start has broken nothing
        os.makedirs(os.path.dirname(f"{leatd.data}/{path}"), exist_ok=True)
        shutil.copyfile(f"{original.data}/{path}", f"{leatd.data}/{path}")
    leatd.start()
    original.compare(leatd)
    leatd.kill()
    if accepted:
        leatd = original.copy()
        damage(leatd.data)
        leatd.start("--accept-loss")
        client, bulk = Client(leatd.port), Bulk(1000)
        client.create("new", 1)
        check(bulk.send(client, "new") == NO_ERROR, f"{what}: nothing can be appended")
        leatd.stop()
        leatd.start()
        bulk.compare(Client(leatd.port), ("new", 0))
        leatd.kill()


@counted
def undecided(original, what, damage):
    """--accept-loss does not go on and changes nothing: all would be lost."""
    leatd = original.copy()
    damage(leatd.data)
    before = contents(leatd.data)
    got, said = leatd.refused("--accept-loss")
    check(got == DAMAGE and COPY in said, f"{what}: status {got}:\n{said}")
    check(contents(leatd.data) == before, f"{what}: something was changed")


@counted
def told(original, what, damage, bases, *said):
    """The batches at `bases` are errors of the reads that meet them; at least one is; all others are served."""
    leatd = original.copy()
    damage(leatd.data)
    verify_names(leatd.data, what, *said)
    leatd.start()
    client = Client(leatd.port)
    errors = set()
    for base, kind in original.bulk.acked["t", 0].items():
        error, _, records = client.fetch("t", 0, base, most=1)
        if error:
            check(error == CORRUPT_MESSAGE and base in bases, f"{what}: error {error} at {base}")
            errors.add(base)
            continue
        found = next(split(records), None)
        check(found and found[0] == base
              and unstamped(found[2]) == unstamped(original.bulk.batches[kind]),
              f"{what}: another batch, or none, is served at {base}")
    check(errors and len(errors) >= len(bases) - 5, f"{what}: errors at {sorted(errors)}, not at {bases}")
    original.compare(leatd, [("t", 1), ("memory", 0)])
    for words in said:
        check(words in leatd.said(), f"{what}: {words!r} is not told:\n{leatd.said()[-3000:]}")
    leatd.stop()


# --- each kind of file ----------------------------------------------------------------------------


def flips(*places):
    return lambda data: [flip(f"{data}/{path}", position) for path, position in places]


def removes(*paths):
    return lambda data: [os.unlink(f"{data}/{path}") for path in paths]


def sets_aside(*directories):
    def damage(data):
        for path in directories:
            shutil.move(f"{data}/{path}", f"{data}/meta/aside/{path}")

    return damage


def writes(path, data_of):
    return lambda data: rewrite(f"{data}/{path}", data_of)


def copies(origin, path):
    return lambda data: shutil.copyfile(f"{data}/{origin}", f"{data}/{path}")


def cuts(path, size):
    return lambda data: os.truncate(f"{data}/{path}", size)


def journals(clean, killed):
    path, at = live_group(killed.data)
    refused(killed, "a bit in the journal below the mark", flips((path, at + 300)),
            [path, f"position {at}"])
    refused(killed, "a journal file is gone", removes(path), ["journal-0"])
    refused(killed, "a journal file is cut below the mark", cuts(path, at), ["journal-0"])
    heals(killed, "a bit in the first block of a journal file", flips((path, 20)))
    heals(clean, "a bit in a journal that has nothing to replay", flips((live_group(clean.data)[0], 4396)))
    heals(killed, "a bit in the journal of memory topics", flips(("journal-0/memory-0000", 200000)),
          FSYNC_PLACES)


def checkpoints(clean, killed):
    copies = ["journal-0/checkpoint-0", "journal-0/checkpoint-1"]
    for original in (clean, killed):
        for copy in copies:
            heals(original, f"a bit in {copy}", flips((copy, 100)))
        refused(original, "both copies of the checkpoint", flips((copies[0], 100), (copies[1], 200)),
                ["journal-0/checkpoint-0"])
        refused(original, "both copies of the checkpoint are gone", removes(*copies), ["journal-0"],
                accepted=False)


def segments(clean, killed):
    bases = sorted(clean.bulk.acked["t", 0])
    size = len(clean.bulk.batches[0])
    second = sorted(int(os.path.basename(path)[:20]) for path in clean.files()
                    if path.startswith("topics/t-0/") and path.endswith(".log"))[1]
    for original in (clean, killed):
        told(original, "a bit in a segment", flips((f"{SEGMENT}.log", 3 * size + 500)),
             [3 * 8], f"{SEGMENT}.log at position {3 * size}")
        only_verified(original, "a bit in a leader epoch", flips((f"{SEGMENT}.log", 3 * size + 15)),
                      f"{SEGMENT}.log at position {3 * size}")
        sealed = [base for base in bases if base < second]
        told(original, "a sealed segment is gone", removes(f"{SEGMENT}.log"), sealed, f"{SEGMENT}.log")
        told(original, "a sealed segment is cut", cuts(f"{SEGMENT}.log", 5 * size), sealed[5:],
             f"{SEGMENT}.log")
    newest = max(path for path in clean.files() if path.startswith("topics/t-0/") and path.endswith(".log"))
    refused(clean, "the newest segment is cut", cuts(newest, size), [newest])
    check(bases[0] == 0, "the log begins at 0")


@counted
def only_verified(original, what, damage, *names):
    """What nobody meets before somebody reads that place."""
    leatd = original.copy()
    damage(leatd.data)
    verify_names(leatd.data, what, *names)


def resealed(path, position, number):
    """Writes a number of 4 bytes, and makes the file's own checksum right again."""
    def damage(data):
        with open(f"{data}/{path}", "r+b") as f:
            was = bytearray(f.read())
            count = struct.unpack_from(">I", was, 48)[0] if path.endswith(".index") else 0
            end = 56 + 20 * count if count else 40 + 4 * -(-struct.unpack_from(">I", was, 36)[0] // 65536)
            struct.pack_into(">I", was, position, number)
            struct.pack_into(">I", was, 4, crc32c(bytes(was[8:end])))
            f.seek(0)
            f.write(was)

    return damage


def caches(clean):
    only_verified(clean, "an entry of an index points elsewhere", resealed(SEGMENT + ".index", 76 + 8, 4711),
                  SEGMENT + ".index", "entry 1", "position 4711")
    only_verified(clean, "a sum of a segment is another", resealed(SEGMENT + ".sums", 44, 4711),
                  f"{SEGMENT}.log at position 65536", "not those that were sealed")
    for end in (".index", ".sums"):
        path = SEGMENT + end
        heals(clean, f"a bit in {end}", flips((path, 60)), quiet=True)
        heals(clean, f"{end} is gone", removes(path), quiet=True)
        heals(clean, f"{end} is empty", cuts(path, 0), quiet=True)
        other = [p for p in clean.files() if p.endswith(end) and p.startswith("topics/t-1")][0]
        heals(clean, f"{end} of another segment",
              copies(other, path), quiet=True)


@counted
def shown(original, what):
    """A dump shows every kind of thing, and the batches of a partition one behind the other."""
    items = dumped(original.data)
    kinds = {item["item"] for item in items}
    wanted = {"file", "line", "partition", "checkpoint", "log", "journal", "group", "entry", "batch", "index",
              "index-entry", "sums", "sum", "vote", "unused"}
    check(wanted <= kinds, f"{what}: no {wanted - kinds}")
    wrong = [item for item in items
             if "wrong" in item and item["item"] != "rest" and "in the checkpoint" not in item["wrong"]]
    check(not wrong, f"{what}: {wrong[:3]}")
    acked = sorted(original.bulk.acked["t", 0])
    items = dumped(f"{original.data}/topics/t-0")
    batches = [item for item in items if item["item"] == "batch" and "wrong" not in item]
    bases, newer = [batch["offset"] for batch in batches], [item for item in items if item["item"] == "newer"]
    check(bases == acked[:len(bases)] and len(bases) > 100, f"{what}: batches at {bases}")
    if original.name == "clean":  # the checkpoint holds the end
        check(bases == acked and not newer, f"{what}: batches at {bases}, {newer}")
        check(batches[-1]["from"].startswith("journal-0/checkpoint-"), f"{what}: {batches[-1]}")
    else:  # the journal does
        check(newer and "journal" in newer[-1]["note"], f"{what}: nothing says that newer batches are elsewhere")
    alone = f"{SCRATCH}/alone-{original.name}"
    shutil.copytree(f"{original.data}/topics/t-0", alone)
    items = dumped(alone)
    bases = [item["offset"] for item in items if item["item"] == "batch" and "wrong" not in item]
    check(bases == acked[:len(bases)] and len(bases) > 100, f"{what}: a partition without its root: {bases}")
    newer = [item["note"] for item in items if item["item"] == "newer"]
    check(len(newer) == 1 and "no checkpoint is at hand" in newer[0], f"{what}: a partition without its root: {newer}")
    records = [item for item in dumped(f"{original.data}/{SEGMENT}.log", "--records") if item["item"] == "record"]
    check([r["offset"] for r in records] == list(range(len(records))), f"{what}: {records[:9]}")
    kind = original.bulk.acked["t", 0][8]
    check(records[9]["value"].startswith(f"{kind}-1-"), f"{what}: {records[9]['value'][:20]}")


def directories(clean):
    refused(clean, "a bit in the partition file", flips(("topics/t-0/partition", 20)), ["topics/t-0"])
    refused(clean, "the partition file is gone", removes("topics/t-0/partition"), ["topics/t-0"])
    other = "leat data directory, format 999\n"
    for what, text_of in (("garbage", b"\0garbage"), ("another version", other.encode()), ("nothing", b"")):
        refused(clean, f"the format file holds {what}",
                writes("format", text_of), ["format"], NOT_OURS, accepted=False)
    refused(clean, "the format file is gone", removes("format"), ["format"], NOT_OURS, accepted=False)
    for what, text_of in (("garbage", b"\0\1\2"), ("nothing", b"")):
        heals(clean, f"the clean-shutdown mark holds {what}",
              writes("clean-shutdown", text_of))
    heals(clean, "the clean-shutdown mark is gone", removes("clean-shutdown"))
    heals(clean, "the lock holds garbage", writes("lock", b"\0\1\2"))
    heals(clean, "the lock is gone", removes("lock"))
    leatd = clean.copy()
    leatd.start()
    status, said = Leatd(leatd.data, *SETTINGS, backend="epoll").refused()
    check(status == BUSY and "in use" in said, f"a second leatd: status {status}\n{said}")
    status, said = run_quietly(LEAT, "log", "verify", leatd.data)
    check(status == 1 and "in use" in said, f"log verify beside a leatd: status {status}\n{said}")
    status, said = run_quietly(LEAT, "log", "verify", leatd.data, "--force-read")
    check(status == 0, f"log verify --force-read beside an idle leatd: status {status}\n{said}")
    clean.compare(leatd)
    leatd.stop()
    print("ok: a directory in use is refused", flush=True)


def metadata(clean, killed):
    vote, log = "meta/vote", "meta/topics/__cluster_metadata-0/" + "0" * 20 + ".log"
    for original in (clean, killed):
        heals(original, "a bit in one copy of the vote", flips((vote, 50)))
        heals(original, "a bit in the other copy of the vote", flips((vote, 4096 + 50)))
        refused(original, "both copies of the vote", flips((vote, 50), (vote, 4096 + 50)), ["vote"])
        refused(original, "the vote is gone", removes(vote), ["vote"], accepted=False)
        for what, damage in (("a bit in", flips(("meta/meta.properties", 30))),
                             ("nothing in", cuts("meta/meta.properties", 0))):
            refused(original, f"{what} meta.properties", damage, ["meta.properties", COPY], accepted=False)
        refused(original, "meta.properties is gone", removes("meta/meta.properties"),
                ["meta.properties", COPY], accepted=False)
        copies = [("meta/journal-0/checkpoint-0", 100), ("meta/journal-0/checkpoint-1", 200)]
        for copy in copies:
            heals(original, f"a bit in {copy[0]}", flips(copy))
        for what, damage in (("damaged", flips(*copies)), ("gone", removes(*(path for path, _ in copies)))):
            refused(original, f"both copies of the metadata's checkpoint are {what}", damage,
                    ["meta/journal-0/checkpoint-0", COPY], accepted=False)
            undecided(original, f"the same, {what}, with --accept-loss", damage)
    path, at = live_group(killed.data, "meta/journal-0")
    refused(killed, "a bit in the metadata's journal", flips((path, at + 60)), [path, f"position {at}"],
            accepted=False)
    refused(clean, "a bit in the metadata log", flips((log, 100)),
            [f"{log} at position 0", "at offset 0", COPY], accepted=False)
    refused(clean, "the metadata log is gone", removes(log), [log], accepted=False)
    for original in (clean, killed):
        refused(original, "the metadata log and its journal are set aside",
                sets_aside("meta/topics", "meta/journal-0"), ["metadata log", "founded", COPY_ALL], accepted=False)
        refused(original, "the metadata log is set aside", sets_aside("meta/topics"), ["meta/topics"],
                accepted=False)


# --- the sweep ------------------------------------------------------------------------------------


def harm(path, source):
    """Damages one file. Returns what was done."""
    size = os.path.getsize(path)
    kinds = ("flip", "flip", "flip", "zero", "block", "cut", "empty", "gone")
    kind = source.choice(kinds)
    if kind in ("flip", "zero", "block", "cut") and size == 0:
        kind = "gone"
    at = source.randrange(size) if size else 0
    if kind == "flip":
        flip(path, at)
    elif kind in ("zero", "block"):
        with open(path, "r+b") as f:
            f.seek(at // 4096 * 4096)
            room = min(4096, size - at // 4096 * 4096)
            f.write(bytes(room) if kind == "zero" else source.randbytes(room))
    elif kind == "cut":
        os.truncate(path, at)
    elif kind == "empty":
        os.truncate(path, 0)
    else:
        os.unlink(path)
    return f"{kind} at {at} of {size}"


def served_or_told(original, leatd, what):
    """All that was acknowledged is served as it was, or its read is an error: how many are."""
    client = Client(leatd.port)
    errors = 0
    for place in FSYNC_PLACES:
        for base, kind in original.bulk.acked[place].items():
            error, _, records = client.fetch(*place, base, most=1)
            if error == CORRUPT_MESSAGE:
                errors += 1
                continue
            check(error == NO_ERROR, f"{what}: {place} at {base}: error {error}")
            found = next(split(records), None)
            check(found, f"{what}: {place} at {base} is gone in silence\n{leatd.said()}")
            check(found[0] == base and unstamped(found[2]) == unstamped(original.bulk.batches[kind]),
                  f"{what}: {place} at {base} is another batch")
    client.close()
    return errors


@counted
def swept(original, what, path, source):
    leatd = original.copy()
    what = harm(f"{leatd.data}/{path}", source)
    damages = verified(leatd.data)
    if os.path.exists(f"{leatd.data}/{path}") and "lock" not in path:
        dumped(f"{leatd.data}/{path}")
    leatd.launch()
    wait_until(what, lambda: "ready:" in leatd.said() or leatd.process.poll() is not None)
    status = leatd.process.poll()
    if status is None:
        leatd.port = int(re.search(r"ready: 127\.0\.0\.1:(\d+)", leatd.said()).group(1))
        errors = served_or_told(original, leatd, what)
        unread = any("memory-0" in damage for damage in damages)  # is not compared
        check(bool(errors) == bool(damages) or (unread and not errors),
              f"{what}: {errors} reads failed, and log verify said {damages}")
        leatd.stop()
    else:
        said = leatd.said()
        check(damages, f"{what}: log verify said nothing, the start: {said}")
        check(status in (DAMAGE, NOT_OURS), f"{what}: status {status}\n{said}")
        named = os.path.basename(path) in said or os.path.dirname(path) in said
        check(named and (status == NOT_OURS or "--accept-loss" in said or "estore" in said),
              f"{what}: the sentence does not say enough:\n{said}")


def compacted():
    """Segments that compaction has written are found by their names, and damage in them is told."""
    leatd = Leatd(f"{SCRATCH}/compacted", "log.cleaner.backoff.ms=100ms").start()
    client = Client(leatd.port)
    client.create("c", 1, **{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": "1048576"})
    lines = "".join(f"{number % 500}:{number}-{'x' * 100}\n" for number in range(30000))
    status = subprocess.run([LEAT, "-b", f"127.0.0.1:{leatd.port}", "produce", "c", "-K:", "-q"], input=lines, text=True).returncode
    check(status == 0, f"produce: {status}")

    def last():
        """The newest REPLACE of the journal."""
        found = [item for file in sorted(os.listdir(f"{leatd.data}/journal-0")) if file.startswith("durable")
                 for item in dumped(f"{leatd.data}/journal-0/{file}") if item.get("kind") == "replace"]
        return max(found, key=lambda item: item["sequence"], default=None)

    def all_clean():
        newest = max(int(name[:20]) for name in os.listdir(f"{leatd.data}/topics/c-0") if name.endswith(".log"))
        return newest > 0 and last() and last()["clean"] == newest and last()["position"] > 10000

    wait_until("all closed segments are compacted", all_clean)
    leatd.kill()
    size, name = last()["position"], f"topics/c-0/{last()['segment']:020}-{last()['generation']}.log"
    check(not verified(leatd.data), f"compacted: {verified(leatd.data)}")
    flip(f"{leatd.data}/{name}", size - 1)
    verify_names(leatd.data, "a bit in a compacted segment", name)
    os.unlink(f"{leatd.data}/{name}")
    verify_names(leatd.data, "a compacted segment is gone", name, "it is missing")
    print("ok: compacted segments", flush=True)


compacted()
clean = Original("clean", signal.SIGTERM)
killed = Original("killed", signal.SIGKILL)
journals(clean, killed)
checkpoints(clean, killed)
segments(clean, killed)
caches(clean)
shown(clean, "a dump of a directory that was stopped")
shown(killed, "a dump of a directory that was killed")
directories(clean)
metadata(clean, killed)
for number in range(arguments.sweeps):
    for whole in (clean, killed):
        for name in whole.files():
            seed = f"{arguments.seed}-{number}-{whole.name}-{name}"
            swept(whole, f"sweep {number}, {name}", name, random.Random(seed))
pool.shutdown()
print(f"seed {arguments.seed}: {next(numbers)} damaged directories")
if failures:
    fail(f"{len(failures)} cases, the first: {failures[0]}")
