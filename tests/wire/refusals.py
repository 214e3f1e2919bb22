#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The generator refuses tables that it does not understand, and says where: refusals.py GENERATOR"""

import os
import subprocess
import sys
import tempfile

TABLE = "apis:\n  - {key: 3, name: Thing, versions: 0-3, flexible: 2}\n"
GOOD = "api: Thing\nrequest:\n  - {name: a, type: int32}\nresponse: []\n"


def field(text):
    return f"api: Thing\nrequest:\n  - {text}\nresponse: []\n"


# What is wrong, the file, and a part of the message; the file's line is 3 unless a number says else.
CASES = [
    ("a misspelt key", field("{name: a, type: int32, version: 1+}"), "'version' is unknown", 3),
    ("no type", field("{name: a}"), "'type' is missing", 3),
    ("an unknown type", field("{name: a, type: int33}"), "'int33' is no type", 3),
    ("a range that is none", field("{name: a, type: int8, versions: 3-1}"), "no range", 3),
    ("a number that is none", field("{name: a, type: int8, default: x}"), "not a number", 3),
    ("a null number", field("{name: a, type: int8, nullable: all}"), "never null", 3),
    ("null without nullable", field("{name: a, type: string, default: null}"), "never null", 3),
    ("a tag before tags", field("{name: a, type: int8, versions: 1+, tag: 0}"), "is tagged", 3),
    ("tagged records", field("{name: a, type: records, versions: 2+, tag: 0}"), "never tagged", 3),
    ("fields of a number", field("{name: a, type: int8, fields: []}"), "fields belong", 3),
    ("ignorable: false", field("{name: a, type: int8, ignorable: false}"), "true or left out", 3),
    ("a name twice", field("{name: a, type: int8}\n  - {name: a, type: int8}"), "a second 'a'", 4),
    ("a tag twice", field("{name: a, type: int8, versions: 2+, tag: 1}\n"
                          "  - {name: b, type: int8, versions: 2+, tag: 1}"), "tag 1 is taken", 4),
    ("a struct twice",
     field('{name: a, type: "[]", fields: [{name: x, type: struct, fields: []}]}\n'
           "  - {name: x, type: struct, fields: []}"), "a second 'struct", 4),
    ("an API that is not listed", GOOD.replace("Thing", "Other"), "not in the API table", 1),
    ("half an API", "api: Thing\nrequest: []\n", "'response' is missing", 1),
    ("no YAML", "api: [\n", "did not find", 2),
    ("an open range", "messages:\n  - {name: M, versions: 1+, flexible: 0, fields: []}\n",
     "have an end", 2),
    ("the same message twice", GOOD + "", None, None),
]


def generate(generator, folder, files):
    paths = []
    for name, text in files:
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        paths.append(path)
    outputs = [os.path.join(folder, "out.h"), os.path.join(folder, "out.c")]
    return subprocess.run([generator, *outputs, *paths], capture_output=True, text=True,
                          check=False)


def main(generator):
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        result = generate(generator, folder, [("table.yaml", TABLE), ("thing.yaml", GOOD)])
        if result.returncode:
            print(f"a good table is refused: {result.stderr}")
            failures += 1
        for what, text, message, line in CASES:
            files = [("table.yaml", TABLE), ("thing.yaml", text)]
            if message is None:
                files.append(("again.yaml", text))
                message = "is described twice"
            result = generate(generator, folder, files)
            place = f"thing.yaml:{line}: " if line else ""
            if result.returncode != 1 or message not in result.stderr or place not in result.stderr:
                print(f"{what}: exit {result.returncode}, {result.stderr.strip()!r}")
                failures += 1
        result = generate(generator, folder, [("table.yaml", TABLE)])
        if result.returncode != 1 or "no file describes" not in result.stderr:
            print(f"a listed API without a file: {result.stderr.strip()!r}")
            failures += 1
    print(f"{len(CASES) + 2} tables, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
