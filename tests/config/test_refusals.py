#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Configurations that leatd cannot start with: each is refused at once, with a message that says where
and what, and the exit status that says whose fault it is (2 command line, 75 taken by another, 78
configuration). Nobody may have to read code to find out what is wrong."""
import os
import re
import socket
import subprocess
import sys
import tempfile

BUILD = os.environ.get("BUILD", "build")
LEATD = os.path.abspath(f"{BUILD}/bin/leatd")
CONFIG, BUSY, USAGE = 78, 75, 2
NOBODY = 65534
MIB = 1 << 20

# What stands in the file, and what must be said of it: patterns, one for each line that matters.
FILES = {
    "an unclosed list": (b"node.id: [1\nfoo", [r"^c:3:1: error: not YAML: did not find expected ',' or ']'"]),
    "an indenting tab": (b"node.id: 1\n\tx: 2\n", [r"^c:2:1: error: not YAML: .*tab", "^hint: indent with spaces"]),
    "no map": (b"just words\n", [r"^c:1:1: error: a configuration is a map of keys", "^hint: write key: value"]),
    "a list": (b"- node.id: 1\n", [r"^c:1:1: error: a configuration is a map of keys"]),
    "two documents": (b"node.id: 1\n---\nnode.id: 2\n", [r"^c:2:1: error: a second document is not read"]),
    "not UTF-8": (b"node.id: \xff\xfe\n", [r"^c:1:10: error: not YAML: invalid", "^hint: the file must be UTF-8"]),
    "a binary file": (bytes(range(256)) * 64, [r"^c:1:\d+: error: not YAML", "^hint: the file must be UTF-8"]),
    "a zero byte": (b"node.id: 1\0\n", [r"^c:1:11: error: not YAML: control characters"]),
    "an unknown key": (b"nonsense: 1\n", [r"^c:1:1: error: unknown key 'nonsense'", "^hint: leatd --print-config"]),
    "a typing error": (b"log:\n  retnetion.ms: 1d\n", [r"^c:2:3: error: unknown key", "^hint: did you mean log.retention.ms"]),
    "a topic's key": (b"retention.ms: 1d\n", [r"^c:1:1: error: unknown key", "^hint: that is a key of topics"]),
    "a key of Kafka": (b"log.dirs: /a,/b\n", [r"^c:1:1: error: log.dirs: the key is data.dir"]),
    "what is not there yet": (b"security.tls.cert: x\n", [r"^c:1:1: error: security.tls.cert: TLS is not in this version"]),
    "a key twice": (b"node.id: 1\nnode.id: 2\n", [r"^c:2:1: error: node.id is given twice, first in line 1"]),
    "nested and dotted": (b"log.roll.ms: 1d\nlog: {roll: {ms: 2d}}\n", [r"^c:2:14: error: log.roll.ms is given twice"]),
    "an unknown unit": (b"log.segment.bytes: 1G\n", [r"^c:1:20: error: log.segment.bytes: '1G'", "^hint: units of size are"]),
    "a unit of time": (b"log.retention.ms: 7 days\n", [r"^c:1:19: error: log.retention.ms: '7 days'", "^hint: units of time"]),
    "a unit where there is none": (b"num.partitions: 1KiB\n", [r"^c:1:17: error: num.partitions: '1KiB' is not a whole"]),
    "a huge number": (b"log.retention.bytes: 99999999999999999999\n", [r"^c:1:22: error: .* is too large"]),
    "a huge unit": (b"log.retention.bytes: 9000000TiB\n", [r"^c:1:22: error: .* is too large"]),
    "a negative number": (b"num.partitions: -3\n", [r"^c:1:17: error: num.partitions: -3 is below the minimum 1"]),
    "yes": (b"auto.create.topics.enable: yes\n", [r"^c:1:28: error: .*neither true nor false", "^hint: write true"]),
    "an unknown choice": (b"logging.level: LOUD\n", [r"^c:1:16: error: .* not one of: debug, info, warn, error"]),
    "no value": (b"data: {dir: }\n", [r"^c:1:8: error: data.dir has no value", "^hint: leave the line out"]),
    "a long line": (b"broker.rack: " + b"x" * (MIB - 14), [r"^c:1:14: error: broker.rack: the text is longer than 1024"]),
    "a large file": (b"#" * (2 * MIB), [r"^leatd: --config c: it is larger than 1 MiB"]),
    "deep nesting": (b"a: " + b"{a: " * 20000, [r"^c:1:36: error: nested more than 8 deep"]),
    "a deep list": (b"[" * 20000, [r"^c:1:9: error: nested more than 8 deep"]),
    "an alias bomb": (b"a: &x [1]\nb: *x\n", [r"^c:1:1: error: unknown key 'a'"]),
    "an anchor": (b"node.id: &x 1\n", [r"^c:1:10: error: anchors and aliases are not supported: write the value out"]),
    "a control character": (b'broker.rack: "a\\u0007b"\n', [r"^c:1:14: error: .* control character"]),
    "an odd key": (b"? [a]\n: 1\n", [r"^c:1:3: error: a key must be a short plain text"]),
    "no listener": (b"listeners: []\n", [r"^c:1:12: error: listeners: there must be at least one"]),
    "a listener without an address": (b"listeners:\n  - { name: a }\n", [r"^c:2:5: error: listeners: an entry has no address"]),
    "a listener without a port": (b"listeners:\n  - { address: localhost }\n", [r"^c:2:5: error: listeners: 'localhost' has no port", "^hint: write address: "]),
    "port 70000": (b"listeners: [{address: '127.0.0.1:70000'}]\n", [r"^c:1:13: error: .* has a port above 65535"]),
    "a listener twice": (b"listeners: [{address: 'localhost:1'}, {address: 'localhost:1'}]\n", [r"^c:1:39: error: listeners: localhost:1 is given twice"]),
    "an unknown field": (b"listeners: [{adress: 'localhost:1'}]\n", [r"^c:1:14: error: listeners: unknown field 'adress'", "^hint: a listener has name"]),
    "a peer without a port": (b"peers: [b1]\n", [r"^c:1:\d+: error: peers: 'b1' has no port", "^hint: write peers: "]),
    "a peer twice": (b"peers: ['localhost:1', 'localhost:1']\n", [r"^c:1:\d+: error: peers: 'localhost:1' is given twice"]),
    "loopback among peers": (b"peers: ['b1:9092', 'b2:9092']\n", [r"error: listeners: 127.0.0.1 cannot be told to peers on other machines", "^hint: listen where the peers reach"]),
    "open to everybody": (b"listeners: [{address: '0.0.0.0:1'}]\n", [r"^c:1:13: error: .* reachable from other machines", "^hint: .*security.open"]),
    "a contradiction": (b"message.max.bytes: 6MiB\nlog.segment.bytes: 5MiB\n", [r"^c:1:20: error: message.max.bytes \(6MiB\) is above log.segment.bytes \(5MiB\)"]),
    "more than the memory allows": (b"socket.request.max.bytes: 1GiB\n", [r"^c:1:27: error: .* is above 16MiB", "^hint: .*raise limits.memory"]),
    "too many shards": (b"shards: 64\n", [r"^c:1:9: error: limits.memory: 512MiB for 64 shards", "^hint: raise limits.memory or lower shards"]),
}

failures = []


def run(arguments, user=None, environment=None):
    return subprocess.run([LEATD, *arguments], capture_output=True, timeout=60, user=user,
                          env={**os.environ, **(environment or {})})


def expect(what, done, status, patterns, nothing_else=True):
    said = done.stderr.decode("utf-8", "replace")
    wrong = [] if done.returncode == status else [f"status {done.returncode}, not {status}"]
    wrong += [f"nothing like {p}" for p in patterns if not re.search(p, said, re.M)]
    if nothing_else and b"ready" in done.stdout:
        wrong.append("it started")
    if "did not expect" in said:
        wrong.append("a message that says nothing")
    print(("ok: " if not wrong else "WRONG: ") + what)
    if wrong:
        failures.append(what)
        print("    " + "; ".join(wrong) + "\n    said: " + said[:600].replace("\n", "\n          "))


def files():
    for what, (text, patterns) in FILES.items():
        with open("c", "wb") as f:
            f.write(text)
        expect(what, run(["--config", "c", "--data", "never"]), CONFIG, patterns)
        # What --check-config says is what a start says.
        expect(what + ", checked", run(["--check-config", "c"]), CONFIG, patterns)
    assert not os.path.exists("never"), "a refused configuration has made a data directory"
    open("empty", "w").close()
    expect("an empty file is all defaults", run(["--check-config", "empty"]), 0, [])


def arguments():
    os.mkdir("folder")
    os.mkfifo("pipe")
    writer = os.open("pipe", os.O_RDWR)
    expect("a missing file", run(["--config", "gone"]), CONFIG, ["^leatd: --config gone: no such file"])
    expect("a directory", run(["--config", "folder"]), CONFIG, ["^leatd: --config folder: it is a directory"])
    expect("a pipe", run(["--config", "pipe"]), CONFIG, ["^leatd: --config pipe: it is not a regular file"])
    os.close(writer)
    expect("below a file", run(["--config", "empty/x"]), CONFIG, ["^leatd: --config empty/x: Not a directory"])
    expect("an unknown option", run(["--foo"]), USAGE, ["unknown option '--foo'", "--help lists"])
    expect("an option without its value", run(["--config"]), USAGE, ["--config needs a value"])
    expect("a setting without =", run(["--set", "x"]), USAGE, ["--set takes KEY=VALUE"])
    expect("an unknown setting", run(["--set", "nod.id=1"]), CONFIG, ["^--set: error: unknown key 'nod.id'", "^hint: did you mean node.id"])
    expect("a bad variable", run([], environment={"LEAT_NODE_ID": "x"}), CONFIG, ["^LEAT_NODE_ID: error: node.id: 'x' is not a number"])


def directories():
    here = ["--listen", "127.0.0.1:0", "--data"]
    os.mkdir("foreign")
    open("foreign/photo", "w").close()
    for name, text in (("newer", "leat data directory, format 9\n"), ("rubbish", "hello\n")):
        os.mkdir(name)
        with open(f"{name}/format", "w") as f:
            f.write(text)
    expect("data.dir is a file", run([*here, "empty"]), CONFIG, ["^leatd: data.dir: empty cannot be used: Not a directory; name a directory"])
    expect("data.dir below a file", run([*here, "empty/x"]), CONFIG, ["^leatd: data.dir: empty/x cannot be used: Not a directory"])
    expect("somebody else's directory", run([*here, "foreign"]), CONFIG, ["^leatd: foreign is not empty and not a leat data directory"])
    expect("another format", run([*here, "newer"]), CONFIG, ["^leatd: newer was written by another version"])
    expect("no format", run([*here, "rubbish"]), CONFIG, ["^leatd: rubbish/format is not that of"])
    expect("an endless path", run([*here, "x/" * 400]), CONFIG, ["is too long"])
    expect("an empty path", run([*here, ""]), CONFIG, ["^--data: error: data.dir: a directory must be given"])
    # As root nothing is forbidden, so another user is taken, if the program can be reached by it.
    reachable = subprocess.run(["test", "-x", LEATD], user=NOBODY if os.geteuid() == 0 else None).returncode == 0
    if os.geteuid() != 0 or not reachable:
        print("left out: directories and files without permission")
    else:
        os.chmod(".", 0o755)
        os.mkdir("closed", 0)
        with open("secret", "w") as f:
            os.chmod("secret", 0)
        expect("a directory without permission", run([*here, os.path.abspath("closed")], user=NOBODY), CONFIG,
               ["closed cannot be used: Permission denied; leatd must be able to read, write"])
        expect("a file without permission", run(["--config", os.path.abspath("secret")], user=NOBODY), CONFIG,
               ["secret: Permission denied"])


def addresses():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        expect("a port in use", run(["--data", "d1", "--listen", f"127.0.0.1:{port}"]), BUSY,
               [rf"^leatd: listeners: cannot listen on 127.0.0.1:{port} \(plain\): Address already in use; stop the program"])
    public = ["--set", "security.open=true", "--data", "d2", "--listen"]
    expect("an address of another machine", run([*public, "192.0.2.1:29999"]), CONFIG,
           [r"^leatd: listeners: cannot listen on 192.0.2.1:29999 .*name an address of this machine"])
    broker = subprocess.Popen([LEATD, "--data", "d3", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    line = broker.stdout.readline().decode()
    port = re.search(r"127\.0\.0\.1:(\d+)", line).group(1)
    expect("a locked directory", run(["--data", "d3", "--listen", "127.0.0.1:0"]), BUSY,
           ["^leatd: d3 is in use by another leatd; stop it, or name another directory with --data"])
    expect("another leatd's port", run(["--data", "d4", "--listen", f"127.0.0.1:{port}"]), BUSY,
           ["Address already in use"])
    broker.terminate()
    broker.wait(30)
    expect("another node's directory", run(["--data", "d3", "--listen", "127.0.0.1:0", "--set", "node.id=7"]),
           CONFIG, ["belongs to node.id 1, but this node is configured as 7; set node.id to 1 or choose"])


with tempfile.TemporaryDirectory(dir=os.environ.get("SCRATCH")) as scratch:
    os.chdir(scratch)
    files()
    arguments()
    directories()
    addresses()
    os.chdir("/")
print(f"{len(failures)} wrong")
sys.exit(1 if failures else 0)
