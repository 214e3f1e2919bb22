#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kcat (librdkafka): topics made by producing, keys, headers, every codec, offsets, times."""
import shutil
import subprocess
import time

from broker import CODECS, Broker, same, skip

if not shutil.which("kcat"):
    skip("kcat is not installed")


def kcat(b, *arguments, text=None):
    done = subprocess.run(["kcat", "-b", b.address, *arguments], input=text, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, f"kcat {arguments}: {done.returncode} {done.stderr}"
    return done.stdout


def check(b):
    lines = "".join(f"key{i}:value {i} {'x' * (i % 200)}\n" for i in range(500))
    for codec in CODECS:
        topic = f"kcat-{codec}"
        kcat(b, "-P", "-t", topic, "-K:", "-z", codec, "-X", "linger.ms=200", "-H", "origin=test", "-H", "empty=", text=lines)
        got = kcat(b, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k:%s|%h\n")
        same(got.splitlines(), [f"{line}|origin=test,empty=" for line in lines.splitlines()],
             f"{codec}: keys, values and headers come back")
        same(b.codecs(topic), {codec}, f"{codec}: the stored batches have this codec")
    same(kcat(b, "-C", "-t", "kcat-none", "-o", "-3", "-e", "-q", "-f", "%o\n"), "497\n498\n499\n",
         "the last three")
    same(kcat(b, "-Q", "-t", "kcat-none:0:-1"), "kcat-none [0] offset 500\n", "the end by query")
    before = int(time.time() * 1000)
    kcat(b, "-P", "-t", "kcat-none", text="late\n")
    same(kcat(b, "-Q", "-t", f"kcat-none:0:{before - 1}"), "kcat-none [0] offset 500\n", "an offset by time")
    same(kcat(b, "-Q", "-t", "kcat-none:0:1"), "kcat-none [0] offset 0\n", "the first offset by time")
    listing = kcat(b, "-L", "-J")
    for codec in CODECS:
        assert f'"kcat-{codec}"' in listing, listing
    kcat(b, "-P", "-t", "idempotent", "-X", "enable.idempotence=true", text=lines)
    same(len(kcat(b, "-C", "-t", "idempotent", "-e", "-q").splitlines()), 500, "an idempotent producer")
    kcat(b, "-P", "-t", "quick", "-X", "acks=0", text=lines)
    for _ in range(100):
        if sum(count for _, _, count in b.batches("quick")) == 500:
            break
        time.sleep(0.05)
    same(sum(count for _, _, count in b.batches("quick")), 500, "acks=0 stores as well")


for shards in (1, 2):
    with Broker(shards=shards) as broker:
        check(broker)
