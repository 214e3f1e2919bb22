#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kcat's command lines, word for word, through kcat and through leat: what they print and how they end is the same.

Of -P the records that are stored are compared, each program having a topic of its own (TOPIC in a line); of the
others stdout, stderr but for what kcat says of its librdkafka, and the status.
"""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess

from broker import BUILD, Broker, same, skip

if not shutil.which("kcat"):
    skip("kcat is not installed")

LEAT = os.path.abspath(f"{BUILD}/bin/leat")
LIMIT_S = 60

# Records for the topic "seen": key, value, headers.
INPUT = [("-K", ":", "k1:v1\nk2:v2\n:empty key\nk3:\nno key\n"),
         ("-H", "a=1", "-H", "b=", "-H", "a=2", "with headers\n"),
         ("-k", "fixed", "x\ny\nz\n"),
         ("-Z", "-K", ":", "gone:\n"),
         ("-D", ";", "one;two;three"),
         ("-z", "gzip", "".join(f"line {i}\n" for i in range(50)))]

CONSUME = """
-C -t seen -e
-C -t seen -o beginning -e -q
-C -t seen -e -q -o end
-C -t seen -e -q -o -5
-C -t seen -e -q -o 3
-C -t seen -e -q -o 3 -c 4
-C -t seen -p 0 -o beginning -e
-C -t seen -c 7 -q
-C -t seen -e -q -K :
-C -t seen -e -q -K \\t -D |
-C -t seen -e -q -Z -K :
-C -t seen -e -q -O
-C -t seen -e -q -u
-C -t seen -eq
-Ct seen -eq -o2
-C -t seen -e -q -f %t-%p-%o\\n
-C -t seen -e -q -f %k=%s|%K|%S\\n
-C -t seen -e -q -f %h;\\n
-C -t seen -e -q -f %T\\n
-C -t seen -e -q -Z -f %k=%s\\n
-C -t seen -e -q -f 100%%\\x41\\t%s\\n
-C -t seen -e -q -f %R%s
-C -t seen -e -q -J
-C -t seen -e -q -J -o -2
-C -t seen -e -q -o s@0
-C -t seen -e -q -o e@1
-C -t seen -e -q -o s@0 -o e@99999999999999
-C -t seen -e -q -X auto.offset.reset=earliest
-C -t seen -e -q -X topic.auto.offset.reset=earliest -X fetch.wait.max.ms=10
-C -t wide -e -q -o beginning -p 1
-C -t wide -p 2 -e
-C -t wide -o -1 -e -q -p 0
-t seen -C -e -q
-L
-L -t seen
-L -J
-L -t wide -J
-L -t nothing-there
-Q -t seen:0:0
-Q -t seen:0:-1
-Q -t seen:0:-2
-Q -t seen:0:-1 -t wide:1:-1
-Q -t seen:0:99999999999999
""".strip().splitlines()

# (line, input): TOPIC is the program's own.
PRODUCE = [
    ("-P -t TOPIC", "a\nb\nc\n"),
    ("-P -t TOPIC", "no newline at the end"),
    ("-P -t TOPIC", "a\n\nb\n"),
    ("-P -t TOPIC", ""),
    ("-P -t TOPIC -K :", "k:v\nx\n:v\nk:\n"),
    ("-P -t TOPIC -K ::", "k::v\na:b\n"),
    ("-P -t TOPIC -Z -K :", "k:\n:v\n:\n"),
    ("-P -t TOPIC -Z", "a\n\nb\n"),
    ("-P -t TOPIC -k key", "1\n2\n"),
    ("-P -t TOPIC -D ;", "a;b\nc;d"),
    ("-P -t TOPIC -D \\x01", "a\x01b\x01c"),
    ("-P -t TOPIC -D ab", "1ab2ab3"),
    ("-P -t TOPIC -H a=1 -H b=x=y -H c= -H d", "v\n"),
    ("-P -t TOPIC -p 0 -z snappy", "a\nb\n"),
    ("-P -t TOPIC -z lz4 -X linger.ms=50", "a\nb\n" * 100),
    ("-P -t TOPIC -c 2", "a\nb\nc\nd\n"),
    ("-P -t TOPIC -T", "tee\nme\n"),
    ("-P -t TOPIC -l FILE", ""),
    ("-P -t TOPIC FILE FILE", ""),
    ("-P -t TOPIC -X acks=all -X enable.idempotence=true", "a\n"),
    ("-PtTOPIC", "a\n"),
    ("-t TOPIC -P", "a\n"),
]


# GROUP is the program's own; afterwards both groups have committed the same.
GROUP = """
-G GROUP -e -q -X auto.offset.reset=earliest seen
-G GROUP -q -c 5 -X auto.offset.reset=earliest -f %o:%s\\n seen
-G GROUP -e -q -X auto.offset.reset=earliest -J -X client.id=x seen
-G GROUP -e -q -X auto.offset.reset=latest seen
""".strip().splitlines()


def run(program, b, line, text=None, topic=""):
    words = line.replace("TOPIC", topic).replace("GROUP", topic).replace("FILE", f"{b.scratch.name}/file").split(" ")
    done = subprocess.run([program, "-b", b.address, *words], input=text, capture_output=True, text=True, timeout=LIMIT_S,
                          errors="surrogateescape")
    error = "\n".join(part for part in done.stderr.splitlines() if not part.startswith("%4|") and not part.startswith("%5|"))
    return done.returncode, done.stdout, error


def stored(b, topic):
    _, out, _ = run("kcat", b, f"-C -t {topic} -e -q -J -o beginning")
    return [{name: value for name, value in json.loads(line).items() if name in ("key", "payload", "headers", "partition")}
            for line in out.splitlines()]


def check_consume(b, line):
    wanted, got = run("kcat", b, line), run(LEAT, b, line)
    if "-L" in line:  # kcat lists in the broker's order
        wanted, got = [(status, sorted(re.split(r"\n", out)) if "-J" not in line else json.loads(out or "null"), error)
                       for status, out, error in (wanted, got)]
    same(got, wanted, f"leat {line}")


def check_produce(b, number, line, text):
    topics = [f"p{number}-kcat", f"p{number}-leat"]
    results = [run(program, b, line, text, topic) for program, topic in zip(("kcat", LEAT), topics)]
    same(results[1], results[0], f"leat {line}: what is said")
    if text or "FILE" in line:
        same(stored(b, topics[1]), stored(b, topics[0]), f"leat {line}: what is stored")


def committed(b, group):
    status, out, error = run(LEAT, b, f"group lag {group} --output json")
    assert status == 0, error
    return [(row["topic"], row["partition"], row["committed"]) for row in json.loads(out)]


def check_group(b, number, line):
    groups = [f"g{number}-kcat", f"g{number}-leat"]
    results = [run(program, b, line, topic=group) for program, group in zip(("kcat", LEAT), groups)]
    same(results[1], results[0], f"leat {line}: what is said")
    if "latest" not in line:  # where nothing was read, kcat commits nothing either
        same(committed(b, groups[1]), committed(b, groups[0]), f"leat {line}: what is committed")


with Broker() as broker:
    with open(f"{broker.scratch.name}/file", "w") as file:
        file.write("from\na file\n")
    subprocess.run([LEAT, "-b", broker.address, "topic", "create", "wide", "-p", "3", "-q"], check=True)
    for number in range(9):
        run("kcat", broker, f"-P -t wide -p {number % 3}", f"record {number}\n")
    for *words, text in INPUT:
        subprocess.run(["kcat", "-b", broker.address, "-P", "-t", "seen", *words], input=text, text=True, check=True)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        cases = {pool.submit(check_consume, broker, line): line for line in CONSUME if not line.startswith("-L")}
        cases |= {pool.submit(check_group, broker, number, line): line for number, line in enumerate(GROUP)}
        cases |= {pool.submit(check_produce, broker, number, *case): case[0] for number, case in enumerate(PRODUCE)}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # kcat -L -t makes topics
        cases |= {pool.submit(check_consume, broker, line): line for line in CONSUME if line.startswith("-L")}
    failures = [f"{line}: {case.exception()!r}" for case, line in cases.items() if case.exception()]
    for failure in failures:
        print(f"FAILED: {failure}")
    assert not failures, f"{len(failures)} of {len(cases)} lines differ"
