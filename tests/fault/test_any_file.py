#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""Any file of one of three nodes is damaged while that node is away, whatever it is: a bit, a block of zeros, a block of another place, an
end that is missing. The node starts again and mends it, for the others have what is missing; or, if the file is of its part of the metadata
quorum, or says whose directory it is, names it and ends with status 74, and joins anew when its directory is taken away. Nothing that was acknowledged is missing or altered, and in the end all replicas are the same.

    tests/fault/test_any_file.py [--seed N] [--trials N]
"""
import argparse
import collections
import random

from cluster import *

DAMAGE, NOT_OURS, TOPICS, BLOCK = 74, 78, ("durable", "memory"), 4096
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
parser.add_argument("--trials", type=int, default=12)
arguments = parser.parse_args()
print("seed", arguments.seed, flush=True)
random.seed(arguments.seed)
cluster = Cluster("any-file", "log.segment.bytes=1MiB", "message.max.bytes=64KiB", "log.scrub.interval.ms=2s")
published = {topic: [] for topic in TOPICS}
came_of = collections.Counter()


def publish(count):
    for topic, written in published.items():
        lines = [f"{len(written) + n} " + "x" * random.randrange(200, 1800) for n in range(count)]
        cluster.does("produce", topic, "-X", "batch.size=16384", text="".join(line + "\n" for line in lines))
        written.extend(lines)


def check_all():
    for topic, written in published.items():
        read = cluster.does("consume", topic, "-o", "beginning", "-e", "-f", "%v\n").splitlines()
        check(read == written, f"{topic}: a consumer has read something else than was acknowledged")


# --- damage ---------------------------------------------------------------------------------------


def bit(data, at):
    data[at] ^= 1 << random.randrange(8)


def zeros(data, at):
    at -= at % BLOCK
    end = min(at + BLOCK, len(data))
    data[at:end] = bytes(end - at)


def misplaced(data, at):
    """As a write that went elsewhere in its file."""
    at -= at % BLOCK
    end = min(at + BLOCK, len(data))
    other = random.randrange(len(data)) // BLOCK * BLOCK
    piece = data[other:other + end - at]
    data[at:at + len(piece)] = piece


def shorter(data, at):
    del data[at:]


KINDS = (bit, zeros, misplaced, shorter)


def damage(path, kind):
    """Where there is something: files that are allocated ahead are zero behind their data."""
    data = bytearray(path.read_bytes())
    before = bytes(data)
    kind(data, random.randrange(len(before.rstrip(b"\0")) or len(data)))
    path.write_bytes(data)
    return data != before


def files(node):
    """Kinds of files are equally likely, however many there are of one."""
    kinds = collections.defaultdict(list)
    for path in sorted(Path(node.data).rglob("*")):
        if path.is_file() and path.stat().st_size > 0 and path.name != "lock":
            inside = path.relative_to(node.data)
            kinds[inside.parts[0], path.suffix or path.name.partition("-")[0]].append(path)
    return kinds


# --- trials ---------------------------------------------------------------------------------------


def start_again(node):
    """What became of it."""
    node.launch()
    wait_until("it serves, or has ended", lambda: "ready:" in node.said() or node.process.poll() is not None, 60)
    status = node.process.poll()
    if status is None:
        return "mends itself" if "comes back from them" in node.said() else "starts"
    check(status in (DAMAGE, NOT_OURS), f"status {status}: {node.said()[-1500:]}")
    return "refused"


def trial(number):
    victim = random.choice(NODES)
    node = cluster.nodes[victim]
    how = random.choice((node.stop, node.kill))
    publish(random.randrange(1, 60))
    how()
    kinds = files(node)
    of = random.choice(sorted(kinds))
    path, kind = random.choice(kinds[of]), random.choice(KINDS)
    inside = path.relative_to(node.data)
    changed = damage(path, kind)
    publish(random.randrange(1, 60))
    came = start_again(node)
    print(f"{number}: {how.__name__} of node {victim}, {kind.__name__} in {inside}"
          f"{'' if changed else ' (as it was)'}: {came}", flush=True)
    came_of[" ".join(of), came] += 1
    of_quorum = of[0] in ("meta", "format")
    if came == "refused":
        check(str(Path(node.data) / inside.parts[0]) in node.said(), f"{inside} is not named: {node.said()[-1500:]}")
        check(of_quorum, f"the others have it: {node.said()[-1500:]}")
        check(of[0] == "format" or f"leat cluster add {victim}" in node.said(), f"no way out: {node.said()[-1500:]}")
        shutil.rmtree(node.data)
        node.launch()
    wait_until("all are in sync again", lambda: cluster.in_sync(*TOPICS), 90)
    if came == "refused":
        cluster.does("cluster", "remove", str(victim))  # the vote of the directory that is gone
        cluster.does("cluster", "add", str(victim))
    check_all()


cluster.launch()
for topic in TOPICS:
    cluster.does("topic", "create", topic, "--partitions", "1", "--replicas", "3", "--topic-config", "min.insync.replicas=2",
                 "--topic-config", f"durability={'fsync' if topic == 'durable' else topic}")
publish(600)
wait_until("all are in sync", lambda: cluster.in_sync(*TOPICS), 60)
for number in range(arguments.trials):
    trial(number)


def mended():
    return sum(Path(node.log).read_text(errors="replace").count(" are whole again") for node in cluster.nodes.values())


cluster.stop()
while found := [differing for topic in TOPICS if (differing := cluster.differ(topic, 1))]:
    before = mended()  # there is damage that nothing has read yet: the scrub finds it
    cluster.launch()
    wait_until(f"it is mended that {found}", lambda: mended() > before, 60)
    wait_until("all are in sync again", lambda: cluster.in_sync(*TOPICS), 60)
    cluster.stop()
for (of, came), count in sorted(came_of.items()):
    print(f"{of}: {came} {count}")
print("all replicas are the same")
