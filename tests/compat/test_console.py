#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The console as a program: what it says, where, and with which exit status."""
import json
import os
import pty
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from broker import BUILD, Broker, same

LEAT = os.path.abspath(f"{BUILD}/bin/leat")
LIMIT_S = 30
HOME = tempfile.mkdtemp(dir=os.environ.get("SCRATCH"))


def leat(b, *arguments, text=""):
    """(status, stdout, stderr)"""
    return plain("-b", b.address, *arguments, text=text)


def plain(*arguments, text="", **environment):
    done = subprocess.run([LEAT, *arguments], input=text, capture_output=True, text=True, timeout=LIMIT_S,
                          env={**os.environ, "XDG_CONFIG_HOME": HOME, **environment})
    return done.returncode, done.stdout, done.stderr


def refused(b, status, said, *arguments, text=""):
    got, _, error = leat(b, *arguments, text=text)
    assert got == status and said in error, f"leat {' '.join(arguments)}: {got}, not {status} and '{said}': {error}"
    print(f"ok: leat {' '.join(arguments)}: {said}")


def ends(b, topic):
    """The ends of its partitions."""
    return [row["end"] for row in json.loads(leat(b, "topic", "offsets", topic, "--output", "json")[1])]


def check_topics(b):
    same(leat(b, "topic", "create", "t", "-p", "3", "-c", "durability=memory")[:2], (0, "created topic t\n"), "a topic is created")
    refused(b, 2, "at least one partition", "topic", "create", "none", "-p", "0")
    refused(b, 2, "offsets of which topic?", "topic", "offsets")
    refused(b, 4, "topic t has no partition 3: its last partition is 2", "consume", "t", "-e", "-p", "0,3")
    same(leat(b, "topic", "create", "v", "--validate-only")[:2], (0, "topic v could be created\n"), "nothing is created")
    refused(b, 4, "topic v does not exist", "topic", "describe", "v")
    refused(b, 2, "t-0 ends at offset 0, before 5: nothing was trimmed", "topic", "trim", "t", "-o", "5")
    refused(b, 4, "topic t has no partition 7", "topic", "trim", "t", "-o", "end", "-p", "7")
    for line in (("topic", "list"), ("-Q", "-t", "t:0:-1"), ("-L",), ("-C", "-t", "t", "-e"), ("group", "list"), ("topic", "offsets", "t")):
        refused(b, 1, "cannot reach [::1]:1 (", "-b", "[::1]:1", *line)
    status, _, error = leat(b, "topic", "create", "far", "-r", "3")
    assert status == 1 and error.endswith("are registered.\n"), f"a broker's sentence is cut: {error}"
    assert "data.dir" in leat(b, "cluster", "config")[1]
    same(leat(b, "topic", "create", "one")[0], 0, "a topic")
    same(leat(b, "topic", "add-partitions", "one", "--total", "1")[0], 1, "it has one partition already")
    same(leat(b, "group", "reset", "counts", "-t", "one", "--to-latest", "--execute")[1].splitlines()[-1], "moved 1 partition of group counts", "one")
    same(leat(b, "group", "delete", "counts", "-t", "one")[1], "group counts has forgotten 1 partition\n", "is one partition")
    leat(b, "group", "delete", "counts")
    same(leat(b, "topic", "delete", "one")[0], 0, "deleted")


def check_replicas(b):
    """One broker alone: what there is to move, and what is refused. A topic's name stands for all its partitions."""
    leat(b, "topic", "create", "placed", "-p", "2")
    same(leat(b, "topic", "reassign"), (0, "", "leat: no partition is being reassigned\n"), "nothing moves")
    same(json.loads(leat(b, "topic", "reassign", "placed", "--output", "json")[1]), [], "nothing moves, as JSON")
    same(leat(b, "topic", "reassign", "placed", "--replicas", "1")[:2], (0, "placed-0 goes to 1\nplaced-1 goes to 1\n"), "to where it is")
    same(json.loads(leat(b, "topic", "reassign", "placed", "--replicas", "1", "-p", "1", "--output", "json")[1]),
         [{"topic": "placed", "partition": 1, "replicas": [1]}], "one, as JSON")
    refused(b, 1, "placed-0: The manual partition assignment includes broker 7, but no such broker is registered",
            "topic", "reassign", "placed", "--replicas", "1,7")
    refused(b, 1, "more than once", "topic", "reassign", "placed", "--replicas", "1,1", "-p", "1")
    for wrong in ("", "one", "1,", "1,,2", "-1", "1 2", "99999999999"):
        refused(b, 2, f"'{wrong}' is no list of brokers", "topic", "reassign", "placed", "--replicas=" + wrong)
    for short in (("-r", "3"), ("-r3",), ("-r",)):
        refused(b, 2, "--replicas 1,2,3 names the brokers", "topic", "reassign", "placed", *short)
    refused(b, 2, "--shrink belongs to --replicas", "topic", "reassign", "placed", "--shrink")
    refused(b, 2, "--replicas or --cancel?", "topic", "reassign", "placed", "--replicas", "1", "--cancel")
    refused(b, 2, "where to?", "topic", "reassign", "placed", "-p", "1")
    refused(b, 4, "topic placed has no partition 2", "topic", "reassign", "placed", "--replicas", "1", "-p", "2")
    refused(b, 4, "topic none does not exist", "topic", "reassign", "none", "--replicas", "1")
    refused(b, 4, "topic none does not exist", "topic", "reassign", "none")
    refused(b, 0, "no partition of placed is being reassigned", "topic", "reassign", "placed", "--cancel")
    refused(b, 1, "No partition reassignment is in progress", "topic", "reassign", "placed", "--cancel", "-p", "0")
    same(leat(b, "topic", "elect", "placed")[:2], (0, "placed-0: broker 1 leads already, its preferred replica\nplaced-1: broker 1 leads already, its preferred replica\n"),
         "nothing to elect")
    same(leat(b, "topic", "elect", "placed", "-p", "1", "--unclean")[:2], (0, "placed-1: broker 1 leads: there is nothing to elect while somebody does\n"), "nor uncleanly")
    same(json.loads(leat(b, "topic", "elect", "placed", "-p", "0", "--output", "json")[1]),
         [{"topic": "placed", "partition": 0, "elected": False, "leader_before": 1, "leader": 1}], "as JSON")
    refused(b, 4, "topic placed has no partition 2", "topic", "elect", "placed", "-p", "2")
    refused(b, 2, "name one topic", "topic", "elect")


