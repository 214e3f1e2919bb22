#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""A node is started with the directory of another cluster: its peers are in one cluster, its directory is of another. It
ends with status 78 and says both clusters, a peer's address and its path, and the cluster goes on. One peer of another
cluster among several stops nobody: neither a member whose quorum is there, nor one that waits for it; and nobody stops a cluster of one.

    tests/fault/test_foreign_directory.py
"""
import re

from cluster import *

CONFIG, LIMIT_S = 78, 60
CLUSTER = r"belongs to cluster (\S+?), but 2 of the 2 other peers, (\S+) among them, are in cluster (\S+?), "


def cluster_id(node):
    with open(f"{node.data}/meta/meta.properties") as properties:
        return re.search(r"^cluster\.id=(\S+)$", properties.read(), re.M).group(1)


def stop_at_once(cluster):
    for node in cluster.nodes.values():
        node.kill()


def foreign(own, other):
    """Node 1 comes with what it had in the other cluster, at the place that it has in this one."""
    node = own.nodes[1]
    node.stop()
    shutil.rmtree(node.data)
    shutil.copytree(other.nodes[1].data, node.data)
    begun = time.monotonic()
    status, said = node.refused()
    took = time.monotonic() - begun
    found = re.search(CLUSTER, said)
    check(status == CONFIG and found, f"status {status} after {took:.1f} s:\n{said[-3000:]}")
    addresses = [own.address[2], own.address[3]]
    check(found.group(1) == cluster_id(other.nodes[2]) and found.group(3) == cluster_id(own.nodes[2]) and found.group(2) in addresses,
          f"it names {found.groups()}")
    check(f"{node.data}/meta belongs" in said and "start with an empty one" in said, f"it does not say where, and what to do: {said[-3000:]}")
    for left in (2, 3):
        check(own.nodes[left].process.poll() is None, f"node {left} ended")
    own.does("topic", "create", "after", "-r", "2")
    print(f"ok: the directory of another cluster ends with {status} after {took:.1f} s", flush=True)
    shutil.rmtree(node.data)


def one_wrong_peer(own, other):
    """Node 1 lists one of the other cluster beside one of its own, which is away, and then one that is back."""
    node = own.nodes[1]
    right = node.settings
    node.settings = [s for s in right if not s.startswith("peers=")] + [f"peers=[{own.address[1]},{other.address[2]},{own.address[3]}]"]
    own.nodes[2].kill()
    own.nodes[3].kill()
    node.kill()
    node.launch()
    wait_until("it tells of the other cluster", lambda: f"{other.address[2]} is in cluster" in node.said(), LIMIT_S)
    check(re.search(rf"level=warn .*{re.escape(other.address[2])} is in cluster .*: correct `peers`", node.said()), "it is no warning")
    check(node.process.poll() is None, f"one peer has stopped it: {node.said()[-3000:]}")
    for left in (2, 3):
        own.nodes[left].launch()
    wait_until("it has joined", lambda: "ready:" in node.said(), LIMIT_S)
    node.stop()
    node.launch()
    wait_until("it joins a quorum that is there", lambda: "ready:" in node.said(), LIMIT_S)
    print("ok: one peer of another cluster stops nobody", flush=True)
    node.settings = right


def alone(own):
    """A cluster of one works, whoever is set as its peers; it says what they are."""
    folder = f"{SCRATCH}/foreign-alone"
    shutil.rmtree(folder, ignore_errors=True)
    node = Leatd(folder, "node.id=9", port=free_ports(1)[0])
    node.start().stop()
    node.settings.append(f"peers=[{node.host}:{node.wanted},{own.address[2]},{own.address[3]}]")
    node.start()
    wait_until("it tells of the other cluster", lambda: re.search(CLUSTER, node.said()), LIMIT_S)
    check(f"node 9 of cluster {cluster_id(node)}, " in node.said(), "the ready line does not say who it is, and of which cluster")
    half = f"peers=[{node.host}:{node.wanted},{own.address[2]},{node.host}:{free_ports(1)[0]}]"
    client = Client(node.port)
    client.create("goes-on")
    client.close()
    node.stop()
    node.settings[-1] = half
    node.start()
    wait_until("it warns of one peer of two", lambda: re.search(
        rf"level=warn .*{re.escape(own.address[2])} is in cluster .* does not answer .*: correct `peers`", node.said()), LIMIT_S)
    node.stop()
    print("ok: a cluster of one goes on, and says that its peers are in another", flush=True)


def run():
    other, own = Cluster("foreign-a"), Cluster("foreign-b")
    other.launch()
    other.stop()
    own.launch()
    check(cluster_id(own.nodes[1]) != cluster_id(other.nodes[1]), "there is one cluster")
    foreign(own, other)
    stop_at_once(own)
    own = Cluster("foreign-b")
    own.launch()
    alone(own)
    for node in (2, 3):
        other.nodes[node].launch()
    wait_until("two of the other cluster serve", lambda: all("ready:" in other.nodes[i].said() for i in (2, 3)), LIMIT_S)
    one_wrong_peer(own, other)
    own.stop()
    for node in (2, 3):
        other.nodes[node].stop()


run()
