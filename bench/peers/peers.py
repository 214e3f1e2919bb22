#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fetches and starts the brokers that leat is compared with, and leat itself.

    peers.py list [--json]                                                 what can be had here
    peers.py [PEER] fetch                                                  one, or all that can be had
    peers.py PEER start --data D --port P [--durability memory|fsync]      until Ctrl-C
    peers.py PEER configuration [--durability memory|fsync]                as a report quotes it
"""
import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kafka_peer import Kafka
from leat_peer import Leat
from nats_peer import Nats
from peer import DURABILITIES, Unavailable

PEERS = {peer.name: peer for peer in (Leat, Kafka, Nats)}


def available(build, names=tuple(PEERS)):
    """Those that could be fetched, in this order; a line on stderr for each that is left out."""
    found = []
    for name in names:
        try:
            found.append(PEERS[name]().fetch(build))
        except Unavailable as why:
            print(f"left out: {why}", file=sys.stderr)
    return found


def list_peers(build, as_json):
    rows = []
    for kind in PEERS.values():
        peer = kind()
        state, remark = peer.availability(build)
        peer.build = build
        rows.append({"name": peer.name, "version": peer.version, "protocol": peer.protocol, "state": state, "remark": remark,
                     "durabilities": peer.meaning})
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        remark = f", {row['remark']}" if row["remark"] else ""
        print(f"{row['name']} {row['version']}: {row['state']}{remark}; protocol: {row['protocol']}")
        for durability, meaning in row["durabilities"].items():
            print(f"    {durability:6}  {meaning}")
    return 0


def run(peer, options):
    """In the foreground; Ctrl-C and SIGTERM stop it. Exit status 1 when it ends by itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        peer.start(options.data, options.port, options.durability)
    except KeyboardInterrupt:
        return 130
    events = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, events)
    print(f"{peer.name} {peer.version}, {options.durability}, serves 127.0.0.1:{options.port} as process {peer.pid}; "
          f"its log is {peer.log}. Ctrl-C stops it.", flush=True)
    while peer.process.poll() is None and signal.sigwait(events) == signal.SIGCHLD:
        pass
    peer.stop()
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="[PEER] COMMAND", help=f"PEER: {', '.join(PEERS)}")
    parser.add_argument("--build", default=os.environ.get("LEAT_BUILD", "build"), help="the build folder; what is fetched lies below it")
    parser.add_argument("--data", help="the folder of a peer that is started")
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--durability", choices=DURABILITIES, default="memory")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    *names, command = options.words
    if command not in ("list", "fetch", "start", "configuration") or len(names) > 1 or any(n not in PEERS for n in names):
        parser.error(f"what is '{' '.join(options.words)}'? --help explains")
    build = Path(options.build).resolve()
    if command == "list":
        return list_peers(build, options.json)
    if command == "fetch":
        wanted = names or PEERS
        return 0 if len(available(build, wanted)) == len(wanted) else 1
    if not names:
        parser.error(f"{command} needs a peer: {', '.join(PEERS)}")
    peer = PEERS[names[0]]()
    if command == "configuration":
        print(peer.configuration(options.durability), end="")
        return 0
    if not options.data:
        parser.error("start needs --data")
    try:
        return run(peer.fetch(build), options)
    except (Unavailable, RuntimeError, subprocess.TimeoutExpired) as why:
        print(f"peers.py: {why}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
