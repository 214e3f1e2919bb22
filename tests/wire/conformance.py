#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares leat's schemas with the protocol's own message descriptions, where those are at hand.

    conformance.py facts GENERATOR SCHEMA...    name, type, versions, null, tag, default of each field
    conformance.py bytes GENERATOR ROUNDTRIP SCHEMA...
                                                random values, encoded here straight from the
                                                descriptions, must come back from leat byte by byte

The descriptions are a folder of JSON files given by LEAT_KAFKA_MESSAGES, or found beside the project
at ../shared/reference/kafka-messages. Without them the test says so and is skipped (exit 77). The
encoder below knows nothing of leat's tables or code: that is its use.
"""

import json
import os
import random
import re
import struct
import subprocess
import sys

SKIPPED = 77
OPEN = 32767
OWN_KEYS = 10000
ROUNDS = 30
PRIMITIVES = {"bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "float64", "uuid",
              "string", "bytes", "records"}


def reference_folder():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    folder = os.environ.get("LEAT_KAFKA_MESSAGES") or os.path.join(
        root, "..", "shared", "reference", "kafka-messages")
    return folder if os.path.isdir(folder) else None


def load_reference(folder):
    """All descriptions by name. The files carry // comments, which JSON has not."""
    messages = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".json"):
                with open(os.path.join(place, name), encoding="utf-8") as file:
                    text = "".join(re.sub(r"^\s*//.*", "", line) for line in file)
                message = json.loads(text)
                messages[message["name"]] = message
    return messages


def plain(name):
    """One spelling for TopicName and topic_name."""
    return name.replace("_", "").lower()


def versions(text, outer):
    """(min, max) of "3", "3+", "3-5" or "none", cut to what encloses it; min > max is none."""
    if text is None or text == "none":
        return (0, -1)
    low, _, high = text.partition("-")
    if text.endswith("+"):
        low, high = text[:-1], OPEN
    return (max(int(low), outer[0]), min(int(high or low), outer[1]))


def is_empty(span):
    return span[0] > span[1]


def show(span):
    return "none" if is_empty(span) else f"{span[0]}-{span[1]}"


def default_of(field, kind, is_array, nullable):
    value = field.get("default", "")
    if value is None or str(value).lower() == "null":
        return "null"
    if is_array or kind in ("string", "bytes", "records", "uuid", "struct"):
        if value != "":
            raise ValueError(f"default {value!r} of {field['name']} has no counterpart")
        return "0"
    if kind == "bool":
        return "1" if str(value).lower() == "true" else "0"
    return str(int(str(value), 0)) if value != "" else "0"


def inner_fields(field, common):
    """The fields of a struct, inline or shared by name; None for a primitive."""
    kind = field["type"].removeprefix("[]")
    return None if kind in PRIMITIVES else field.get("fields") or common[kind]


def reference_facts(path, fields, outer, common, out):
    """One entry per field that any version of `outer` has: its path, and the facts in leat's words."""
    for field in fields:
        span = versions(field.get("versions", field.get("taggedVersions")), outer)
        if is_empty(span):
            continue
        is_array = field["type"].startswith("[]")
        inner = inner_fields(field, common)
        kind = "struct" if inner else field["type"].removeprefix("[]")
        nullable = versions(field.get("nullableVersions"), span)
        facts = (f"{'[]' if is_array else ''}{kind} versions={show(span)} "
                 f"nullable={show(nullable)} tag={field.get('tag', -1)} "
                 f"default={default_of(field, kind, is_array, nullable)}")
        if span != outer and field.get("ignorable"):
            facts += " ignorable"
        here = f"{path}.{plain(field['name'])}"
        out.append((here, facts))
        if inner:
            reference_facts(here, inner, span, common, out)


def common_of(message):
    return {item["name"]: item["fields"] for item in message.get("commonStructs", [])}


def leat_messages(generator, schemas):
    """What the generator understood: {name: (header words, [(path, facts)])}, and the API lines."""
    text = subprocess.run([generator, "--facts", *schemas], check=True, capture_output=True,
                          text=True).stdout
    messages, apis = {}, []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "api":
            apis.append(rest)
        elif word == "message":
            name, _, header = rest.partition(" ")
            current = []
            messages[name] = (dict(pair.split("=") for pair in header.split()), current)
        else:
            head, *path = word.split(".")
            current.append((".".join([head, *map(plain, path)]), rest))
    return messages, apis