def check_fresh(b):
    """Of an empty broker, and of one thing, people read one, not \"1 things\"."""
    assert re.match(r"cluster \S+, 0 topics, 0 partitions\n", leat(b, "cluster", "info")[1])
    data = f"{b.scratch.name}/data"
    status, out, _ = plain("log", "verify", data, "--force-read")
    assert status == 0 and re.search(r": 1 log, 0 segments with 0 batches \(0.0 MB\), \d+ live journal groups?: no damage\n", out), out
    same(leat(b, "topic", "create", "one")[0], 0, "a topic")
    assert re.match(r"cluster \S+, 1 topic, 1 partition\n", leat(b, "cluster", "info")[1])
    same(leat(b, "cluster", "health")[1], "healthy: 1 partition, 0 without a leader, 0 under-replicated\n", "healthy")
    same(leat(b, "topic", "add-partitions", "one", "--total", "2")[1], "topic one has 2 partitions\n", "grown")
    same(leat(b, "produce", "one", "-p", "0", text="x\n")[0], 0, "a record")
    same(plain("log", "verify", data, "--force-read", "-q"), (0, "", ""), "quiet")
    same(leat(b, "topic", "delete", "one")[0], 0, "deleted")


def check_empty_names(b):
    """What a script leaves empty by mistake is refused: it stands neither for "all" nor for "without end"."""
    same(leat(b, "topic", "create", "e", "-p", "2")[0], 0, "a topic")
    same(leat(b, "group", "reset", "e", "-t", "e", "--to-latest", "--execute")[0], 0, "a group")
    for line in (("topic", "describe", ""), ("topic", "offsets", ""), ("topic", "trim", "", "-o", "end"),
                 ("topic", "add-partitions", "", "--add", "1"), ("consume", "", "-e"), ("consume", "e", "", "-e"), ("-C", "-t", "", "-e"),
                 ("group", "reset", "e", "-t", "", "--to-earliest"), ("group", "reset", "e", "-t", ":0", "--to-earliest"),
                 ("group", "delete", "e", "-t", "")):
        refused(b, 4, "topic '' does not exist", *line)
    refused(b, 1, "the topic name is invalid", "produce", "")
    refused(b, 2, "-p: '' is not a list of partitions", "consume", "e", "-e", "-p", "")
    refused(b, 2, "-g: a group needs a name", "consume", "e", "-e", "-g", "")
    refused(b, 2, "-K: the delimiter is empty", "produce", "e", "-K", "", text="a:b\n")
    refused(b, 2, "-t 'e:': expected TOPIC or TOPIC:0,1,2", "group", "reset", "e", "-t", "e:", "--to-earliest")
    refused(b, 2, "--wait: '0' is not a duration", "consume", "e", "--wait", "0")
    refused(b, 2, "--timeout: '0' is not a duration", "--timeout", "0", "topic", "list")
    refused(b, 2, "trim to one offset, not a range", "topic", "trim", "e", "-o", "0:1")
    refused(b, 4, "there is no broker 77: see leat cluster brokers", "cluster", "config", "77")
    refused(b, 4, "there is no broker x: see leat cluster brokers", "cluster", "config", "x", "--set", "a=b")
    refused(b, 2, "cluster config: either broker 1 or --all", "cluster", "config", "1", "--all")
    refused(b, 1, "min.insync.replicas is one for all brokers", "cluster", "config", "--set", "min.insync.replicas=2")
    same(leat(b, "cluster", "config", "--all", "--set", "min.insync.replicas=2")[1], "altered all brokers\n", "of all brokers")
    assert re.search(r"^min.insync.replicas +2 +cluster$", leat(b, "cluster", "config")[1], re.M), "one broker tells the cluster's"
    same(leat(b, "cluster", "config", "--all", "--unset", "min.insync.replicas")[0], 0, "taken back")
    refused(b, 2, "topic has no 'destroy'", "help", "topic", "destroy")
    refused(b, 2, "leat-bench", "bench", "produce")
    same(leat(b, "group", "reset", "e", "-t", "e:1,1", "-t", "e", "--to-earliest", "--execute")[1].splitlines()[-1],
         "moved 2 partitions of group e", "a partition that is named twice is one")
    for query in ("e", "e:0", "e:0:abc", "e:x:0", "e:0:", "e::0", ":0:0", "e:-1:0", "e:99999999999:0", "e:0:99999999999999999999"):
        refused(b, 2, f"-Q: '{query}' is not TOPIC:PARTITION:TIMESTAMP", "-Q", "-t", query)
    same(leat(b, "-C", "-t", "e", "-e", "-d", "broker,topic")[0], 0, "librdkafka's debugging has no meaning here")


def check_internal(b):
    """What the groups remember is not lost by a slip of the hand."""
    refused(b, 1, "__consumer_offsets is the broker's own", "topic", "trim", "__consumer_offsets", "-o", "end")
    refused(b, 2, "--internal deletes it nevertheless", "topic", "delete", "__consumer_offsets")
    same(leat(b, "group", "describe", "e")[0], 0, "the group is there")
    same(leat(b, "topic", "delete", "--internal", "__consumer_offsets")[1], "deleted topic __consumer_offsets\n", "who means it can")
    same(leat(b, "group", "describe", "e")[0], 4, "the group is gone")
    same(leat(b, "group", "reset", "e", "-t", "e", "--to-latest", "--execute")[0], 0, "groups are made again")
    same(leat(b, "group", "delete", "e")[0], 0, "deleted")
    same(leat(b, "topic", "delete", "e")[0], 0, "deleted")


