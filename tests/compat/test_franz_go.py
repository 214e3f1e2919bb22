#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""franz-go: its client in every codec, its groups, and its admin client."""
import os
import shutil
import subprocess
from pathlib import Path

from broker import CODECS, same, skip
from groups import group_broker

HERE = Path(__file__).resolve().parent
MODULES = ["github.com/twmb/franz-go@v1.22.3", "github.com/twmb/franz-go/pkg/kadm@v1.20.0"]

if not shutil.which("go"):
    skip("go is not installed")
# The program is kept beside the build, so that its modules are fetched once.
work = Path(os.environ.get("BUILD", "build")).resolve() / "franz-go"
work.mkdir(parents=True, exist_ok=True)


def go(*arguments):
    return subprocess.run(["go", *arguments], cwd=work, capture_output=True, text=True, timeout=300)


if not (work / "go.sum").exists():
    (work / "go.mod").write_text("module compat\n")
    fetched = go("get", *MODULES)
    if fetched.returncode != 0:
        skip("go cannot fetch franz-go: " + (fetched.stderr.strip().splitlines() or ["no reason given"])[-1])
for source in ("franz.go", "franz_groups.go"):
    shutil.copy(HERE / source, work)
built = go("build", "-o", "franz", ".")
assert built.returncode == 0, built.stderr

with group_broker(3) as b:
    done = subprocess.run([work / "franz", b.address], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout.strip())
    for codec in CODECS:
        same(b.codecs(f"franz-{codec}"), {codec}, f"franz-{codec}: its codec")
