# SPDX-License-Identifier: Apache-2.0
"""What test_scenarios_java_4.py and test_scenarios_java_3.py share: the same program with another client."""
from members import HERE, JavaMachine, java_client
from scenarios import Session, skip
from sharing import check_groups, check_instances


def run(major):
    client = f"java-{major}"
    jars, why = java_client(major)
    if not jars:
        skip(client, why)
    with Session(client) as s:
        s.drive(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", HERE / "Scenarios.java"])
        with JavaMachine(jars, s.address) as machine:
            strategy = {"partition.assignment.strategy": "range"}
            with s.scenario("groups"):
                check_groups(s, machine.member, **strategy)
            with s.scenario("static members"):
                check_instances(s, machine.member, **strategy)
