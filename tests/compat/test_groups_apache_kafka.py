#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# long
# timeout: 300
"""Groups of libleat at a coordinator of Apache Kafka: the same as at leatd."""
from apache import Kafka
from groups import check_sharing
from members import Libleat
from test_groups_libleat import check_crowd, check_examples
from test_groups_mixed import check_clients


class Broker(Kafka):
    def kill_and_start(self):
        self.kill()
        self.start()


with Broker() as broker:
    for strategy in ("range", "cooperative-sticky"):
        check_sharing(broker, Libleat, strategy, **{"partition.assignment.strategy": strategy})
    check_clients(broker)
    check_examples(broker)
    # group.min.session.timeout.ms is 6 s.
    check_crowd(broker, session_ms=6000)