def without_own(messages):
    """The messages but for leat's own: those have keys from 10000 on, and nobody else describes them."""
    return {name: leat for name, leat in messages.items() if int(leat[0]["key"]) < OWN_KEYS}


def compare_message(name, leat, reference, unstable, complain):
    header, fields = leat
    span = tuple(map(int, header["versions"].split("-")))
    valid = versions(reference["validVersions"], (0, OPEN))
    if span[0] != valid[0] or span[1] > valid[1]:
        complain(f"{name}: versions {show(span)}, but valid are {show(valid)}")
    if span[1] != valid[1] and not (unstable and span[1] == valid[1] - 1):
        complain(f"{name}: stops at {span[1]} of {valid[1]}")
    flexible = reference["flexibleVersions"]
    expected = OPEN if flexible == "none" else int(flexible.rstrip("+"))
    if int(header["flexible"]) != expected:
        complain(f"{name}: flexible from {header['flexible']}, not {expected}")
    coordinator = reference["type"].startswith("coordinator-")  # its keys stand in the record's key
    key = -1 if coordinator else reference.get("apiKey", -1)
    if int(header["key"]) != key:
        complain(f"{name}: key {header['key']}, not {key}")
    expected_fields = []
    reference_facts(name, reference["fields"], span, common_of(reference), expected_fields)
    own = [entry for entry in fields if entry[1].endswith(" own")]
    for path, facts in own:
        tag = int(re.search(r" tag=(-?\d+)", facts).group(1))
        if tag < 10000:
            complain(f"{path}: a field of our own needs a tag from 10000 on, not {tag}")
    # What is inside a field of our own is ours as well.
    inside = tuple(path + "." for path, _ in own)
    fields = [entry for entry in fields
              if entry not in own and not entry[0].startswith(inside)]
    for path, facts in sorted(set(fields) - set(expected_fields)):
        complain(f"{path}: leat has          {facts}")
    for path, facts in sorted(set(expected_fields) - set(fields)):
        complain(f"{path}: the protocol has  {facts}")

    def order(entries):
        """The untagged fields of each struct, as they follow each other."""
        structs = {}
        for path, facts in entries:
            if " tag=-1 " in facts:
                structs.setdefault(path.rpartition(".")[0], []).append(path)
        return structs

    if order(fields) != order(expected_fields):
        complain(f"{name}: the fields stand in another order")
    return len(expected_fields)


def run_facts(folder, generator, schemas):
    reference = load_reference(folder)
    messages, apis = leat_messages(generator, schemas)
    messages = without_own(messages)
    problems, count = [], 0
    for name, leat in messages.items():
        if name not in reference:
            problems.append(f"{name}: the protocol has no such message")
            continue
        # Only a request says that the newest version of the pair is still in the making.
        request = reference.get(re.sub("Response$", "Request", name), {})
        unstable = request.get("latestVersionUnstable", False)
        count += compare_message(name, leat, reference[name], unstable, problems.append)
    for line in problems:
        print(line)
    print(f"{len(messages)} messages of {len(apis)} APIs and of records, {count} fields: "
          f"{len(problems)} differences")
    return 1 if problems or count == 0 else 0


