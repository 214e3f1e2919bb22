#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of tidy.py finds what it is for, at its line, and says nothing of what is right."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"

GOOD = {
    "common/base/bytes.h": SPDX + "#pragma once\n",
    "common/io/io.h": SPDX + "#pragma once\n#include \"base/bytes.h\"\n",
    "broker/log/log.h": SPDX + "#pragma once\n#include \"io/io.h\"\n",
    "broker/log/log.c": SPDX + "#include \"log/log.h\"\n\nint log_open(void)\n{\n    return 0; /* open(), malloc( */\n}\n",
    "broker/log/index.h": SPDX + "#pragma once\n",
    "broker/meta/meta.h": SPDX + "#pragma once\n#include \"log/log.h\"\n",
    "client/offline/offline.h": SPDX + "#pragma once\n#include \"log/index.h\"\n",
    "common/io/file.c": SPDX + "#include \"io/io.h\"\n\nint file_open(void)\n{\n    return open(\"/x\", 0);\n}\n",
    "deploy/run.sh": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\ntrue\n",
    "README.md": "Type `deploy/run.sh`.\n",
}

LONG = "".join("    x++;\n" for _ in range(80))

# rule, files that break it, the finding's beginning
BROKEN = [
    ("layers", {"common/io/io.h": SPDX + "#pragma once\n#include \"log/log.h\"\n"}, "common/io/io.h:3: layers: "),
    ("layers", {"broker/log/log.h": SPDX + "#pragma once\n#include \"meta/meta.h\"\n"}, "broker/log/log.h:3: layers: "),
    ("layers", {"broker/meta/meta.h": SPDX + "#pragma once\n#include \"log/index.h\"\n",
                "broker/log/index.h": SPDX + "#pragma once\n"}, "broker/meta/meta.h:3: layers: log/index.h is private"),
    ("layers", {"client/offline/offline.h": SPDX + "#pragma once\n#include \"log/tail.h\"\n",
                "broker/log/tail.h": SPDX + "#pragma once\n"}, "client/offline/offline.h:3: layers: log/tail.h is private"),
    ("layers", {"broker/log/log.h": SPDX + "#pragma once\n#include \"nowhere.h\"\n"}, "broker/log/log.h:3: layers: "),
    ("length", {"broker/log/log.c": SPDX + "int log_open(int x)\n{\n" + LONG + "    return x;\n}\n"},
     "broker/log/log.c:3: length: function log_open has 83 lines"),
    ("length", {"broker/log/log.c": SPDX + "int x;\n" * 900}, "broker/log/log.c:1: length: file has 901 lines"),
    ("length", {"tests/tidy/ratchet.json": '{"broker/log/log.c:log_open": 90}'}, "tests/tidy/ratchet.json:1: length: "),
    ("banned", {"broker/log/log.c": SPDX + "int log_open(void)\n{\n    return open(\"/x\", 0);\n}\n"},
     "broker/log/log.c:4: banned: open()"),
    ("banned", {"broker/log/log.c": SPDX + "void *log_new(void)\n{\n    return malloc(8);\n}\n"},
     "broker/log/log.c:4: banned: malloc()"),
    ("banned", {"common/io/file.c": SPDX + "void file_name(char *to)\n{\n    strcpy(to, \"x\");\n}\n"},
     "common/io/file.c:4: banned: strcpy()"),
    ("licence", {"broker/log/log.c": "int x;\n"}, "broker/log/log.c:1: licence: "),
    ("licence", {"broker/log/log.h": SPDX}, "broker/log/log.h:1: licence: "),
    ("marks", {"broker/log/log.c": SPDX + "/* TO" + "DO: later */\n"}, "broker/log/log.c:2: marks: "),
    ("format", {"broker/log/log.c": SPDX + "int   x;\n"}, "broker/log/log.c:2: format: "),
    ("addresses", {"deploy/run.sh": GOOD["deploy/run.sh"] + "curl ht" + "tps://example.org/x\n"}, "deploy/run.sh:4: addresses: "),
    ("docs", {"README.md": "Type `deploy/start.sh`.\n"}, "README.md:1: docs: deploy/start.sh"),
    ("docs", {"README.md": "```\nbuild/bin/leatd --help\n```\n"}, "README.md:2: docs: build/bin/leatd"),
]


def run(folder, rule):
    done = subprocess.run(
        [sys.executable, "tests/tidy/tidy.py", rule], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "BUILD": str(folder / "build")},
    )
    return done.returncode, done.stdout


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def static_state(folder):
    """A mutable static in an object file is found; a table of constants and their addresses is not."""
    source = folder / "broker/log/log.c"
    object_file = folder / "build/broker/log/CMakeFiles/leat_log.dir/log.c.o"
    object_file.parent.mkdir(parents=True, exist_ok=True)
    cases = {
        "static const char *const names[] = {\"a\"};\nconst char *n(int i);\nconst char *n(int i)\n{\n    return names[i];\n}\n": 0,
        "int n(void);\nint n(void)\n{\n    static int count;\n    return ++count;\n}\n": 1,
        "int n(void);\nint n(void)\n{\n    static _Thread_local int count = 3;\n    return ++count;\n}\n": 1,
        "int shared = 5;\n": 1,
    }
    for text, expected in cases.items():
        source.write_text(SPDX + text)
        subprocess.run(["cc", "-fPIC", "-O1", "-c", str(source), "-o", str(object_file)], check=True)
        status, output = run(folder, "static")
        if status != expected:
            return f"static: status {status} instead of {expected} for\n{text}{output}"
    return None


def main():
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "tests/tidy").mkdir(parents=True)
        for name in ("tidy.py", "layers.yaml"):
            shutil.copy(HERE / name, folder / "tests/tidy" / name)
        shutil.copy(HERE.parent.parent / ".clang-format", folder / ".clang-format")
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        empty = {"tests/tidy/ratchet.json": "{}"}
        for rule, files, expected in BROKEN:
            fill(folder, {**empty, **GOOD})
            status, output = run(folder, rule)
            if status != 0:
                failures.append(f"{rule} complains about what is right: {output}")
            fill(folder, files)
            status, output = run(folder, rule)
            if status != 1 or not any(line.startswith(expected) for line in output.split("\n")):
                failures.append(f"{rule}: expected `{expected}`, got status {status}: {output}")
            for name in set(files) - set(GOOD) - set(empty):
                (folder / name).unlink()
        fill(folder, {**empty, **GOOD})
        problem = static_state(folder)
        if problem:
            failures.append(problem)
    print("\n".join(failures) or f"{len(BROKEN) + 4} cases")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
