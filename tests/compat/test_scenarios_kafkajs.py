#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kafkajs goes through the scenarios."""
from kafkajs import kafkajs, runnable
from scenarios import Session, skip

modules, why = kafkajs()
if not modules:
    skip("kafkajs", why)
with Session("kafkajs") as s, runnable(modules, "scenarios.js") as (command, more):
    s.drive(command, **more)
