#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""librdkafka, in C, goes through the scenarios."""
import os

from broker import BUILD
from scenarios import Session, skip

program = os.path.abspath(f"{BUILD}/tests/compat-librdkafka")
if not os.path.exists(program):
    skip("librdkafka", "librdkafka's headers are not installed")
with Session("librdkafka") as s:
    s.drive([program])