class Encoder:
    """Writes random values of one message in one version by the protocol's rules."""

    def __init__(self, message, version, rng):
        self.rng = rng
        self.version = version
        self.common = common_of(message)
        text = message["flexibleVersions"]
        self.flexible = text != "none" and version >= int(text.rstrip("+"))

    def has(self, text):
        low, high = versions(text, (0, OPEN))
        return low <= self.version <= high

    def uvarint(self, value):
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7f | 0x80)
            value >>= 7
        out.append(value)
        return bytes(out)

    def length(self, size, narrow):
        """`size` None is null."""
        if self.flexible:
            return self.uvarint(0 if size is None else size + 1)
        return struct.pack(">h" if narrow else ">i", -1 if size is None else size)

    def integer(self, bits, signed):
        low = -(1 << bits - 1) if signed else 0
        high = low + (1 << bits) - 1
        return self.rng.choice([0, low, high, self.rng.randint(low, high), self.rng.randint(0, 9)])

    def value(self, field, kind, nullable):
        formats = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I",
                   "int64": ">q"}
        if kind in formats:
            signed = not kind.startswith("u")
            bits = struct.calcsize(formats[kind]) * 8
            return struct.pack(formats[kind], self.integer(bits, signed))
        if kind == "bool":
            return bytes([self.rng.randint(0, 1)])
        if kind == "float64":
            return struct.pack(">d", self.rng.uniform(-1e9, 1e9))
        if kind == "uuid":
            return self.rng.randbytes(16)
        if kind in ("string", "bytes", "records"):
            if nullable and self.rng.random() < 0.3:
                return self.length(None, kind == "string")
            body = self.rng.randbytes(self.rng.choice([0, 1, 5, 130, 300]))
            return self.length(len(body), kind == "string") + body
        return self.struct(inner_fields(field, self.common))

    def field(self, field):
        nullable = self.has(field.get("nullableVersions"))
        kind = field["type"].removeprefix("[]")
        if field["type"].startswith("[]"):
            if nullable and self.rng.random() < 0.3:
                return self.length(None, False)
            count = self.rng.randint(0, 3)
            return self.length(count, False) + b"".join(
                self.value(field, kind, False) for _ in range(count))
        if kind not in PRIMITIVES and nullable:
            if self.rng.random() < 0.3:
                return b"\xff"
            return b"\x01" + self.value(field, kind, False)
        return self.value(field, kind, nullable)

    def default_bytes(self, field):
        """A tagged field with its default is not written. None where it never equals one by chance."""
        kind = field["type"].removeprefix("[]")
        inner = inner_fields(field, self.common)
        nullable = self.has(field.get("nullableVersions"))
        if str(field.get("default", "")).lower() == "null":
            return b"\xff" if inner and not field["type"].startswith("[]") else self.length(None, 0)
        if field["type"].startswith("[]") or kind in ("string", "bytes"):
            return self.length(0, kind == "string")
        if inner:
            body = b"".join(self.default_bytes(item) for item in inner
                            if self.has(item["versions"]) and "tag" not in item)
            return (b"\x01" if nullable else b"") + body + b"\x00"
        if kind == "uuid":
            return bytes(16)
        if kind == "bool":
            return bytes([str(field.get("default")).lower() == "true"])
        size = {"int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8}[kind]
        return int(str(field.get("default") or 0), 0).to_bytes(size, "big", signed=kind[0] == "i")

    def struct(self, fields):
        out, tags = b"", []
        for field in fields:
            if not self.has(field.get("versions", field.get("taggedVersions"))):
                continue
            if "tag" in field and self.has(field["taggedVersions"]):
                body = self.field(field)
                if body != self.default_bytes(field) and self.rng.random() < 0.7:
                    tags.append((field["tag"], body))
            else:
                out += self.field(field)
        if self.flexible:
            out += self.uvarint(len(tags))
            for tag, body in sorted(tags):
                out += self.uvarint(tag) + self.uvarint(len(body)) + body
        return out


def run_bytes(folder, generator, roundtrip, schemas):
    reference = load_reference(folder)
    messages = without_own(leat_messages(generator, schemas)[0])
    lines = []
    for name, (header, _) in messages.items():
        low, high = map(int, header["versions"].split("-"))
        for version in range(low, high + 1):
            for round_number in range(ROUNDS):
                rng = random.Random(f"{name} {version} {round_number}")
                body = Encoder(reference[name], version, rng).struct(reference[name]["fields"])
                lines.append(f"{name} {version} {body.hex()}")
    result = subprocess.run([roundtrip], input="\n".join(lines) + "\n", capture_output=True,
                            text=True, check=False)
    answers = result.stdout.splitlines()
    wrong = [(line, answer) for line, answer in zip(lines, answers) if line != answer]
    for line, answer in wrong[:10]:
        print(f"sent     {line}\ncame     {answer}")
    if result.returncode or len(answers) != len(lines):
        print(result.stderr)
        print(f"{len(answers)} answers to {len(lines)} lines, exit {result.returncode}")
        return 1
    print(f"{len(lines)} messages in {len(set(line.rsplit(' ', 1)[0] for line in lines))} "
          f"versions, {len(wrong)} changed")
    return 1 if wrong or not lines else 0


def main(arguments):
    mode, *rest = arguments
    folder = reference_folder()
    if not folder:
        print("skipped: no message descriptions (LEAT_KAFKA_MESSAGES names their folder)")
        return SKIPPED
    if mode == "facts":
        return run_facts(folder, rest[0], rest[1:])
    return run_bytes(folder, rest[0], rest[1], rest[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
