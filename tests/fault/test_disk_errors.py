#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes and syncs that fail in the kernel, under load. The broker ends with a sentence that says what, where
and what to do, with a status that is not 0, and without acknowledging anything afterwards; when the cause is
gone it starts, and everything that was acknowledged on stable storage is there.

    shutdown    the file system stops in the middle of everything (EXT4_IOC_SHUTDOWN without a flush of its
                log): every write and sync fails with EIO, and what was not synced is lost as by a power cut
    abort       ext4 gives up its journal and becomes read-only under the broker (remount,abort)
    thin        the device below runs out of space: a sparse image on a tmpfs that is full, so that blocks that
                the file system has promised cannot be written
    file size   RLIMIT_FSIZE: files may not grow. No write fails by that, so the broker refuses what needs more
                room with a retriable error, lives, and goes on when the limit is gone

io_uring passes by LD_PRELOAD, so these are the kernel's own errors, on io_uring and on epoll.
"""
import fcntl
import resource

from node import *

EXT4_IOC_SHUTDOWN, WITHOUT_LOG_FLUSH = 0x8004587D, 2
SETTINGS = ("disk.reserve.bytes=8MiB", "journal.file.bytes=2MiB", "journal.bytes.max=16MiB",
            "log.segment.bytes=4MiB")
DURABLE = [("durable", p) for p in range(3)]
TOLD = ("check the disk", "cannot be written", "made durable", "read-only", "limit")


class Load:
    """A pipeline of appends that goes on until the broker is gone."""

    def __init__(self, bulk, port):
        self.bulk, self.connection = bulk, Connection(port, 20)
        self.doubt = []
        self.acked = 0
        self.errors = set()

    def step(self):
        """Sends one batch to each place; takes what is answered. Gone when the broker is."""
        if len(self.doubt) < 8:
            kinds = {}
            for topic in ("durable", "memory"):
                self.bulk.turn += 1
                kind = self.bulk.turn % len(self.bulk.batches)
                partitions = [0, 1, 2] if topic == "durable" else [0]
                kinds[topic] = (kind, partitions)
                self.doubt.append((topic, kind, partitions))
                self.connection.send(PRODUCE, 3, produce_body(
                    topic, {p: self.bulk.batches[kind] for p in partitions}))
        self.take(self.connection.receive())

    def take(self, answer):
        topic, kind, partitions = self.doubt.pop(0)
        for partition, (error, base) in produced(answer).items():
            if error == NO_ERROR:
                self.bulk.acked.setdefault((topic, partition), {})[base] = kind
                self.acked += 1
            else:
                self.errors.add(error)

    def until_gone(self, seconds=30):
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self.step()
        except Gone:
            while (answer := self.connection.whole()) is not None:
                self.take(answer)
            self.connection.close()
            return
        fail(f"the broker went on for {seconds} s after its disk had failed; errors {self.errors}")


def founded(mount, backend, **more):
    leatd = Leatd(f"{mount.path}/data", *SETTINGS, backend=backend, shards=2, **more).start()
    client = Client(leatd.port)
    client.create("durable", 3)
    client.create("memory", 1, durability="memory")
    client.close()
    return leatd


def ended(leatd, name):
    status = leatd.ended()
    said = leatd.said()
    check(status > 0, f"{name}: leatd ended with {status} (a signal, or success):\n{said[-3000:]}")
    last = said.strip().splitlines()[-1]
    check(any(t in last for t in TOLD), f"{name}: the last line does not say what to do: {last!r}")
    return last


def back(mount, leatd, bulk, name, last):
    leatd.start()
    client = Client(leatd.port)
    compared = bulk.compare_all(client, DURABLE)
    list(client.batches("memory", 0, client.offset("memory", 0, EARLIEST)))  # what is left is whole
    check(bulk.send(client, "durable") == NO_ERROR, f"{name}: nothing can be appended afterwards")
    client.close()
    leatd.stop()
    print(f"ok: {name}, {leatd.backend}: {compared} acknowledged records compared; it said: {last}",
          flush=True)


def shut_down(mount):
    directory = os.open(mount.path, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("i", WITHOUT_LOG_FLUSH))
    except OSError as error:
        skip(f"ext4 cannot be shut down here: {error}")
    finally:
        os.close(directory)


def abort(mount):
    status, said = run_quietly("mount", "-o", "remount,abort", mount.path)
    check(os.statvfs(mount.path).f_flag & os.ST_RDONLY or status == 0, f"remount,abort: {said}")


def failing_file_system(name, break_it, backend):
    with Mount(f"errors-{name}-{backend}") as mount:
        leatd = founded(mount, backend)
        bulk = Bulk(16 << 10)
        load = Load(bulk, leatd.port)
        while load.acked < 200:
            load.step()
        break_it(mount)
        load.until_gone()
        last = ended(leatd, name)
        mount.unmount()
        mount.mount()
        back(mount, leatd, bulk, name, last)


def thin(backend):
    """The image may grow to 64 MiB only, though the file system believes in 192."""
    with Mount(f"pool-{backend}", "tmpfs", 64 << 20) as pool:
        with Mount(f"errors-thin-{backend}", image_in=pool.path) as mount:
            leatd = founded(mount, backend)
            bulk = Bulk(16 << 10)
            load = Load(bulk, leatd.port)
            load.until_gone()
            last = ended(leatd, "thin")
            mount.unmount()
            run_quietly("mount", "-o", f"remount,size={256 << 20}", pool.path)
            mount.mount()
            back(mount, leatd, bulk, "thin", last)


def file_size(backend):
    """Not a failed write: space cannot be had, which is said before anything is taken."""
    with Mount(f"errors-limit-{backend}") as mount:
        leatd = founded(mount, backend)
        client = Client(leatd.port)
        bulk = Bulk(64 << 10)
        check(bulk.send(client, "memory") == NO_ERROR, "the first append of a memory topic is refused")
        number = leatd.process.pid
        resource.prlimit(number, resource.RLIMIT_FSIZE, (3 << 20, resource.RLIM_INFINITY))
        errors = bulk.fill(client, DURABLE + [("memory", 0)])
        check(errors == {STORAGE_ERROR}, f"file size: answered with {errors}, not with 56 (retriable)")
        compared = bulk.compare_all(client, DURABLE + [("memory", 0)])
        resource.prlimit(number, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for place in DURABLE + [("memory", 0)]:
            wait_until("appends go on without the limit", lambda: bulk.send(client, *place) == NO_ERROR)
        compared += bulk.compare_all(client, DURABLE + [("memory", 0)])
        leatd.kill()
        leatd.start()
        client = Client(leatd.port)
        compared += bulk.compare_all(client, DURABLE + [("memory", 0)])
        resource.prlimit(leatd.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        status = leatd.end()
        check(status >= 0, f"file size: a stop that may write no file ended by signal {-status}")
        leatd.start()
        client = Client(leatd.port)
        compared += bulk.compare_all(client, DURABLE + [("memory", 0)])
        leatd.stop()
        print(f"ok: file size, {backend}: {compared} acknowledged records compared", flush=True)


for io in ("uring", "epoll"):
    failing_file_system("shutdown", shut_down, io)
    failing_file_system("abort", abort, io)
    thin(io)
    file_size(io)
