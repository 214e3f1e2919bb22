# SPDX-License-Identifier: Apache-2.0
"""Writes a history: what the lines mean stands in README.md."""
import json
import threading
import time
import zlib

# What may have been done all the same: the answer came after the request was taken.
IN_DOUBT = {-1, 6, 7, 13, 20}  # UNKNOWN, NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, NETWORK, NOT_ENOUGH_..._AFTER_APPEND


def result_of(error):
    return "ok" if error == 0 else "info" if error in IN_DOUBT else "fail"


def value_of(topic, partition, producer, sequence, key="", padding=""):
    name = f"{topic}/{partition}/{producer}/{sequence}"
    return f"{name}/{zlib.crc32(f'{name}/{key}/{padding}'.encode()):08x}/{padding}"


class History:
    """May be used by several threads."""

    def __init__(self, path):
        self.file = open(path, "w")
        self.lock = threading.Lock()

    def write(self, process, op, invoke, result="ok", **more):
        """The operation is over now; one that nobody awaits any longer is in doubt."""
        line = {"process": process, "op": op, "invoke": invoke, "complete": time.monotonic_ns(), "result": result, **more}
        text = json.dumps(line, separators=(",", ":")) + "\n"
        with self.lock:
            self.file.write(text)

    def close(self):
        self.file.close()


def now():
    return time.monotonic_ns()
