# SPDX-License-Identifier: Apache-2.0
"""The scenarios of groups for clients whose members members.py has: Member(b, ledger, group, **settings)."""
import subprocess

from broker import BUILD
from groups import LIMIT_S, Ledger, all_step, make_topic, shared, until

PARTITIONS = 4


def all_owned(members):
    return lambda: shared(members, PARTITIONS)


def publish(s, ledger, count):
    """`count` more records for each partition."""
    for partition in range(PARTITIONS):
        values = [f"{partition}:{len(ledger.published) + i}" for i in range(count)]
        subprocess.run([f"{BUILD}/bin/leat", "-b", s.address, "produce", ledger.topic, "-p", str(partition)], check=True,
                       input="\n".join(values) + "\n", text=True, timeout=LIMIT_S, capture_output=True)
        ledger.published += values


def check_groups(s, Member, **more):
    ledger = Ledger("groups", PARTITIONS)
    make_topic(s.broker, ledger)
    publish(s, ledger, 10)
    members = [Member(s.broker, ledger, "groups", **more)]
    until("the first has all", all_owned(members), all_step(members))
    for _ in range(2):
        members.append(Member(s.broker, ledger, "groups", **more))
        until(f"{len(members)} share", all_owned(members), all_step(members))
    publish(s, ledger, 10)
    until("everything has come", lambda: not ledger.missing(), all_step(members))
    while len(members) > 1:
        members.pop(0).leave()
        until(f"{len(members)} share", all_owned(members), all_step(members))
    publish(s, ledger, 10)
    until("everything has come", lambda: not ledger.missing(), all_step(members))
    members[0].leave()
    ledger.check("members come and go")


def check_instances(s, Member, **more):
    ledger = Ledger("static", PARTITIONS)
    make_topic(s.broker, ledger)
    publish(s, ledger, 10)
    one, two = (Member(s.broker, ledger, "static", **more, **{"group.instance.id": name}) for name in ("one", "two"))
    until("two instances share", all_owned([one, two]), all_step([one, two]))
    until("everything has come", lambda: not ledger.missing(), all_step([one, two]))
    owned, revocations = set(two.owned), one.revocations
    two.leave()
    publish(s, ledger, 10)
    two = Member(s.broker, ledger, "static", **more, **{"group.instance.id": "two"})
    until("it is back", lambda: two.owned and not ledger.missing(), all_step([one, two]))
    assert two.owned == owned, f"it had {owned} and comes back to {two.owned}"
    assert one.revocations == revocations, "the other one was disturbed"
    one.leave()
    two.leave()
    ledger.check("static members")