def check_output(b):
    """Output that goes nowhere ends the console, even when it has nothing more to write."""
    same(leat(b, "produce", "t", "-p", "0", text="one\ntwo\n")[0], 0, "two records")
    follower = subprocess.Popen([LEAT, "-b", b.address, "consume", "t", "-o", "beginning"], stdout=subprocess.PIPE)
    same(follower.stdout.readline(), b"one\n", "a follower shows what is there at once")
    follower.stdout.close()
    same(follower.wait(LIMIT_S), -signal.SIGPIPE, "and ends with its reader")
    with open("/dev/full", "w") as full:
        done = subprocess.run([LEAT, "-b", b.address, "consume", "t", "-e"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=LIMIT_S)
    same((done.returncode, done.stderr), (1, "leat: cannot write the output: No space left on device\n"), "a full disk is told")
    same(leat(b, "consume", "t", "-e", "--output", "json")[1], leat(b, "consume", "t", "-e", "-J")[1], "--output json is -J")
    refused(b, 2, "--output of consume is json", "consume", "t", "-e", "--output", "yaml")


def check_input(b):
    refused(b, 1, "an envelope has a \"value\"", "produce", "t", "-J", text='{"order":1}\n')
    status, _, error = leat(b, "produce", "t", "--key-field", "user", text='{"user":"a"}\n{"usr":"b"}\n')
    same((status, error), (0, "leat: 1 record without a field 'user': without a key\n"), "a field that is missing is told")
    refused(b, 1, "does not fit into message.max.bytes (1000000), which counts what is around it as well: raise it, and the topic's "
            "max.message.bytes if that is smaller", "produce", "t", text="x" * 1000000)
    refused(b, 1, "larger than the topic's max.message.bytes", "produce", "t", "-X", "message.max.bytes=3000000", text="x" * 2000000)
    refused(b, 1, "topic //nope: the topic name is invalid: 1 to 249 of [a-zA-Z0-9._-]; a file is read with -l FILE", "produce", "//nope")


def check_broken_input(b):
    """A line that cannot be published: all before it is acknowledged, nothing behind it is sent, and both are said."""
    path = f"{HOME}/lines"
    good = '{"value":"%d"}'
    cases = (("-J", good, "not json", "not a JSON object: "), ("-J", good, "", "not a JSON object: "),
             (("--key-field", "value"), good, "{broken", "not a JSON object: "),
             (("--key-field", "value"), good, "[1]", "not a JSON object: another value"),
             (("--base64", "value"), "%04d", "?", "the value is not base64"),
             (("-f", "%k=%v\\n"), "%d=v", "none", "the text behind %k is missing"),
             ((), "%d", "x" * 1000000, "a record of 1000000 bytes does not fit"))
    for number, (flags, line, broken, why) in enumerate(cases):
        topic, flags = f"broken-{number}", (flags,) if isinstance(flags, str) else flags
        same(leat(b, "topic", "create", topic)[0], 0, "a topic")
        text = "".join([line % n + "\n" for n in range(3000)] + [broken + "\n"] + [line % n + "\n" for n in range(9)])
        with open(path, "w") as file:
            file.write(text)
        status, _, error = leat(b, "produce", topic, *flags, text=text)
        assert status == 1 and f"leat: stdin:3001: {why}" in error, (flags, status, error)
        same(error.splitlines()[-1], "leat: 3,000 records published before it, nothing from there on", "how many")
        same(ends(b, topic), [3000], f"and so many are there ({' '.join(flags)})")
        status, _, error = leat(b, "produce", topic, *flags, "-l", path, "-l", path)
        assert status == 1 and f"leat: {path}:3001: {why}" in error, (flags, status, error)
        same(ends(b, topic), [6000], "the file behind is not begun")
    with open(path, "w") as file:
        file.writelines(f"{n}\n" for n in range(3010))
    same(leat(b, "topic", "create", "files")[0], 0, "a topic")
    refused(b, 2, f"{HOME}/none: No such file", "produce", "files", "-l", path, "-l", f"{HOME}/none")
    same(ends(b, "files"), [0], "nothing is published when a file is not there")
    refused(b, 1, "3,010 records published before it", "produce", "files", "-l", path, "-l", HOME)
    refused(b, 1, f"{HOME}: cannot be read: Is a directory", "produce", "files", "-l", HOME)
    same(ends(b, "files"), [3010], "what stands before a file that cannot be read is published")
    refused(b, 1, "stdin: record 2: not a JSON object", "produce", "broken-0", "-J", "-D", ";", text='{"value":1};x;')


def check_formats(b):
    """What consume -f prints, produce -f reads."""
    text = "1;k a;v 1|2;;v 2|0;k3;|"
    same(leat(b, "topic", "create", "f", "-p", "3")[0], 0, "a topic")
    same(leat(b, "produce", "f", "-f", "%p;%k;%v|", text=text)[0], 0, "read by a format")
    same(sorted(leat(b, "consume", "f", "-e", "-f", "%p;%k;%v|")[1].split("|")), sorted(text.split("|")), "and printed by it")
    same(leat(b, "produce", "f", "-f", "%T:%k{hex}:%v{base64}", "-p", "0", text="1700000000000:6b00:dgE=\n")[0], 0, "encoded")
    same(leat(b, "consume", "f", "-p", "0", "-o", "-1", "-e", "-f", "%T:%k{hex}:%v{base64}\n")[1], "1700000000000:6b00:dgE=\n", "and back")
    refused(b, 1, "stdin:2: the text behind %k is missing", "produce", "f", "-f", "%k=%v", text="a=b\nc\n")
    refused(b, 1, "stdin:1: %p cannot be read", "produce", "f", "-f", "%p %v", text="x y\n")
    refused(b, 2, "text is missing between %k and %s", "produce", "f", "-f", "%k%v")
    refused(b, 2, "%o cannot be read", "produce", "f", "-f", "%o %v")
    refused(b, 2, "-f says how records are read", "produce", "f", "-f", "%v", "-J")


def check_kcat(b):
    same(leat(b, "-P", "-t", "k", "-H", "empty=", "-H", "null", text="v\n")[0], 0, "kcat's header without a value")
    same(leat(b, "-C", "-t", "k", "-e", "-q", "-f", "%h\n")[1], "empty=,null=NULL\n", "it is null")
    refused(b, 2, "-t is not known in front of a command (kcat's lines begin with -P, -C, -L, -Q or -G)", "-t", "k", "-e")
    refused(b, 2, "-W is not known here: see leat help", "-C", "-t", "k", "-W")
    refused(b, 2, "-c: 'x' is not a number from 0 on", "-C", "-t", "k", "-c", "x")
    same(leat(b, "-Q", "-t", "k:0:-1", "-t", "k:0:-2")[1], "k [0] offset 1\nk [0] offset 0\n", "every -t is asked for")


def check_lost(b):
    """What is no broker: a message that does not promise another attempt when there will be none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def hang_up():
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        status, _, error = leat(b, "-b", address, "--timeout", "1s", "topic", "list")
        server.shutdown(socket.SHUT_RDWR)
    assert status in (1, 3) and address in error and "trying again" not in error, (status, error)
    print("ok: a connection that is closed again and again")


def check_help(b):
    """Each command and each action has a page of its own, and knows no flag that is not on it."""
    shown = plain("help")[1]
    commands = re.findall(r"^  (\w+) ", shown.split("\n\n")[1], re.M)
    assert {"produce", "consume", "topic", "group", "cluster", "log", "context", "completion"} <= set(commands), commands
    for command in commands:
        status, page, _ = plain(command, "--help")
        assert status == 0 and page.startswith(f"usage: leat {command}"), (command, status, page)
        same(plain("help", command)[1], page, f"leat help {command}")
        for action in re.findall(r"^  ([a-z-]+)(?: [A-Z\[]|  )", page.split("\n\n")[2] if "ACTION" in page else "", re.M):
            status, page, _ = plain(command, action, "--help")
            assert status == 0 and page.startswith(f"usage: leat {command} {action}"), (command, action, page)
    refused(b, 2, "-p is not known here: see leat topic list --help", "topic", "list", "-p", "3")
    refused(b, 2, "group list, describe, lag, reset or delete? (leat group --help)", "group", "bogus")
    refused(b, 2, "cluster info takes no 'more'", "cluster", "info", "more")
    for word in ("x", "", "-1", "1x", "99999999999"):
        refused(b, 2, f"cluster add: '{word}' is not the number of a node (leat cluster quorum shows them)", "cluster", "add", "--", word)
    refused(b, 2, "cluster remove: '' is not the number of a node (leat cluster quorum shows them)", "cluster", "remove")
    refused(b, 1, "node 1 votes already", "cluster", "add", "1")
    refused(b, 4, "nothing is heard of node 7: it must run, as a member of this cluster, to become a voter", "cluster", "add", "7")
    refused(b, 4, "node 7 does not vote", "cluster", "remove", "7")
    refused(b, 1, "cannot take the vote of node 1: Node 1 is the only voter.", "cluster", "remove", "1")


def check_structured(b):
    """What is said in tables and sentences is said in JSON and YAML too."""
    def answer(*arguments):
        status, out, error = leat(b, *arguments, "--output", "json")
        assert status == 0, (arguments, status, error)
        return json.loads(out)

    same(answer("topic", "create", "s1", "s2"), [{"topic": "s1", "created": True}, {"topic": "s2", "created": True}], "create")
    same(answer("topic", "alter", "s1", "--set", "retention.ms=1000"), [{"topic": "s1", "altered": True}], "alter")
    same(answer("topic", "add-partitions", "s1", "--total", "2"), [{"topic": "s1", "partitions": 2}], "add-partitions")
    same(answer("topic", "trim", "s2", "-o", "end"), [{"topic": "s2", "partition": 0, "start": 0}], "trim")
    same(answer("topic", "offsets", "s1")[1], {"topic": "s1", "partition": 1, "start": 0, "end": 0, "offsets": 0}, "offsets")
    same(leat(b, "topic", "offsets", "s1")[1].splitlines()[0].split(), ["TOPIC", "PARTITION", "START", "END", "OFFSETS"], "in a table")
    health = answer("cluster", "health")
    same((health["healthy"], health["controller"], health["leaderless"], health["first_leaderless"], health["fenced_brokers"]),
         (True, True, 0, [], []), "health")
    same((health["draining_brokers"], health["brokers"], health["voters"], health["silent_voters"], health["first_under_replicated"], health["moving"]),
         ([], 1, 1, [], [], 0), "nobody is drained, and nothing is missing")
    same(leat(b, "cluster", "health", "--local")[:2], (0, "this broker answers and knows a controller\n"), "this broker alone")
    health = answer("cluster", "health", "--local")
    same((health["healthy"], health["fenced_brokers"], health["voters"], health["unwritable"]), (True, None, None, None), "others are not asked for")
    refused(b, 1, "cannot drain broker 1: there is no other broker that could lead in its place", "cluster", "drain", "1")
    refused(b, 1, "there is no broker 7 that is heard of", "cluster", "drain", "7")
    refused(b, 2, "'x': a broker is a number, see leat cluster brokers", "cluster", "undrain", "x")
    refused(b, 2, "cluster drain which broker? see leat cluster brokers", "cluster", "drain")
    for heir in ((), ("7",)):
        refused(b, 1, "broker 1 goes on leading the metadata quorum: there is no other voter", "cluster", "transfer-leader", *heir)
    same(answer("cluster", "undrain", "1"), {"broker": 1, "drained": False}, "undrain")
    same(answer("cluster", "transfer-leader", "1"), {"before": 1, "leader": 1, "transferred": True}, "it leads already")
    quorum = answer("cluster", "quorum")
    same((quorum["leader"], len(quorum["replicas"])), (1, 1), "a quorum of one")
    replica = quorum["replicas"][0]
    same((replica["id"], replica["role"], replica["end"], replica["behind"]), (1, "leader", quorum["high_watermark"], 0), "its leader")
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", replica["directory"]), replica
    assert abs(replica["fetched_ms"] / 1000 - time.time()) < LIMIT_S and replica["caught_up_ms"] == replica["fetched_ms"], replica
    lines = leat(b, "cluster", "quorum")[1].splitlines()
    assert re.fullmatch(r"leader 1, epoch \d+, committed up to offset \d+", lines[0]), lines
    same(lines[2].split(), ["ID", "ROLE", "END", "BEHIND", "FETCHED", "CAUGHT-UP"], "the quorum in a table")
    same(lines[3].split()[:2], ["1", "leader"], "and its one replica")
    same(answer("topic", "delete", "s1", "s2"), [{"topic": "s1", "deleted": True}, {"topic": "s2", "deleted": True}], "delete")
    same(leat(b, "version", "--output", "yaml")[1], f'version: "{answer("version")["version"]}"\n', "version")
    assert answer("cluster", "health")["healthy"] and answer("cluster", "brokers")[0]["id"] == 1
    assert "healthy: true" in leat(b, "cluster", "health", "--output", "yaml")[1]


def check_several(b):
    """Of several names one is refused: that is said, the others are served, and the first refusal is the exit status."""
    def answer(*arguments):
        status, out, error = leat(b, *arguments, "--output", "json")
        return status, json.loads(out), error.splitlines()

    status, rows, said = answer("topic", "create", "half", "half", "no/name", "other")
    exists = rows[1].get("error")
    assert "half" in exists and "no/name" in rows[2]["error"], rows
    same((status, [(row["topic"], row["created"]) for row in rows], said),
         (1, [("half", True), ("half", False), ("no/name", False), ("other", True)], [f"leat: {rows[n]['error']}" for n in (1, 2)]), "create")
    gone = "topic gone does not exist: see leat topic list"
    status, rows, said = answer("topic", "describe", "gone", "half", "none", "other")
    same((status, [row["name"] for row in rows], rows[0]["error"], len(said)), (4, ["gone", "half", "none", "other"], gone, 2), "describe")
    status, out, error = leat(b, "topic", "describe", "gone", "half")
    assert status == 4 and out.startswith("half  (id ") and error == f"leat: {gone}\n", (status, out, error)
    same(answer("topic", "offsets", "gone", "half")[:2],
         (4, [{"topic": "gone", "error": gone}, {"topic": "half", "partition": 0, "start": 0, "end": 0, "offsets": 0}]), "offsets")
    same(answer("topic", "reassign", "gone", "half")[:2], (4, [{"topic": "gone", "error": gone}]), "what is being reassigned")
    status, out, error = leat(b, "topic", "delete", "half", "gone", "__consumer_offsets", "other")
    same((status, out, len(error.splitlines())), (4, "deleted topic half\ndeleted topic other\n", 2), "delete")
    status, rows, _ = answer("topic", "delete", "__consumer_offsets", "gone")
    same((status, [row["deleted"] for row in rows]), (2, [False, False]), "nothing is deleted")
    assert "--internal deletes it" in rows[0]["error"] and "error" in rows[1], rows
    same(leat(b, "topic", "create", "read")[0], 0, "a topic")
    for group in ("here", "there"):
        same(leat(b, "group", "reset", group, "-t", "read", "--to-latest", "--execute")[0], 0, "a group")
    status, rows, said = answer("group", "describe", "here", "gone", "there")
    same((status, [row["group"] for row in rows], said), (4, ["here", "gone", "there"], [f"leat: {rows[1]['error']}"]), "groups described")
    status, rows, _ = answer("group", "lag", "gone", "there")
    same((status, [(row["group"], "error" in row) for row in rows]), (4, [("gone", True), ("there", False)]), "their lag")
    status, out, error = leat(b, "group", "describe", "gone", "there")
    assert status == 4 and out.startswith("there  ") and "gone" in error, (status, out, error)
    status, rows, _ = answer("group", "delete", "here", "gone", "there")
    same((status, [(row["group"], row["deleted"]) for row in rows]), (4, [("here", True), ("gone", False), ("there", True)]), "and deleted")
    same(leat(b, "topic", "delete", "read")[0], 0, "deleted")


def lag(b, group):
    return {(row["topic"], row["partition"]): (row["committed"], row["lag"])
            for row in json.loads(leat(b, "group", "lag", group, "--output", "json")[1])}


def check_groups(b):
    same(leat(b, "topic", "create", "g", "-p", "2")[0], 0, "a topic for groups")
    before = int(time.time() * 1000)
    same(leat(b, "produce", "g", "-p", "0", text="a\nb\nc\nd\n")[0], 0, "four records")
    refused(b, 4, "there is no group billing", "group", "describe", "billing")
    refused(b, 4, "there is no group billing", "group", "reset", "billing", "--to-latest")
    refused(b, 4, "--shift has no place to move from", "group", "reset", "billing", "-t", "g", "--shift", "1")
    refused(b, 2, "reset to where?", "group", "reset", "billing", "-t", "g")
    refused(b, 2, "one place to reset to", "group", "reset", "billing", "-t", "g", "--to-latest", "--to-earliest")
    refused(b, 4, "topic g has no partition 2", "group", "reset", "billing", "-t", "g:0,2", "--to-latest")
    status, out, error = leat(b, "group", "reset", "billing", "-t", "g", "--to-offset", "3")
    assert status == 0 and "nothing was changed" in error and "NEW" in out, (status, out, error)
    assert re.search(r"^g +1 +- +0 +0 +0 +0 +3 is beyond the end$", out, re.M) and re.search(r"^g +0 +- +3 +0 +4 +1 +-$", out, re.M), out
    assert "NOTE" not in leat(b, "group", "reset", "billing", "-t", "g:0", "--to-offset", "3")[1], "a note for nothing"
    same([row["note"] for row in json.loads(leat(b, "group", "reset", "billing", "-t", "g", "--to-offset", "3", "--output", "json")[1])["offsets"]],
         [None, "3 is beyond the end"], "what is cut is said in JSON, too")
    same(plain("-b", b.address, "group", "list")[1], "", "a preview makes no group")
    same(leat(b, "group", "reset", "billing", "-t", "g", "--to-offset", "3", "--execute")[0], 0, "executed")
    same(lag(b, "billing"), {("g", 0): (3, 1), ("g", 1): (0, 0)}, "offsets are kept within the log")
    for arguments, wanted in ((("--shift", "-2"), 1), (("--shift", "100"), 4), (("--shift", "-100"), 0), (("--to-offset", "3"), 3), (("--to-earliest",), 0), (("--to-latest",), 4),
                              (("--to-time", str(before)), 0), (("--to-time", str(before + 10 ** 9)), 4), (("-t", "g:0", "--to-offset", "2"), 2)):
        same(leat(b, "group", "reset", "billing", "--execute", *arguments)[0], 0, f"reset {' '.join(arguments)}")
        same(lag(b, "billing")["g", 0], (wanted, 4 - wanted), f"and is at {wanted}")
    for arguments, note in ((("--shift", "-100"), "-98 is before the start"), (("--shift", "3"), "5 is beyond the end"), (("--shift", "2"), "")):
        out = leat(b, "group", "reset", "billing", "-t", "g:0", *arguments)[1]
        same(("NOTE" in out, note in out), (bool(note), True), f"the preview of {' '.join(arguments)}: {note}")
    row = json.loads(leat(b, "group", "lag", "billing", "--output", "json")[1])[0]
    assert 0 <= row["lag_ms"] <= int(time.time() * 1000) - before + 1, row
    described = json.loads(leat(b, "group", "describe", "billing", "--output", "json")[1])[0]
    same((described["state"], described["members"], described["lag"]), ("Empty", [], 2), "described")
    same([row["group"] for row in json.loads(leat(b, "group", "list", "--output", "json")[1])], ["billing"], "listed")
    assert re.search(r"billing\s+Empty\s+0\s+2\s+2\s", leat(b, "group", "lag")[1])
    for answer, wanted in ((b"n\n", 2), (b"y\n", 0)):
        main, other = pty.openpty()
        asking = subprocess.Popen([LEAT, "-b", b.address, "group", "reset", "billing", "--to-earliest"], stdin=other,
                                  stdout=other, stderr=other)
        os.close(other)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(main, 4096)
        os.write(main, answer)
        same(asking.wait(LIMIT_S), 0, f"asked at a terminal, {answer!r}")
        os.close(main)
        same(lag(b, "billing")["g", 0][0], wanted, "and is believed")
    same(leat(b, "group", "delete", "billing", "-t", "g:1")[0], 0, "offsets of a partition are forgotten")
    same(set(lag(b, "billing")), {("g", 0)}, "the other stays")
    same(leat(b, "group", "delete", "billing")[1], "deleted group billing\n", "deleted")
    refused(b, 4, "there is no such group", "group", "delete", "billing")


def check_members(b):
    """consume -g: the group remembers what was shown, no more; members share; kcat and leat are members of one group."""
    same(leat(b, "topic", "create", "m", "-p", "4")[0], 0, "a topic for members")
    for partition in range(4):
        same(leat(b, "produce", "m", "-p", str(partition), text="".join(f"{partition}-{n}\n" for n in range(50)))[0], 0, "50 records")
    wanted = sorted(f"{partition}-{n}" for partition in range(4) for n in range(50))
    first = leat(b, "consume", "m", "-g", "readers", "-e", "-n", "70")[1].splitlines()
    same((len(first), sum(committed or 0 for committed, _ in lag(b, "readers").values())), (70, 70), "70 are read, and 70 committed")
    rest = leat(b, "consume", "m", "-g", "readers", "-e")[1].splitlines()
    same(sorted(first + rest), wanted, "the next one goes on: each record once")
    same(leat(b, "consume", "m", "-g", "readers", "-e")[:2], (0, ""), "nothing is left")
    same(leat(b, "group", "reset", "readers", "--to-offset", "48", "--execute")[0], 0, "back by two each")
    same(len(leat(b, "-G", "readers", "-e", "-q", "m")[1].splitlines()), 8, "by kcat's -G")
    same(len(leat(b, "consume", "m", "-g", "silent", "-e", "-X", "enable.auto.commit=false")[1].splitlines()), 200, "without commits")
    same(leat(b, "group", "lag", "silent", "--output", "json")[1].strip(), "[]", "nothing is committed")
    same(len(leat(b, "consume", "^m", "--regex", "-g", "pattern", "-e")[1].splitlines()), 200, "by a pattern")
    same(len(leat(b, "-C", "-t", "m", "-o", "stored", "-X", "group.id=readers", "-e", "-q")[1].splitlines()), 0, "stored offsets")
    refused(b, 2, "the group decides", "consume", "m", "-g", "readers", "-p", "0")
    refused(b, 2, "leat group reset moves a group", "consume", "m", "-g", "readers", "-o", "5")
    refused(b, 2, "in which group?", "consume", "m", "-o", "stored", "-e")
    refused(b, 4, "topic nothing does not exist", "consume", "nothing", "-g", "readers")

    command = [LEAT, "-b", b.address, "consume", "m", "-g", "team", "--from-beginning", "-X", "session.timeout.ms=6000"]
    members = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    deadline = time.monotonic() + LIMIT_S
    shares = []
    while sorted(shares) != [2, 2] and time.monotonic() < deadline:
        described = leat(b, "group", "describe", "team", "--output", "json")
        shares = [m["partitions"] for m in json.loads(described[1])[0]["members"]] if described[0] == 0 else []
    same(sorted(shares), [2, 2], "two members share the partitions")
    refused(b, 1, "has members", "group", "reset", "team", "-t", "m", "--to-earliest", "--execute")
    refused(b, 1, "has members", "group", "delete", "team")
    while sum(row[1] or 0 for row in lag(b, "team").values()) or len(lag(b, "team")) < 4:
        assert time.monotonic() < deadline, lag(b, "team")
    members[0].send_signal(signal.SIGINT)
    same(members[0].wait(LIMIT_S), 130, "one leaves")
    while shares != [4] and time.monotonic() < deadline:
        shares = [m["partitions"] for m in json.loads(leat(b, "group", "describe", "team", "--output", "json")[1])[0]["members"]]
    same(shares, [4], "the other takes its partitions")
    members[1].send_signal(signal.SIGINT)
    same(members[1].wait(LIMIT_S), 130, "and leaves, too")
    shown = [line for member in members for line in member.stdout.read().splitlines()]
    same(sorted(set(shown)), wanted, "all was shown")
    member = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not json.loads(leat(b, "group", "describe", "team", "--output", "json")[1])[0]["members"]:
        assert time.monotonic() < deadline
    for _ in range(2):
        member.send_signal(signal.SIGINT)
        while re.search(r"^(Sig|Shd)Pnd:\s*0*2$", open(f"/proc/{member.pid}/status").read(), re.M):
            assert time.monotonic() < deadline
    same(member.wait(LIMIT_S), 130, "a signal that comes twice, as timeout(1) sends it,")
    same(json.loads(leat(b, "group", "describe", "team", "--output", "json")[1])[0]["members"], [], "leaves the group as well")
    same(leat(b, "group", "delete", "readers", "team", "pattern")[0], 0, "deleted")


def members_of(b, group):
    return json.loads(leat(b, "group", "describe", group, "--output", "json")[1])[0]["members"]


def check_leaving(b):
    """However a member ends, it leaves its group: others need not wait for its session to end."""
    cases = [("an error", "{leat} consume m -g leaving -X auto.offset.reset=none", 4),
             ("a pipe that nobody reads", "set -o pipefail; {leat} consume m -g leaving --from-beginning -u | head -n 1", 141),
             ("--timeout", "{leat} --timeout 1s consume m -g leaving", 3),
             ("--wait", "{leat} consume m -g leaving --wait 1s -o end", 3),
             ("the terminal's end", "exec {leat} consume m -g leaving -o beginning -u", 130)]
    for what, line, status in cases:
        member = subprocess.Popen(["bash", "-c", line.format(leat=f"{LEAT} -b {b.address}")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if status == 130:
            member.stdout.readline()
            member.send_signal(signal.SIGHUP)
        same((member.communicate(timeout=LIMIT_S), member.returncode)[1], status, f"a member is ended by {what}")
        same(members_of(b, "leaving"), [], "and leaves its group")


def check_hints(b):
    """Who waits is not advised to do what he does."""
    cases = {("-o", "end"): " (-e stops at the end)", ("--from-beginning",): " (-e stops at the end)",
             (): " (--from-beginning reads what is there, -e stops at the end)"}
    same(leat(b, "topic", "create", "hints")[0], 0, "a topic without records")
    for words, hint in cases.items():
        main, other = pty.openpty()
        waiting = subprocess.Popen([LEAT, "-b", b.address, "consume", "hints", *words], stdout=subprocess.DEVNULL, stderr=other)
        said = ""
        while "\n" not in said:
            said += os.read(main, 1 << 16).decode()
        waiting.send_signal(signal.SIGINT)
        same((said.strip(), waiting.wait(LIMIT_S)), (f"leat: waiting for records of hints: Ctrl-C ends{hint}", 130), f"{words}")
        os.close(main)
        os.close(other)


def check_kcat_contexts(b):
    """kcat's lines stand on contexts as all others do; the current one is "nowhere"."""
    status, _, error = plain("-L")
    assert status == 1 and "127.0.0.1:1 (" in error, (status, error)
    for line, text in ((("-L",), ""), (("-P", "-t", "ctx"), "one\n"), (("-C", "-t", "ctx", "-e", "-c", "1"), ""), (("-Q", "-t", "ctx:0:-1"), "")):
        same(plain(*line, text=text, LEAT_CONTEXT="here")[0], 0, f"{' '.join(line)} by the environment")
        same(plain("--context", "here", *line, text=text)[0], 0, f"{' '.join(line)} by name")
        same(plain(*line, "--context=here", text=text)[0], 0, f"{' '.join(line)} by name, behind it")
        same(plain(*line, text=text, LEAT_BROKERS=b.address)[0], 0, f"{' '.join(line)} with LEAT_BROKERS")
        same(leat(b, *line, text=text)[0], 0, f"{' '.join(line)} with -b")
    path = f"{HOME}/context.conf"
    with open(path, "w") as file:
        file.write(f"bootstrap.servers={b.address}\n")
    same(plain("-L", KCAT_CONFIG=path)[0], 0, "a file that is named goes before the current one")
    assert "127.0.0.1:1 (" in plain("-L", KCAT_CONFIG=path, LEAT_CONTEXT="nowhere")[2]


def check_contexts(b):
    same(plain("context", "list")[:2], (0, ""), "no context yet")
    same(plain("context", "save", "here", "-b", b.address, "-X", "client.id=ctx")[0], 0, "saved")
    same(plain("context", "save", "nowhere", "-b", "127.0.0.1:1")[0], 0, "another")
    same(plain("--context", "here", "topic", "list")[0], 0, "by name")
    same(plain("topic", "list", "--context=here")[0], 0, "by name, behind the command")
    same(plain("topic", "list", LEAT_CONTEXT="here", LEAT_BROKERS="127.0.0.1:1")[0], 0, "by the environment")
    same(plain("--context", "nowhere", "-b", b.address, "topic", "list")[0], 0, "flags go first")
    same(plain("context", "use", "nowhere")[0], 0, "used from now on")
    assert "127.0.0.1:1 (" in plain("topic", "list")[2]
    same(plain("topic", "list", LEAT_BROKERS=b.address)[0], 0, "LEAT_BROKERS goes before the current one")
    check_kcat_contexts(b)
    same([(row["name"], row["current"]) for row in json.loads(plain("context", "list", "--output", "json")[1])],
         [("here", False), ("nowhere", True)], "listed")
    status, _, error = plain("--context", "none", "topic", "list")
    assert status == 2 and "there is no context 'none'" in error, error
    for action, said in (("save", "leat context save staging -b HOST:PORT"), ("use", "leat context list shows them")):
        status, _, error = plain("context", action)
        assert status == 2 and said in error, error
    status, _, error = plain("context", "save", "../x")
    assert status == 2 and "cannot be the name" in error, error
    same((plain("context", "rm", "here")[0], plain("context", "rm", "nowhere")[0]), (0, 0), "removed")
    same(plain("context", "rm", "nowhere")[0], 4, "gone")


def check_completion(b):
    def offered(*words):
        status, out, error = plain("__complete", *words)
        assert status == 0 and not error, (words, status, error)
        return out.splitlines()

    same(offered("co"), ["consume", "context", "completion"], "commands")
    same(offered("topic", "de"), ["delete", "describe"], "actions")
    same(offered("topic", "create", "--part"), ["--partitions"], "flags")
    assert "-r" not in offered("topic", "reassign", "-")
    same(offered("produce", "-z", "z"), ["zstd"], "values")
    same(offered("help", "t"), ["topic"], "commands to be helped with")
    same(offered("help", "topic", "cr"), ["create"], "and actions")
    same((offered("help", "topic", "create", ""), offered("help", "version", "")), ([], []), "and nothing more")
    same(leat(b, "topic", "create", "complete-me")[0], 0, "a topic")
    same(offered("-b", b.address, "topic", "create", "x", "-c", "segment.b"), ["segment.bytes="], "keys of a topic")
    same(offered("-b", b.address, "topic", "alter", "x", "--set", "segment.m"), ["segment.ms="], "keys that alter sets")
    same(plain("context", "save", "completing", "-b", b.address)[0], 0, "a context")
    same(offered("-c", "compl"), ["completing"], "contexts")
    same(offered("-c", "completing", "consume", "complete-m"), ["complete-me"], "topics of a context's broker")
    same(plain("context", "rm", "completing")[0], 0, "forgotten")
    same(offered("-b", b.address, "consume", "complete"), ["complete-me"], "topics of the broker")
    same(leat(b, "group", "reset", "complete-group", "-t", "complete-me", "--to-earliest", "--execute")[0], 0, "a group")
    same(offered("-b", b.address, "group", "lag", "comp"), ["complete-group"], "groups of the broker")
    same(offered("-b", b.address, "consume", "complete-me", "-g", "comp"), ["complete-group"], "as a flag's value")
    same(leat(b, "group", "delete", "complete-group")[0], 0, "the group is deleted")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        status, out, _ = plain("__complete", "-b", f"127.0.0.1:{silent.getsockname()[1]}", "consume", "")
        took = time.monotonic() - started
    assert out == "" and took < 2, (status, out, took)
    print(f"ok: a broker that says nothing is not waited for ({took:.2f} s)")
    script = ("source <(leat completion bash); COMP_WORDS=(leat -b " + b.address + " topic describe complete); COMP_CWORD=5; "
              "_leat; echo ${COMPREPLY[@]}")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=LIMIT_S,
                          env={**os.environ, "PATH": f"{os.path.dirname(LEAT)}:{os.environ['PATH']}"})
    same((done.stdout, done.stderr), ("complete-me\n", ""), "bash's script")
    for shell in ("zsh", "fish"):
        assert "__complete" in plain("completion", shell)[1]


