#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
"""kcat on compacted topics: every codec, keys again and again, tombstones; then the last values alone are left."""
import random
import shutil
import subprocess
import time

from broker import CODECS, Broker, skip

if not shutil.which("kcat"):
    skip("kcat is not installed")

KEYS, ROUNDS, VALUE = 40, 40, 3000
SETTINGS = ("log.cleanup.policy=compact", "log.segment.bytes=1100KiB", "log.cleaner.min.cleanable.ratio=0.01",
            "log.cleaner.backoff.ms=200ms", "log.cleaner.delete.retention.ms=1s")


def kcat(b, *arguments, text=None, status=0):
    done = subprocess.run(["kcat", "-b", b.address, *arguments], input=text, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == status, f"kcat {arguments}: {done.returncode} {done.stderr}"
    return done.stdout + (done.stderr if status else "")


def produce(b, topic, codec, lines):
    kcat(b, "-P", "-t", topic, "-K:", "-Z", "-z", codec, "-X", "linger.ms=50", "-X", "enable.idempotence=true",
         text="".join(line + "\n" for line in lines))


def read(b, topic):
    """[(offset, key, value)], value None for a tombstone."""
    got = kcat(b, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-Z", "-f", "%o\t%k\t%s\t%S\n")
    rows = [line.split("\t") for line in got.splitlines()]
    return [(int(offset), key, None if size == "-1" else value) for offset, key, value, size in rows]


def shrinks(b, topic, most):
    """Waits for passes that leave at most so many records."""
    deadline = time.monotonic() + 60
    while True:
        rows = read(b, topic)
        if len(rows) <= most:
            return rows
        assert time.monotonic() < deadline, f"{topic}: {len(rows)} records are left, wanted {most}\n{b.said()[-2000:]}"
        time.sleep(0.1)


def check(b):
    source = random.Random(1)
    last = {codec: {} for codec in CODECS}
    for codec in CODECS:
        lines = []
        for n in range(ROUNDS):
            for k in range(KEYS):
                value = f"{n}-" + "".join(source.choices("0123456789abcdef", k=VALUE))
                last[codec][f"key{k}"] = value
                lines.append(f"key{k}:{value}")
        lines.append("gone:once")
        lines.append("gone:")
        last[codec]["gone"] = None
        produce(b, f"compact-{codec}", codec, lines)
    for codec in CODECS:
        topic = f"compact-{codec}"
        # The active segment is never compacted: what fills it, and a little of what stands before it.
        rows = shrinks(b, topic, ROUNDS * KEYS // 2)
        offsets = [offset for offset, _, _ in rows]
        assert offsets == sorted(set(offsets)), f"{topic}: offsets do not grow"
        assert {key: value for _, key, value in rows} == last[codec], f"{topic}: the last values are others"
        print(f"ok: {topic}: {ROUNDS * KEYS + 2} records are {len(rows)}, each key has its last value")
        # More of the same pushes the tombstone out of the active segment; then it goes after its time.
        produce(b, topic, codec, [f"key0:{'x' * 10}{i}-" + "".join(source.choices("0123456789abcdef", k=VALUE))
                                  for i in range(900)])
    for codec in CODECS:
        topic = f"compact-{codec}"
        deadline = time.monotonic() + 60
        while any(key == "gone" for _, key, _ in read(b, topic)):
            assert time.monotonic() < deadline, f"{topic}: the tombstone does not go\n{b.said()[-2000:]}"
            produce(b, topic, codec, ["key1:" + "".join(source.choices("0123456789abcdef", k=VALUE)) for _ in range(400)])
            time.sleep(0.3)
        print(f"ok: {topic}: the tombstone went after its time, and nothing came back")
    said = kcat(b, "-P", "-t", "compact-none", text="no key\n", status=1)
    assert "validate record" in said, said
    print("ok: a record without key is refused")
    assert ": compacted up to offset " in b.said(), b.said()[-2000:]


with Broker(*SETTINGS, shards=2) as broker:
    check(broker)
