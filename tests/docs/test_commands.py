#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""Every command line that a document shows is run, so that none of them can rot.

Commands are the lines of indented and fenced blocks, and the code within sentences, that begin with a
program: a file of this project, or one of PROGRAMS. What deploy/run.sh prints under "How to go on" counts as well.
The commands of one document run in its order in a directory of their own, which has the project's folders by
name, against a broker on a free port. CHANGES is the one place that says where what is run differs from what is
shown; a command that cannot be run stands in NOT_RUN with the reason and the test that covers it. An entry that no
document needs any more fails, too.
"""
import glob
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.path.abspath(os.environ.get("BUILD", f"{ROOT}/build"))
DOCUMENTS = ["README.md", "docs/**/*.md", "bench/**/README.md", "client/README.md", "deploy/README.md", "tests/README.md",
             "tests/*/README.md", "broker/**/README.md", "common/**/README.md"]
RUN_SH = "deploy/run.sh"
PROGRAMS = ["kcat", "cmake", "ninja", "ctest", "git", "curl", "python3", "systemctl", "docker", "kubectl", "echo", "cat", "cc",
            "producer"]  # what client/README.md builds
LIMIT_S = 50  # for all

# What is shown -> what is run, in any command. {scratch}, {address} and {pid} are the document's own.
CHANGES = {
    "127.0.0.1:9092": "{address}",
    "log verify /var/lib/leat": "log verify {scratch}/data --force-read",  # its broker is not stopped here
    "/var/lib/leat": "{scratch}/data",
    "--data /var/tmp/leat": "--data {scratch}/tmp-data --once",
    "events.jsonl.zst": "{scratch}/events.jsonl.zst --once --listen 127.0.0.1:0",
    "deploy/run.sh --once": "deploy/run.sh --once --listen 127.0.0.1:0",
    "cmake -S . -B build -G Ninja": f"cmake -S {ROOT} -B {{scratch}}/fresh -G Ninja",
    # Shorter than a person would measure.
    "--rate 20k --consume --linger 0 --pid PID":
        "--brokers {address} --rate 2k --consume --linger 0 --pid {pid} --duration 0.5s --warmup 0.1s",
    "--rate 20k --duration 60s --series": "--brokers {address} --rate 2k --duration 1.5s --warmup 0.1s --series",
    "--driver rdkafka": "--driver leat --brokers {address} --duration 0.5s --warmup 0.1s",  # librdkafka need not be there
    '--rounds 5 --peers leat,kafka --only "produce memory,latency"':
        '--dir {scratch} --no-machine --rounds 1 --warmup 0.1 --duration 0.3 --peers leat --only "produce memory"',
    "--peers leat,kafka --only sweep --sweep 3":
        "--dir {scratch} --no-machine --states none --peers leat --only sweep --sweep 1 --sweep-seconds 0.2",
    "raw --durability memory": "raw --brokers {address} --durability memory --duration 0.5s --warmup 0.1s",
    "--data D": "--data {scratch}/cold",
    "micro_journal --dir D": "micro_journal --dir {scratch} --seconds 0.05s --total 4MiB",
    "--log-bytes 10GiB --only machine,restart": "--log-bytes 8MiB --only restart --rounds 1 --any-load --seconds 0.2 --warmup 0.1",
    '--rounds 5 --only "fsync|consume 100 B"': '--rounds 1 --scale 0.01 --any-load --only "no reports"',
    "--rounds 3 --log-bytes 10GiB": "--log-bytes 8MiB --only idle --rounds 1 --any-load --idle-seconds 0.2",
    "--crashes 100000": "--crashes 200",
    "leat cluster drain 2": "leat -b 127.0.0.1:$LEAT_CLUSTER_PORT cluster drain 2",
    "leat-sim --runs 100": "leat-sim --runs 5",
    "leat-sim cluster --every --runs 700": "leat-sim cluster --every --runs 1 --minutes 0.05",
    "tests/sim/nightly.sh --resume build 3600": "SEEDS=1 tests/sim/nightly.sh --resume build 1",
}

# Programs that leave the project's own tree or build alone only when they are called where they are.
IN_PLACE = ("deploy/run.sh", "deploy/cluster.sh", "bench/numbers.sh", "bench/clients.sh", "bench/compare.sh")

# Commands that do not end by themselves: how they are shown to work is up to a function below.
ENDLESS = {
    "build/bin/leat consume commits": "follow",
    "build/bin/leatd --data /var/lib/leat --listen 127.0.0.1:9092": "serve",
    "./deploy/run.sh": "demonstrate",
    "deploy/run.sh": "covered",
    "deploy/cluster.sh": "three",
}

# Commands that are not run here: why, and which test covers them.
NOT_RUN = {
    "deploy/dependencies.sh bench": ("it installs what no test needs", "the tests of bench/peers, where it is installed"),
    "python3 bench/peers/peers.py fetch": ("it fetches 300 MB", "bench_kafka, bench_nats"),
    "python3 bench/peers/peers.py kafka start --data D --port 9092 --durability fsync": ("it does not end", "bench_leat, bench_kafka"),
    "bench/compare.sh --pin --only half": ("it measures for minutes", "bench/compare.sh above, bench_workloads"),
    "bench/compare.sh --rounds 10 --write-docs": ("it measures for an hour, and writes into docs/", "bench/compare.sh above, docs_benchmarks"),
    "./tests/run.sh": ("it runs this test", "every run of the tests, .ci/run"),
    "tests/run.sh compat": ("it runs tests for minutes", "compat_* of every run of the tests"),
    "tests/run.sh compat_cluster": ("it runs tests for minutes", "compat_cluster_* of every run of the tests"),
    "tests/run.sh scenarios": ("it runs tests for minutes", "compat_scenarios_* of every run of the tests"),
    "tests/compat/report.py > docs/reference/compatibility.md": ("it wants the records of a whole run", "docs_compatibility"),
}

# Commands that may end otherwise than with 0 when they have less time than a person gives them.
STATUS = {
    "build/bin/leat-sim cluster --every --runs 700": [0, 1],  # 1: a rule's absence was not noticed in one run
    "build/bin/leat-sim --seed 1 --minutes 0.2 --shrink": [1],  # it does not fail
}

BLOCK = re.compile(r"^(?: {4}|\t)(.*)$")
FENCE = re.compile(r"^(```+|~~~+)")
SPAN = re.compile(r"`([^`\n]+)`")


def is_program(word):
    word = word[2:] if word.startswith("./") else word
    path = os.path.join(ROOT, word)
    return word in PROGRAMS or "/" in word and (word.startswith("build/bin/") or os.path.isfile(path) and os.access(path, os.X_OK))


def command_of(line):
    """What of a line is a command: without what is said behind it. None: it is none."""
    line = re.split(r"\s+#\s|\s{2,}(?=\S)", line.strip())[0].rstrip()
    line = re.sub(r"^\$ ", "", line)
    words = line.split()
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    return line if words and is_program(words[0]) else None


def commands_of(text):
    """(line number, command) in the order of a document."""
    fenced, before = None, ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if fence:
            fenced = None if fenced else fence.group(1)
            continue
        block = BLOCK.match(line)
        if fenced or block:
            command = command_of(line if fenced else block.group(1))
            if command:
                yield number, command
            continue
        for span in SPAN.findall(line):
            # A name alone is a name; with words behind it somebody will type it.
            if " " in span and not span.startswith(("-", "$")) and command_of(span) and not span.endswith("..."):
                yield number, span


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def three_ports():
    """The first of three that are 100 apart."""
    while True:
        first = free_port()
        try:
            for port in (first, first + 100, first + 200):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return first
        except (OSError, OverflowError):
            continue


class Place:
    """A directory that looks like the project's root, and a broker when the document starts none."""

    def __init__(self, scratch):
        self.scratch = tempfile.mkdtemp(dir=scratch)
        for name in os.listdir(ROOT):
            # Without the project's CMakeLists.txt nothing can take this for the place that it was built from.
            if name not in ("docs", "build", "CMakeLists.txt") and not name.startswith(".git"):
                os.symlink(os.path.join(ROOT, name), os.path.join(self.scratch, name))
        os.symlink(BUILD, os.path.join(self.scratch, "build"))
        shutil.copytree(os.path.join(ROOT, "docs"), os.path.join(self.scratch, "docs"))
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {**os.environ, "LEAT_BROKERS": self.address, "LEAT_BUILD": BUILD, "TMPDIR": self.scratch}
        self.environment.update(LEAT_CLUSTER_PORT=str(three_ports()), LEAT_CLUSTER_DATA=f"{self.scratch}/cluster")
        self.broker = self.cluster = None
        self.groups = []

    def start_broker(self):
        self.broker = subprocess.Popen([f"{BUILD}/bin/leatd", "--data", f"{self.scratch}/served", "--listen", self.address],
                                       stdout=subprocess.PIPE)
        if b"ready" not in self.broker.stdout.readline():
            sys.exit("leatd did not start")

    def change(self, command):
        for shown, run in CHANGES.items():
            if shown in command:
                used.add(shown)
                command = command.replace(shown, run)
        for program in IN_PLACE:
            command = re.sub(r"(^|(?<= ))(\./)?" + re.escape(program), f"{ROOT}/{program}", command)
        pid = self.broker.pid if self.broker else 0
        return command.format(scratch=self.scratch, address=self.address, pid=pid) if "{scratch}" in command or \
            "{address}" in command or "{pid}" in command else command

    def run(self, command):
        """(status, output) of a command; what it leaves in the background belongs to the place."""
        with open(f"{self.scratch}/output", "w+b") as output:
            process = subprocess.Popen(["bash", "-c", command], cwd=self.scratch, env=self.environment, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            self.groups.append(process.pid)
            try:
                status = process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                status = "no end"
            output.seek(0)
            return status, output.read().decode("utf-8", "replace")

    def end(self):
        if self.broker:
            self.broker.terminate()
            self.broker.wait(30)
        if self.cluster:
            self.cluster.terminate()
            self.cluster.wait(30)
        for group in self.groups:
            try:
                os.killpg(group, signal.SIGTERM)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.scratch, ignore_errors=True)


