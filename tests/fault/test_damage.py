#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A bit flips, a file is gone, in the data of a broker that was stopped or killed: the start refuses with
status 74 and names the file, changes nothing, goes on with --accept-loss; put back, everything is there.
In a segment it is told when it is read, and all else is served.
"""
import os
import shutil
import signal
import sys

from node import Node, SCRATCH, Template, produce_answer

BATCHES = 400


def fill(node, topic):
    link = node.link()
    template = Template(2, 500)
    for number in range(BATCHES):
        link.produce(topic, 0, template.batch(number))
        assert produce_answer(link.answers(30)[0])[0] == 0
    link.close()


def read(node, topic):
    link = node.link()
    found = list(link.read(topic, 0, 0))
    link.close()
    return [number for _, _, number, _ in found]


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x10]))


def files(node):
    return sorted((os.path.relpath(os.path.join(base, name), node.data), os.path.getsize(os.path.join(base, name)))
                  for base, _, names in os.walk(node.data) for name in names if "/journal-" not in base)


def expect(what, condition, more=""):
    if not condition:
        sys.exit(f"{what}: {more}")


def refuses(node, what, names):
    before = files(node)
    for _ in range(2):
        expect(f"{what}: it starts", not node.start())
        expect(f"{what}: status 74 is expected", node.status == 74, f"{node.status}\n{node.said}")
        for name in names + ["--accept-loss"]:
            expect(f"{what}: {name} is not named", name in node.said, node.said)
    now = files(node)
    gone = [f for f in before if f not in now and f[0] not in ("clean-shutdown", "lock")]
    expect(f"{what}: files have changed", not gone, gone)


def case(origin, what, damage, restore, names):
    """`damage(data)` on a copy of a stopped or killed broker's data, then the way out and the way back."""
    node = Node("case")
    shutil.rmtree(node.data, ignore_errors=True)
    shutil.copytree(origin.data, node.data)
    damage(node.data)
    refuses(node, what, names)
    if restore:
        restore(node.data)
        node.started()
        expect(f"{what}: put back, not all is there", read(node, "t") == list(range(BATCHES)))
        node.end()
        damage(node.data)
        refuses(node, what, names)
    node.started("--accept-loss")
    expect(f"{what}: another topic suffers", read(node, "other") in ([], list(range(BATCHES))))
    fill(node, "t")
    node.end(signal.SIGTERM)
    node.started()
    expect(f"{what}: nothing stands after going on", read(node, "t")[-BATCHES:] == list(range(BATCHES)))
    node.end()
    print(f"ok: {what}")


def journal_case(killed):
    def damage(data):
        with open(f"{data}/journal-0/durable-0000", "rb") as file:
            expect("the journal holds no group", file.read(4100)[4096:] == b"LGR1")
        flip(f"{data}/journal-0/durable-0000", 4096 + 300)

    case(killed, "a bit in the journal below the mark", damage,
         None, ["journal-0/durable-0000", "at position 4096"])


def segment_is_told(stopped):
    node = Node("case")
    shutil.rmtree(node.data, ignore_errors=True)
    shutil.copytree(stopped.data, node.data)
    path = f"{node.data}/topics/t-0/00000000000000000000.log"
    size = Template(2, 500).size
    flip(path, 100 * size + 200)
    node.started()
    link = node.link()
    found = []
    try:
        for base, _, number, _ in link.read("t", 0, 0):
            found.append(number)
        sys.exit("a damaged batch is served")
    except OSError as e:
        expect("what stands before the damage is not served", found == list(range(100)), len(found))
        expect("another error than CORRUPT_MESSAGE", e.errno == 2, e)
    expect("what stands behind the damage is not served",
           [n for _, _, n, _ in link.read("t", 0, 202)] == list(range(101, BATCHES)))
    link.close()
    node.end(signal.SIGTERM)
    with open(node.log, encoding="utf-8") as log:
        said = log.read()
    expect("file and position are not told", f"00000000000000000000.log at position {100 * size}" in said, said[-2000:])
    print("ok: a bit in a segment")


def prepare(name, ending):
    node = Node(name).started()
    node.create("t", 1)
    node.create("other", 1)
    if ending == signal.SIGKILL:
        node.end(signal.SIGTERM)
        node.started()
    fill(node, "t")
    fill(node, "other")
    node.end(ending)
    return node


def remove(path):
    def damage(data):
        os.rename(f"{data}/{path}", f"{data}/../removed")
    return damage


def put_back(path):
    def restore(data):
        os.rename(f"{data}/../removed", f"{data}/{path}")
    return restore


def both(data):
    flip(f"{data}/journal-0/checkpoint-0", 100)
    flip(f"{data}/journal-0/checkpoint-1", 300)


os.chdir(SCRATCH if os.path.isabs(os.environ.get("BUILD", "build")) else ".")
clean = prepare("stopped", signal.SIGTERM)
dirty = prepare("killed", signal.SIGKILL)
case(clean, "both copies of the checkpoint", both, both, ["journal-0/checkpoint-0 and -1"])
PARTITION = "topics/t-0/partition"
case(clean, "the partition file", lambda d: flip(f"{d}/{PARTITION}", 20), lambda d: flip(f"{d}/{PARTITION}", 20),
     ["topics/t-0"])
SEGMENT = "topics/t-0/00000000000000000000.log"
case(clean, "a missing segment", remove(SEGMENT), put_back(SEGMENT), [SEGMENT])
journal_case(dirty)
segment_is_told(clean)
