#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""franz-go goes through the scenarios."""
from franz import built
from scenarios import Session, skip

program, why = built("scenarios", "scenarios.go", "scenarios_groups.go")
if not program:
    skip("franz-go", why)
with Session("franz-go") as s:
    s.drive([program])