used, failures, seen = set(), [], set()


def told(where, command, good, why=""):
    print(f"{'ok' if good else 'FAILED'}: {where}: {command}")
    if not good:
        failures.append(command)
        print("    " + why.strip()[-1500:].replace("\n", "\n    "))


def follow(place, where, command):
    """A consumer that follows shows what is published after it has begun; Ctrl-C ends it."""
    topic = shlex.split(command)[-1]
    consumer = subprocess.Popen(shlex.split(command), cwd=place.scratch, env=place.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
    os.set_blocking(consumer.stdout.fileno(), False)
    shown, deadline = b"", time.monotonic() + 20
    while b"followed" not in shown and time.monotonic() < deadline and consumer.poll() is None:
        subprocess.run([f"{BUILD}/bin/leat", "produce", topic], input=b"followed\n", env=place.environment, check=True)
        shown += consumer.stdout.read() or b""
    consumer.send_signal(signal.SIGINT)
    status = consumer.wait(20)
    told(where, command, b"followed" in shown and status == 130, f"status {status}: {shown.decode('utf-8', 'replace')}")


def serve(place, where, command):
    """A broker in the foreground, which serves what the document shows next."""
    place.broker = subprocess.Popen(shlex.split(place.change(command)), cwd=place.scratch, env=place.environment,
                                    stdout=subprocess.PIPE)
    line = place.broker.stdout.readline().decode()
    told(where, command, "ready" in line, line)


def three(place, where, command):
    """Three nodes, which serve what the document shows next: they end with the place."""
    process = subprocess.Popen(["bash", "-c", "exec " + place.change(command)], cwd=place.scratch, env=place.environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True)
    place.cluster = process
    said = ""
    for line in process.stdout:
        said += line
        if "leat cluster health" in line:
            break
    told(where, command, "leader " in said and said.count("127.0.0.1:") >= 3, said)


def demonstrate(place, where, command):
    """run.sh as a person starts it: its output, what it says how to go on with, and Ctrl-C."""
    run = place.change(command) + f" --data {place.scratch}/run-data --listen {place.address}"
    process = subprocess.Popen(["bash", "-c", "exec " + run], cwd=place.scratch, env=place.environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("Ctrl-C stops the broker"):
            break
    before, _, going_on = said.partition("How to go on, in another terminal:\n")
    lines = [line for line in going_on.splitlines() if line.startswith("  ")]
    told(where, command, len(lines) >= 5 and "were published" in before, said)
    refuse_second(place)
    for line in lines:
        shown = command_of(line)
        if shown is None:
            told(RUN_SH, line, False, "a line under How to go on that is no command")
        else:
            check(place, RUN_SH, shown)
    process.send_signal(signal.SIGINT)
    status = process.wait(30)
    told(RUN_SH, "Ctrl-C", status == 130, f"status {status}")


def refuse_second(place):
    """Where a broker listens already, run.sh says so and fails, and publishes nothing to that broker."""
    status, output = place.run(f"{ROOT}/{RUN_SH} --once --listen {place.address}")
    told(RUN_SH, "an address that is taken", status == 1 and "Address already in use" in output and "Publishing" not in output,
         f"status {status}\n{output}")


def check(place, where, command):
    seen.add(command)
    if command in NOT_RUN:
        why, test = NOT_RUN[command]
        print(f"not run: {where}: {command}: {why}; covered by {test}")
    elif ENDLESS.get(command) == "follow":
        follow(place, where, command)
    elif ENDLESS.get(command) == "three":
        three(place, where, command)
    elif ENDLESS.get(command) == "demonstrate":
        demonstrate(place, where, command)
    elif ENDLESS.get(command) == "serve":
        serve(place, where, command)
    elif ENDLESS.get(command) == "covered":
        print(f"not run: {where}: {command}: it does not end; covered by ./deploy/run.sh above")
    else:
        started = time.monotonic()
        status, output = place.run(place.change(command))
        if os.environ.get("TIMES"):
            print(f"{time.monotonic() - started:.1f} s")
        told(where, command, status in STATUS.get(command, [0]), f"status {status}\n{output}")


def prepare(place, commands):
    """What a document takes for granted: events of one's own, a broker that runs."""
    if any("events.jsonl.zst" in c for c in commands):
        subprocess.run(["zstd", "-q", f"{ROOT}/deploy/sample/events.jsonl", "-o", f"{place.scratch}/events.jsonl.zst"], check=True)
    if not any(ENDLESS.get(c) == "serve" for c in commands) and any(re.search(r"bin/leat(-bench)? |kcat|\./producer ", c) for c in commands):
        place.start_broker()


def check_document(scratch, path):
    with open(os.path.join(ROOT, path)) as f:
        found = list(commands_of(f.read()))
    commands = [command for _, command in found]
    if not found:
        return
    place = Place(scratch)
    try:
        prepare(place, commands)
        for number, command in found:
            if command not in seen:
                check(place, f"{path}:{number}", command)
    finally:
        place.end()


def check_extraction():
    """The extraction itself: what it must find and what it must leave."""
    text = ("    build/bin/leat consume t -e   read it\n    publish   socket -> frame\n```\n$ kcat -L  # all\nfoo=1\n```\n"
            "Try `build/bin/leat topic list`, not `build/bin/leat`.\n    LEAT_X=1 deploy/run.sh --once\n")
    wanted = [(1, "build/bin/leat consume t -e"), (4, "kcat -L"), (7, "build/bin/leat topic list"),
              (8, "LEAT_X=1 deploy/run.sh --once")]
    assert list(commands_of(text)) == wanted, list(commands_of(text))


def main():
    check_extraction()
    started = time.monotonic()
    paths = sorted({os.path.relpath(p, ROOT) for d in DOCUMENTS for p in glob.glob(os.path.join(ROOT, d), recursive=True)})
    with tempfile.TemporaryDirectory(dir=os.environ.get("SCRATCH")) as scratch:
        for path in paths:
            check_document(scratch, path)
    for table, entries in (("CHANGES", set(CHANGES) - used), ("ENDLESS, NOT_RUN, STATUS", (set(ENDLESS) | set(NOT_RUN) | set(STATUS)) - seen)):
        for entry in sorted(entries):
            failures.append(entry)
            print(f"FAILED: {table}: no document shows this any more: {entry}")
    print(f"{len(seen)} commands in {time.monotonic() - started:.0f} s, {len(failures)} failed")
    return 1 if failures else 0


sys.exit(main())
