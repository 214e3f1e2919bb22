#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kafkajs publishes and consumes in a group, kcat reads."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from broker import same, skip
from groups import group_broker

HERE = Path(__file__).resolve().parent
VERSION = "2.2.4"

for program in ("node", "npm", "kcat"):
    if not shutil.which(program):
        skip(f"{program} is not installed")
# The package is kept beside the build, so that it is fetched once.
modules = Path(os.environ.get("BUILD", "build")).resolve() / "kafkajs"
if not (modules / "node_modules" / "kafkajs").is_dir():
    modules.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", modules,
                              f"kafkajs@{VERSION}"], capture_output=True, text=True, timeout=300)
    if fetched.returncode != 0:
        skip("npm cannot fetch kafkajs: " + (fetched.stderr.strip().splitlines() or ["no reason given"])[-1])

with group_broker(2) as b, tempfile.TemporaryDirectory() as scratch:
    shutil.copy(HERE / "kafkajs.js", scratch)
    os.symlink(modules / "node_modules", Path(scratch) / "node_modules")
    done = subprocess.run(["node", "kafkajs.js", b.address], cwd=scratch, capture_output=True, text=True,
                          timeout=120, env={**os.environ, "KAFKAJS_NO_PARTITIONER_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout.strip())
    for codec in ("none", "gzip"):
        for partition in range(2):
            got = subprocess.run(["kcat", "-b", b.address, "-C", "-t", f"js-{codec}", "-p", str(partition), "-e",
                                  "-q", "-o", "beginning", "-f", "%k|%s|%h\n"], capture_output=True, text=True,
                                 timeout=60, check=True).stdout
            wanted = "".join(f"k{n}-{i}|v{n}-{i} {'x' * 100}|h={n}\n" for n in range(partition, 20, 2)
                             for i in range(10))
            same(got, wanted, f"js-{codec}-{partition}: everything comes back")
            same(b.codecs(f"js-{codec}", partition), {codec}, f"js-{codec}-{partition}: its codec")
