#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""libleat, through the console and the examples, against a broker of Apache Kafka.

What libleat stores is read back by itself and by kcat, so that a mistake that libleat makes twice is seen as well.
"""
import json
import os
import subprocess
import time

from apache import Kafka
from broker import BUILD, CODECS, same

LEAT = os.path.abspath(f"{BUILD}/bin/leat")
LIMIT_S = 60
WORDS = "".join(f"{i} of some words that are worth pressing\n" for i in range(20000))


def leat(k, *arguments, text=""):
    """(status, stdout, stderr)"""
    done = subprocess.run([LEAT, "-b", k.address, *arguments], input=text, capture_output=True, text=True, timeout=LIMIT_S)
    return done.returncode, done.stdout, done.stderr


def done(k, *arguments, text=""):
    """What a command that must succeed says."""
    status, out, error = leat(k, *arguments, text=text)
    assert status == 0, f"leat {' '.join(arguments)}: status {status}: {error}"
    return out


def refused(k, status, said, *arguments):
    got, _, error = leat(k, *arguments)
    assert got == status and said in error, f"leat {' '.join(arguments)}: {got}, not {status} and '{said}': {error}"
    print(f"ok: leat {' '.join(arguments)}: {said}")


def kcat(k, topic, form):
    return subprocess.run(["kcat", "-b", k.address, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", form],
                          capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout


def check_topics(k):
    same(done(k, "topic", "create", "t", "-p", "3", "-c", "retention.ms=3600000"), "created topic t\n", "a topic is created")
    refused(k, 1, "already exists", "topic", "create", "t")
    refused(k, 1, "only 1 broker", "topic", "create", "copies", "-r", "3")
    refused(k, 1, "Unknown topic config name", "topic", "alter", "t", "--set", "nonsense=1")
    refused(k, 4, "does not exist", "consume", "missing", "-e")
    done(k, "topic", "alter", "t", "--set", "retention.ms=7200000")
    described = done(k, "topic", "describe", "t")
    assert "7200000" in described and described.count("\n        ") == 3, described
    done(k, "topic", "add-partitions", "t", "--total", "5")
    topics = json.loads(done(k, "topic", "list", "--output", "json"))
    same([(t["name"], t["partitions"]) for t in topics], [("t", 5)], "it has grown")
    same(done(k, "topic", "reassign", "t", "--replicas", "1", "-p", "3"), "t-3 goes to 1\n", "to where it is")
    refused(k, 1, "t-0: ", "topic", "reassign", "t", "--replicas", "1,7")
    refused(k, 1, "t-1: ", "topic", "reassign", "t", "--cancel", "-p", "1")
    same(json.loads(done(k, "topic", "reassign", "--output", "json")), [], "nothing moves")
    same(done(k, "topic", "elect", "t", "-p", "4"), "t-4: broker 1 leads already, its preferred replica\n", "no election is needed")
    same(done(k, "topic", "elect", "t", "-p", "4", "--unclean"), "t-4: broker 1 leads: there is nothing to elect while somebody does\n", "nor an unclean one")
    done(k, "topic", "delete", "t")
    refused(k, 4, "does not exist", "topic", "describe", "t")
    assert "healthy" in done(k, "cluster", "health")


def check_records(k):
    """Keys, headers, nulls and times, and the partitions that Java's partitioner would choose."""
    done(k, "topic", "create", "all", "-p", "4")
    envelopes = [{"key": f"key-{i}", "value": None if i % 5 == 0 else f"v{i}", "headers": [["h", str(i)], ["h", None]],
                  "ts": 1700000000000 + i} for i in range(40)]
    done(k, "produce", "all", "-J", text="".join(json.dumps(e) + "\n" for e in envelopes))
    seen = sorted((json.loads(line) for line in done(k, "consume", "all", "-e", "-J").splitlines()), key=lambda r: r["ts"])
    same([{name: r[name] for name in envelopes[0]} for r in seen], envelopes, "records come back as they were")
    by_kcat = sorted(line.split(" ") for line in kcat(k, "all", "%T %p %k %S %h\n").splitlines())
    same([(int(w[0]), int(w[1]), w[2], int(w[3]), w[4]) for w in by_kcat],
         [(r["ts"], r["partition"], r["key"], len(r["value"]) if r["value"] is not None else -1,
           f"h={r['headers'][0][1]},h=NULL") for r in seen], "and kcat sees the same")
    # Murmur2 of these keys, as Java's producer computes it.
    same([r["partition"] for r in seen], [partition_of(r["key"], 4) for r in seen], "in Java's partitions")
    half = envelopes[20]["ts"]
    found = [json.loads(line)["ts"] for line in done(k, "consume", "all", "-e", "-J", "-o", f"@{half}").splitlines()]
    same(sorted(found), list(range(half, half + 20)), "and are found by time")


def partition_of(key, partitions):
    data, h = key.encode(), 0
    h = (0x9747b28c ^ len(data)) & 0xffffffff
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        word = int.from_bytes(data[i:i + 4], "little") * 0x5bd1e995 & 0xffffffff
        word = (word ^ word >> 24) * 0x5bd1e995 & 0xffffffff
        h = (h * 0x5bd1e995 & 0xffffffff) ^ word
    if data[whole:]:
        h = (h ^ int.from_bytes(data[whole:], "little")) * 0x5bd1e995 & 0xffffffff
    h = (h ^ h >> 13) * 0x5bd1e995 & 0xffffffff
    return ((h ^ h >> 15) & 0x7fffffff) % partitions


