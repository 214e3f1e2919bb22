#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A full disk, for real: a small ext4 image behind a loop device, and a small tmpfs.

Produce is refused with a retriable error while the reserve is still free; consuming, metadata, deletion,
DeleteRecords and retention go on and give space back; appends then go on by themselves. A kill and a clean
stop on the full disk are followed by a start on the full disk. The same when somebody else eats the reserve.
At every step everything acknowledged is compared.

    tests/fault/test_disk_full.py [--shards N]
"""
import argparse

from node import *

RESERVE = 24 << 20
SETTINGS = (f"disk.reserve.bytes={RESERVE}", "journal.file.bytes=2MiB", "journal.bytes.max=16MiB",
            "log.segment.bytes=4MiB", "log.retention.check.interval.ms=1s")
PLACES = [("kept", 0), ("kept", 1), ("memory", 0)]
INCREMENTAL_ALTER_CONFIGS, TOPIC_RESOURCE, SET = 44, 2, 0


def set_config(client, topic, key, value):
    body = struct.pack(">ib", 1, TOPIC_RESOURCE) + text(topic) + struct.pack(">i", 1) + text(
        key) + struct.pack(">b", SET) + text(value) + b"\0"
    r = Reader(client.ask(INCREMENTAL_ALTER_CONFIGS, 0, body))
    error = r.take("iih")[2]
    check(error == NO_ERROR, f"{key} of {topic} cannot be set on a full disk: error {error}")


class Case:
    def __init__(self, mount, backend, shards):
        self.mount = mount
        self.leatd = Leatd(f"{mount.path}/data", *SETTINGS, backend=backend, shards=shards)
        self.bulk = Bulk()
        self.client = None
        self.compared = 0

    def connect(self):
        if self.client:
            self.client.close()
        self.client = Client(self.leatd.port)

    def fill(self, places):
        errors = self.bulk.fill(self.client, places)
        check(errors == {STORAGE_ERROR}, f"a full disk is answered with {errors}, not with 56 (retriable)")
        free = self.mount.free()
        check(free > RESERVE * 3 // 4, f"only {free} bytes were left when produce was refused")

    def compare(self, places=PLACES):
        self.compared += self.bulk.compare_all(self.client, places)

    def goes_on(self, what, place):
        """Nobody restarts anything: the same request is sent again, as every client does."""
        wait_until(f"appends go on after {what}",
                   lambda: self.bulk.send(self.client, *place) == NO_ERROR)

    def restart(self, number):
        self.leatd.process.send_signal(number)
        status = self.leatd.ended()
        check(number == signal.SIGKILL or status == 0,
              f"a stop on a full disk: status {status}\n{self.leatd.said()[-2000:]}")
        self.leatd.start()
        self.connect()

    def run(self):
        self.leatd.start()
        self.connect()
        self.client.create("kept", 2)
        self.client.create("memory", 1, durability="memory")
        self.client.create("victim", 1)
        check(self.bulk.send(self.client, "memory") == NO_ERROR, "the first append is refused")
        self.restart(signal.SIGTERM)  # the journal of memory topics is there, and counted
        self.fill(PLACES + [("victim", 0)])
        self.compare(PLACES + [("victim", 0)])
        check("room: broker 1 can store" in (said := self.health()[1]) or "disk full" in said, f"health of a full disk: {said}")
        self.client.create("made-when-full", 1)
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            self.restart(number)
            self.compare(PLACES + [("victim", 0)])
            check(self.bulk.send(self.client, "kept") in (NO_ERROR, STORAGE_ERROR), "another error")
        self.nothing_left()
        self.client.delete("victim")
        self.goes_on("the deletion of a topic", ("kept", 0))
        self.fill(PLACES)
        self.client.delete_records("kept", 1, self.client.offset("kept", 1, LATEST) - 8)
        self.goes_on("DeleteRecords", ("memory", 0))
        self.fill(PLACES)
        set_config(self.client, "kept", "retention.bytes", str(4 << 20))
        self.goes_on("retention", ("kept", 1))
        set_config(self.client, "kept", "retention.bytes", "-1")
        self.fill(PLACES)
        self.compare()
        self.restart(signal.SIGKILL)
        self.compare()
        self.leatd.stop()
        print(f"ok: {self.mount.kind}, {self.leatd.backend}: {self.compared} acknowledged records "
              "compared", flush=True)

    def health(self):
        done = subprocess.run([f"{BUILD}/bin/leat", "-b", f"{self.leatd.host}:{self.leatd.port}", "cluster", "health"], capture_output=True,
                              text=True, timeout=60)
        return done.returncode, done.stdout

    def nothing_left(self):
        """Somebody else fills the disk to the last byte, over the reserve."""
        ballast = f"{self.mount.path}/ballast"
        with open(ballast, "wb", buffering=0) as f:
            for size in (1 << 20, 4096):
                try:
                    while f.write(b"\1" * size) == size:
                        pass
                except OSError:
                    pass
        check(self.mount.free() < 1 << 20, f"{self.mount.free()} bytes are left beside the ballast")
        places = PLACES + [("victim", 0)]
        for place in places:
            error = self.bulk.send(self.client, *place)
            check(error in (NO_ERROR, STORAGE_ERROR), f"no byte left: error {error}")
        status, said = self.health()
        check(status == 1 and "disk full: broker 1 can store 0 MiB more" in said, f"health without a byte left: {status}: {said}")
        self.compare(places)
        self.leatd.kill()
        self.leatd.launch()
        wait_until("a start without a byte left is ready or refused",
                   lambda: "ready:" in self.leatd.said() or self.leatd.process.poll() is not None)
        status = self.leatd.process.poll()
        if status is None:
            self.leatd.kill()
        else:
            check(status == 1 and "disk" in self.leatd.said(),
                  f"refused with {status}:\n{self.leatd.said()[-2000:]}")
        os.unlink(ballast)
        self.leatd.start()
        self.connect()
        self.compare(places)


def small_reserve(mount, backend):
    """Who sets a small reserve, and loses some of it to others, still has a broker that starts and deletes."""
    leatd = Leatd(f"{mount.path}/data", "disk.reserve.bytes=1MiB", *SETTINGS[1:], backend=backend).start()
    client, bulk = Client(leatd.port), Bulk()
    client.create("kept", 1)
    client.create("victim", 1)
    places = [("kept", 0), ("victim", 0)]
    errors = bulk.fill(client, places)
    check(errors == {STORAGE_ERROR}, f"a full disk is answered with {errors}")
    with open(f"{mount.path}/ballast", "wb", buffering=0) as f:
        while mount.free() > 600 << 10:
            f.write(b"\1" * 4096)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        leatd.process.send_signal(number)
        leatd.ended()
        leatd.start()
        client = Client(leatd.port)
        check(bulk.send(client, *places[0]) in (NO_ERROR, STORAGE_ERROR), "another error")
    compared = bulk.compare_all(client, places)
    client.delete("victim")
    wait_until("appends go on after the deletion", lambda: bulk.send(client, *places[0]) == NO_ERROR)
    leatd.stop()
    print(f"ok: 600 KiB left, {backend}: {compared} acknowledged records compared", flush=True)


REFUSES_DIRECT = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
int fcntl64(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    if (command == F_SETFL && argument & O_DIRECT) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}
int fcntl(int, int, ...) __attribute__((alias("fcntl64")));
"""


