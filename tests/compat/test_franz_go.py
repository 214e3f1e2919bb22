#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""franz-go: its client in every codec, its groups, and its admin client."""
import subprocess

from broker import CODECS, same, skip
from franz import built
from groups import group_broker

program, why = built("whole", "franz.go", "franz_groups.go")
if not program:
    skip(why)

with group_broker(3) as b:
    done = subprocess.run([program, b.address], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout.strip())
    for codec in CODECS:
        same(b.codecs(f"franz-{codec}"), {codec}, f"franz-{codec}: its codec")
