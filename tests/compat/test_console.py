#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The console as a program: what it says, where, and with which exit status."""
import os
import signal
import socket
import subprocess
import threading

from broker import BUILD, Broker, same

LEAT = os.path.abspath(f"{BUILD}/bin/leat")
LIMIT_S = 30


def leat(b, *arguments, text=""):
    """(status, stdout, stderr)"""
    done = subprocess.run([LEAT, "-b", b.address, *arguments], input=text, capture_output=True, text=True, timeout=LIMIT_S)
    return done.returncode, done.stdout, done.stderr


def refused(b, status, said, *arguments, text=""):
    got, _, error = leat(b, *arguments, text=text)
    assert got == status and said in error, f"leat {' '.join(arguments)}: {got}, not {status} and '{said}': {error}"
    print(f"ok: leat {' '.join(arguments)}: {said}")


def check_topics(b):
    same(leat(b, "topic", "create", "t", "-p", "3", "-c", "durability=memory")[:2], (0, "created topic t\n"), "a topic is created")
    refused(b, 2, "at least one partition", "topic", "create", "none", "-p", "0")
    refused(b, 2, "offsets of which topic?", "topic", "offsets")
    refused(b, 4, "topic t has no partition 3: its partitions are 0 to 2", "consume", "t", "-e", "-p", "0,3")
    same(leat(b, "topic", "create", "v", "--validate-only")[:2], (0, "topic v could be created\n"), "nothing is created")
    refused(b, 4, "topic v does not exist", "topic", "describe", "v")
    refused(b, 2, "t-0 ends at offset 0, before 5: nothing was trimmed", "topic", "trim", "t", "-o", "5")
    refused(b, 4, "topic t has no partition 7", "topic", "trim", "t", "-o", "end", "-p", "7")
    refused(b, 1, "cannot reach [::1]:1 (", "-b", "[::1]:1", "topic", "list")
    assert "data.dir" in leat(b, "cluster", "config")[1]


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
    refused(b, 1, "a record of 1000000 bytes does not fit", "produce", "t", text="x" * 1000000)


def check_kcat(b):
    same(leat(b, "-P", "-t", "k", "-H", "empty=", "-H", "null", text="v\n")[0], 0, "kcat's header without a value")
    same(leat(b, "-C", "-t", "k", "-e", "-q", "-f", "%h\n")[1], "empty=,null=NULL\n", "it is null")
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


with Broker() as broker:
    check_topics(broker)
    check_output(broker)
    check_input(broker)
    check_kcat(broker)
    check_lost(broker)
