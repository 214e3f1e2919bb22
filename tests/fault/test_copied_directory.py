#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""A copy of a node's directory is started beside the node: with the same node.id, on another port. It ends with status 78 and
says where the other one runs, and that one goes on, in the quorum and as a broker. Found at the address that stands in
the directory, also by a copy whose journal is torn, which would otherwise vote; or, by a copy that says that it is reached where the original is, from the controller, whether the
original leads the quorum or follows. A node that is killed and started again at once is no copy of itself, nor is one
that comes back at another address.

    tests/fault/test_copied_directory.py
"""
from cluster import *

CONFIG, LIMIT_S, AT_ONCE_S = 78, 60, 10


def quorum_leader(cluster):
    found = json.loads(cluster.does("cluster", "quorum", "--output", "json"))
    return found["leader"] if "leader" in found else found["leader_id"]


def copy_of(cluster, number, poses=False, torn=False):
    """The node is stopped meanwhile, so that the copy is whole, unless it is `torn`. `poses`: it says that it is reached where the original is."""
    original = cluster.nodes[number]
    original.stop()
    folder = f"{original.data}-copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original.data, folder)
    for path in Path(folder).glob("journal-*/checkpoint-*") if torn else ():
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)
    original.start()
    wait_until("all are healthy", cluster.healthy, LIMIT_S)
    copy = Leatd(folder, *original.settings, port=free_ports(1)[0])
    if poses:
        copy.settings.append(f"listeners=[{{name: plain, address: {copy.host}:{copy.wanted}, advertised: {cluster.address[number]}}}]")
    return copy


def ends(cluster, number, copy, why, topic):
    original = cluster.nodes[number]
    begun = time.monotonic()
    status, said = copy.refused()
    took = time.monotonic() - begun
    check(status == CONFIG, f"the copy: status {status} after {took:.1f} s:\n{said[-3000:]}")
    check(f"node {number} runs at {cluster.address[number]}" in said and f"{copy.data}/meta is a copy of its directory" in said,
          f"it does not say what is where: {said[-3000:]}")
    check(original.process.poll() is None, f"the original ended: {original.said()[-3000:]}")
    check("runs at" not in original.said(), f"the original was taken for a copy: {original.said()[-3000:]}")
    cluster.does("topic", "create", topic, "-r", "3")
    wait_until("three are in sync", lambda: cluster.in_sync(topic), LIMIT_S)
    print(f"ok: a copy of node {number} ends after {took:.1f} s: {why}", flush=True)


def run():
    cluster = Cluster("copied")
    cluster.launch()
    number = next(n for n in NODES if n != quorum_leader(cluster))
    ends(cluster, number, copy_of(cluster, number), "the original answers where it should be", "a")
    number = next(n for n in NODES if n != quorum_leader(cluster))
    ends(cluster, number, copy_of(cluster, number, torn=True), "it asks where it was reached before it asks for what is torn", "d")
    number = next(n for n in NODES if n != quorum_leader(cluster))
    ends(cluster, number, copy_of(cluster, number, poses=True), "the controller hears the original", "b")
    number = quorum_leader(cluster)
    copy = copy_of(cluster, number, poses=True)
    cluster.does("cluster", "transfer-leader", str(number))
    wait_until("the original leads", lambda: quorum_leader(cluster) == number, LIMIT_S)
    ends(cluster, number, copy, "the original is the controller", "c")

    node = cluster.nodes[2]
    node.kill()
    begun = time.monotonic()
    node.start()
    took = time.monotonic() - begun
    check(took < AT_ONCE_S, f"a node that was killed serves {took:.1f} s after its start")
    wait_until("all are healthy", cluster.healthy, LIMIT_S)
    node.kill()
    node.wanted = free_ports(1)[0]
    node.start()
    wait_until("all are healthy", cluster.healthy, LIMIT_S)
    print(f"ok: a node that was killed is back {took:.1f} s after its start, and joins from another address", flush=True)
    cluster.stop()


run()