def check_offline(b):
    """Paths are told as they were given."""
    data = f"{b.scratch.name}/data"
    for path in ("/nope", "/nope/", f"{HOME}/nope"):
        refused(b, 4, f"leat: {path.rstrip('/')} does not exist\n", "log", "dump", path)
        refused(b, 4, f"leat: {path.rstrip('/')} does not exist\n", "log", "verify", path)
    refused(b, 2, "dump which file or directory?", "log", "dump", "")
    refused(b, 2, "verify which directory?", "log", "verify", "")
    refused(b, 2, "leat: /etc/passwd is not a file of a data directory", "log", "dump", "/etc/passwd")
    same(plain("log", "verify", f"{data}//", "--force-read")[1].split(":")[0], data, "without slashes behind it")


def check_waiting(b):
    """Who waits for a healthy cluster waits for its broker, and is told so."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    waiting = subprocess.Popen([LEAT, "-b", f"127.0.0.1:{port}", "cluster", "health", "--exit-when-healthy"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    same(waiting.stderr.readline(), f"leat: cannot reach 127.0.0.1:{port} (refused): is leatd running? (trying again)\n", "told")
    with Broker(port=port):
        same((waiting.wait(LIMIT_S), waiting.stdout.read().split(":")[0], waiting.stderr.read()), (0, "healthy", ""), "and there it is")
    status, _, error = plain("-b", "127.0.0.1:1", "--timeout", "1s", "cluster", "health", "--exit-when-healthy")
    assert status == 3 and error.endswith("leat: the time is over (--timeout 1s)\n"), (status, error)
    refused(b, 1, "cannot reach 127.0.0.1:1", "-b", "127.0.0.1:1", "cluster", "health")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        refused(b, 3, f"{address} takes connections but does not answer: is it a broker, and does it run?",
                "-b", address, "--timeout", "200ms", "topic", "list")


def check_time(b):
    """--timeout is of the whole command, whatever it waits for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cases = [("consume", "t"), ("produce", "t"), ("-b", f"127.0.0.1:{silent.getsockname()[1]}", "topic", "list")]
        for case in cases:
            started = time.monotonic()
            waiting = subprocess.Popen([LEAT, "-b", b.address, "--timeout", "1s", *case], stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            same(waiting.wait(LIMIT_S), 3, f"{case} ends with 3")
            took = time.monotonic() - started
            assert 0.9 < took < 4, f"{case}: {took}"


def check_properties(b):
    """A kcat configuration file is accepted; what must not be ignored is refused."""
    path = f"{HOME}/kcat.conf"
    with open(path, "w") as file:
        file.write(f"# mine\nbootstrap.servers={b.address}\ngroup.id=x\nsession.timeout.ms=6000\nenable.auto.commit=false\n"
                   "auto.offset.reset=earliest\nenable.partition.eof=true\nsecurity.protocol=plaintext\nclient.id=c\n"
                   "topic.acks=all\nstatistics.interval.ms=0\n")
    same(plain("-F", path, "topic", "list")[0], 0, "a kcat file with leat's commands")
    same(plain("-L", "-F", path)[0], 0, "a kcat file with -L")
    same(plain("-L", KCAT_CONFIG=path)[0], 0, "KCAT_CONFIG")
    refused(b, 2, "there is no such property", "-X", "no.such.thing=1", "topic", "list")
    refused(b, 2, "security.protocol", "-X", "security.protocol=ssl", "topic", "list")


def check_progress(b):
    """Who sends records to a file, or from one, sees how far it is; who reads them on a terminal does not."""
    path = f"{HOME}/records"
    with open(path, "w") as file:
        file.writelines(f"record {number}\n" for number in range(5000))
    for line, wanted in ((f"produce progress -l {path}", "5,000 records published to progress"),
                         (f"consume progress -e > {HOME}/out", "5,000 records read"), ("consume progress -e -n 1", "")):
        main, other = pty.openpty()
        done = subprocess.run(["bash", "-c", f"{LEAT} -b {b.address} {line}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=other, timeout=LIMIT_S)
        os.close(other)
        os.set_blocking(main, False)
        try:
            said = os.read(main, 1 << 16).decode()
        except (BlockingIOError, OSError):
            said = ""
        os.close(main)
        assert done.returncode == 0 and wanted in said and bool(said) == bool(wanted), (line, done.returncode, said)
        print(f"ok: progress: leat {line}")
    with open(path) as file, open(f"{HOME}/out") as out:
        same(sorted(out.readlines()) == sorted(file.readlines()), True, "and the file is whole")


def check_cheat(b):
    """Every line of the cheat sheets works, in its order; what needs another broker says that there is none."""
    sheets = plain("cheat")[1]
    others = {"leat cluster drain 2": (1, "there is no broker 2"), "leat cluster decommission 2": (4, "there is no broker 2"),
              "leat cluster remove 2": (4, "node 2 does not vote"), "leat cluster forget 2": (4, "broker 2"),
              "leat cluster add 2": (4, "nothing is heard of node 2")}
    for line in sheets.splitlines():
        command = re.split(r"\s{2,}", line)[0]
        if not command or command.endswith(":") and " " not in command:
            continue
        run = command.replace("127.0.0.1:9092", b.address).replace("verify /var/lib/leat", "verify --force-read /var/lib/leat")
        done = subprocess.run(["bash", "-c", "set -o pipefail; " + run.replace("/var/lib/leat", f"{b.scratch.name}/data")],
                              capture_output=True, text=True, timeout=LIMIT_S,
                              env={**os.environ, "PATH": f"{os.path.dirname(LEAT)}:{os.environ['PATH']}",
                                   "LEAT_BROKERS": b.address, "XDG_CONFIG_HOME": HOME})
        status, said = others.pop(command, (0, ""))
        assert done.returncode == status and said in done.stderr, f"{command}: {done.returncode}: {done.stderr}"
        print(f"ok: {command}")
    same(others, {}, "all of them are there")
    same(plain("cheat", "topic")[1] in sheets, True, "one sheet of them")
    refused(b, 2, "there is no sheet for 'x'", "cheat", "x")


with Broker("group.initial.rebalance.delay.ms=0") as broker:
    check_fresh(broker)
    check_help(broker)
    check_groups(broker)
    check_members(broker)
    check_leaving(broker)
    check_hints(broker)
    check_topics(broker)
    check_replicas(broker)
    check_empty_names(broker)
    check_internal(broker)
    check_output(broker)
    check_input(broker)
    check_broken_input(broker)
    check_formats(broker)
    check_kcat(broker)
    check_lost(broker)
    check_structured(broker)
    check_several(broker)
    check_contexts(broker)
    check_completion(broker)
    check_offline(broker)
    check_waiting(broker)
    check_time(broker)
    check_properties(broker)
    check_progress(broker)
with Broker() as broker:
    check_cheat(broker)