def without_direct():
    """File systems that refuse O_DIRECT are rare by now: its one call is refused instead (files are opened
    through the C library, also for a ring). None: there is no compiler."""
    source, library = f"{SCRATCH}/direct.c", f"{SCRATCH}/direct.so"
    with open(source, "w", encoding="ascii") as f:
        f.write(REFUSES_DIRECT)
    status, said = run_quietly("cc", "-shared", "-fPIC", "-w", "-o", library, source)
    if status:
        print(f"buffered files are not tried: {said}")
        return None
    return library


parser = argparse.ArgumentParser()
parser.add_argument("--shards", type=int, default=1)
shards = parser.parse_args().shards
for kind, backend in (("ext4", "uring"), ("ext4", "epoll"), ("tmpfs", "uring"), ("tmpfs", "epoll")):
    with Mount(f"full-{kind}-{backend}", kind, 160 << 20) as m:
        Case(m, backend, shards).run()
for backend in ("uring", "epoll"):
    with Mount(f"full-small-{backend}", "tmpfs", 64 << 20) as m:
        small_reserve(m, backend)
preload = without_direct()
for backend in ("uring", "epoll") if preload else ():
    with Mount(f"full-buffered-{backend}", "ext4", 160 << 20) as m:
        case = Case(m, backend, shards)
        case.leatd.preload = preload
        case.leatd.log = f"{SCRATCH}/buffered-{backend}.log"
        case.run()
        with open(case.leatd.log, encoding="utf-8") as log:
            said = log.read()
        lives = said.count("ready:") + said.count("leatd: ")
        check(said.count("refuses O_DIRECT") == lives, f"buffered writing is not said once in each life: {said}")