def check_codecs(k):
    for codec in CODECS:
        done(k, "produce", f"z-{codec}", "-z", codec, text=WORDS)  # the broker creates the topic
        same(done(k, "consume", f"z-{codec}", "-e"), WORDS, f"{codec}: 20000 lines")
        same(kcat(k, f"z-{codec}", "%s\n"), WORDS, f"{codec}: kcat reads them")
    for way in (["--acks", "1"], ["--acks", "0"], ["-X", "enable.idempotence=false"]):
        topic = "way" + "".join(way).replace("=", "-")
        done(k, "topic", "create", topic)
        done(k, "produce", topic, *way, text=WORDS)
        # Nobody has said that records sent with acks=0 are there: their number is awaited.
        same(done(k, "consume", topic, "-o", "beginning", "-n", "20000"), WORDS, f"{' '.join(way)}: 20000 lines")


def check_limits(k):
    done(k, "topic", "create", "small", "-c", "max.message.bytes=1000")
    status, _, error = leat(k, "produce", "small", text="x" * 5000 + "\n")
    assert status == 1 and "small" in error, (status, error)
    print(f"ok: a record that Kafka refuses: {error.strip()}")
    same(done(k, "topic", "trim", "z-lz4", "-o", "500"), "z-lz4-0 begins at offset 500\n", "a topic is trimmed")
    same(done(k, "consume", "z-lz4", "-o", "beginning", "-n", "1", "-O").split()[0], "500", "and begins there")
    refused(k, 1, "offset 7 is outside what the log holds", "consume", "z-lz4", "-o", "7", "-n", "1", "-X", "auto.offset.reset=none")


def group(k, name):
    """Committed offsets by partition, and the lag of all."""
    (told,) = json.loads(done(k, "group", "describe", name, "--output", "json"))
    return {p["partition"]: p["committed"] for p in told["partitions"]}, told["lag"]


def check_groups(k):
    """What kcat commits as a member of a group of Kafka's, seen and moved by libleat."""
    done(k, "topic", "create", "shared", "-p", "2")
    for partition in (0, 1):
        done(k, "produce", "shared", "-p", str(partition), text="a\nb\nc\n")
    read = subprocess.run(["kcat", "-b", k.address, "-G", "readers", "-X", "auto.offset.reset=earliest", "-c", "6", "-q", "shared"],
                          capture_output=True, text=True, timeout=LIMIT_S)
    same(sorted(read.stdout.split()), ["a", "a", "b", "b", "c", "c"], "a group reads")
    listed = json.loads(done(k, "group", "list", "--output", "json"))
    same([(g["group"], g["state"]) for g in listed], [("readers", "Empty")], "it is listed")
    same(group(k, "readers"), ({0: 3, 1: 3}, 0), "with what it has committed")
    done(k, "produce", "shared", "-p", "1", text="d\n")
    same(group(k, "readers"), ({0: 3, 1: 3}, 1), "and its lag")
    done(k, "group", "reset", "readers", "--shift", "-2", "-t", "shared:0", "--execute")
    same(group(k, "readers"), ({0: 1, 1: 3}, 3), "it is moved")
    done(k, "group", "delete", "readers")
    refused(k, 4, "readers", "group", "describe", "readers")


def check_examples(k):
    for example, wanted in [("producer", ""), ("consumer", "".join(f'{i}: {{"order":{i}}}\n' for i in range(10)))]:
        program = subprocess.run([f"{BUILD}/examples/example_{example}", k.address, "orders"], capture_output=True, text=True,
                                 timeout=LIMIT_S)
        same((program.returncode, program.stdout), (0, wanted), f"the example {example}")


def check_broker_that_returns(k):
    """The broker is killed under a producer and a consumer: nothing is lost, doubled or out of order."""
    done(k, "topic", "create", "back")
    lines = [f"{i}\n" for i in range(4000)]
    with subprocess.Popen([LEAT, "-b", k.address, "produce", "back"], stdin=subprocess.PIPE, text=True) as producer, \
            subprocess.Popen([LEAT, "-b", k.address, "consume", "back", "-o", "beginning", "-n", str(len(lines))],
                             stdout=subprocess.PIPE, text=True) as consumer:
        producer.stdin.write("".join(lines[:2000]))
        producer.stdin.flush()
        got = [consumer.stdout.readline() for _ in range(2000)]
        k.kill()
        producer.stdin.write("".join(lines[2000:]))
        producer.stdin.flush()
        k.start()
        producer.stdin.close()
        got += list(consumer.stdout)
        same((producer.wait(LIMIT_S), consumer.wait(LIMIT_S)), (0, 0), "a broker that was killed returns to both")
    same(got, lines, "4000 lines, each once and in order")


started = time.monotonic()
with Kafka() as kafka:
    for check in (check_topics, check_records, check_codecs, check_limits, check_groups, check_examples, check_broker_that_returns):
        check(kafka)
print(f"ok: all of it in {time.monotonic() - started:.0f} s")
