#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real file system that is full: producing is refused with a retriable error before the last bytes go,
reading and deleting go on, nothing is lost, and it recovers by itself. Needs a small tmpfs, so the right
to mount.
"""
import os
import signal
import subprocess
import sys
import time

from node import DELETE_TOPICS, Node, SCRATCH, Template, produce_answer, skip, text
import struct

SIZE_MIB, RESERVE_MIB = 192, 48
KAFKA_STORAGE_ERROR = 56


def expect(what, condition, more=""):
    if not condition:
        sys.exit(f"{what}: {more}")


def free_mib(path):
    s = os.statvfs(path)
    return s.f_bavail * s.f_frsize >> 20


def fill(link, topic, template, next_id, told, limit):
    """Produces until it is refused or `limit` batches are in."""
    for number in range(next_id, next_id + limit):
        link.produce(topic, 0, template.batch(number))
        error, base = produce_answer(link.answers(60)[0])
        if error:
            return error, number
        told.append((base, number))
    return 0, next_id + limit


def check(node, topic, told):
    link = node.link()
    found = [(base, number) for base, _, number, _ in link.read(topic, 0, 0)]
    link.close()
    expect(f"{topic} is not what was told", found == told, f"{len(found)} batches, told {len(told)}")


def delete_topic(node, topic):
    link = node.link()
    answer = link.ask(DELETE_TOPICS, 1, struct.pack(">i", 1) + text(topic) + struct.pack(">i", 30000))
    (error,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic))
    expect(f"{topic} cannot be deleted", error == 0, error)
    link.close()


def run(mount):
    node = Node("full/data", "--set", f"disk.reserve.bytes={RESERVE_MIB}MiB", "--set", "journal.bytes.max=16MiB")
    node.log = f"{SCRATCH}/full.log"
    node.started()
    for topic in ("keep", "ballast"):
        node.create(topic, 1)
    template = Template(1, 200000)
    told = {"keep": [], "ballast": []}
    link = node.link()
    error, next_id = fill(link, "ballast", template, 0, told["ballast"], 200)
    expect("40 MB do not fit", error == 0, error)
    error, next_id = fill(link, "keep", template, next_id, told["keep"], 5000)
    expect("a full disk is not noticed", error != 0)
    expect("the error is not KAFKA_STORAGE_ERROR", error == KAFKA_STORAGE_ERROR, error)
    left = free_mib(mount)
    expect("the reserve was used", left >= RESERVE_MIB - 20, f"{left} MiB are left")
    expect("leatd has ended", node.process.poll() is None)
    check(node, "keep", told["keep"])
    check(node, "ballast", told["ballast"])
    node.end(signal.SIGKILL)
    node.started() # on a full disk
    check(node, "keep", told["keep"])
    link = node.link()
    error, _ = fill(link, "keep", template, next_id, told["keep"], 500)
    expect("after a restart it is not refused", error == KAFKA_STORAGE_ERROR, error)
    delete_topic(node, "ballast")
    limit = time.monotonic() + 20
    error = KAFKA_STORAGE_ERROR
    while error and time.monotonic() < limit:
        next_id += 1000
        error, next_id = fill(link, "keep", template, next_id, told["keep"], 20)
        if error:
            time.sleep(0.2) # as a client waits before it tries again
    expect("it does not recover by itself", error == 0, error)
    check(node, "keep", told["keep"])
    node.end(signal.SIGKILL)
    node.started()
    check(node, "keep", told["keep"])
    expect("it does not stop", node.end(signal.SIGTERM) == 0)
    print(f"refused with {left} MiB left of {SIZE_MIB} (reserve {RESERVE_MIB}); {len(told['keep'])} batches kept")


mount_point = f"{SCRATCH}/full"
os.makedirs(mount_point, exist_ok=True)
made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", mount_point],
                      capture_output=True, check=False)
if made.returncode != 0:
    skip(f"no small file system can be mounted: {made.stderr.decode().strip()}")
try:
    run(mount_point)
finally:
    subprocess.run(["umount", "-l", mount_point], check=False)
