#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Java client, kafka-clients 3.x, goes through the scenarios."""
from scenarios_java import run

run(3)
