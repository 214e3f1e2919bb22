#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bench/peers with Apache Kafka: fetched where it can be had, then published to and read by leat's console."""
import peer_check as check

kafka = check.fetched("kafka")
check.two_lives(kafka, check.kafka_work(kafka))
