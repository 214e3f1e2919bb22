# SPDX-License-Identifier: Apache-2.0
"""A network of its own for each node: namespaces on one bridge, whose links and routes can be taken away. The whole test runs in a
namespace too, so that nothing of the machine's network is touched."""
import os
import sys

from node import run_quietly, skip

BRIDGE = "10.77.0.254"


def address(node):
    return f"10.77.0.{node}"


def enter():
    """Starts the test again inside of a network and mounts of its own, where it may."""
    if os.environ.get("LEAT_NETWORK"):
        return
    inside = ["unshare", "--net", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    status, said = run_quietly(*inside, "true")
    if status:
        skip(f"namespaces are not allowed here: {said.strip()}")
    os.execvpe("unshare", inside + [sys.executable, *sys.argv], dict(os.environ, LEAT_NETWORK="1"))


def ip(*words):
    status, said = run_quietly("ip", *words)
    if status:
        skip(f"namespaces cannot be made here: ip {' '.join(words)}: {said.strip()}")


class Network:
    def __init__(self, nodes):
        self.nodes = nodes
        status, said = run_quietly("mount", "-t", "tmpfs", "none", "/run")
        if status:
            skip(f"/run cannot be mounted here: {said.strip()}")
        ip("link", "set", "lo", "up")
        ip("link", "add", "bridge", "type", "bridge")
        ip("address", "add", f"{BRIDGE}/24", "dev", "bridge")
        ip("link", "set", "bridge", "up")
        for node in nodes:
            ip("netns", "add", f"n{node}")
            ip("link", "add", f"v{node}", "type", "veth", "peer", "name", "eth", "netns", f"n{node}")
            ip("link", "set", f"v{node}", "master", "bridge", "up")
            ip("-n", f"n{node}", "link", "set", "lo", "up")
            ip("-n", f"n{node}", "address", "add", f"{address(node)}/24", "dev", "eth")
            ip("-n", f"n{node}", "link", "set", "eth", "up")

    def inside(self, node):
        return ("ip", "netns", "exec", f"n{node}")

    def isolate(self, node):
        """Nothing comes and nothing goes, also for clients."""
        ip("link", "set", f"v{node}", "down")

    def cut(self, node, other):
        """What the node sends to the other is lost; what comes from there arrives, and has no answer."""
        ip("-n", f"n{node}", "route", "add", "blackhole", f"{address(other)}/32")

    def heal(self):
        for node in self.nodes:
            ip("link", "set", f"v{node}", "up")
            ip("-n", f"n{node}", "route", "flush", "type", "blackhole")
