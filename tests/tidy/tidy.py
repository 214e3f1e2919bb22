#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/tidy/tidy.py: the rules of the house that a program can check, in seconds.

The law stands in layers.yaml (YAML that is JSON as well), exceptions that may only shrink in
ratchet.json. Each finding is one line: `file:line: rule: what to do`. Exit status 1 if there is one.

    tidy.py              checks everything; object files are looked for in $BUILD (build/)
    tidy.py RULE...      only these rules
    tidy.py --ratchet    writes ratchet.json anew from what is over a limit today
"""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LAW = json.loads((HERE / "layers.yaml").read_text())
RATCHET_FILE = HERE / "ratchet.json"
RATCHET = json.loads(RATCHET_FILE.read_text()) if RATCHET_FILE.exists() else {}
findings = []


def finding(path, line, rule, advice):
    findings.append(f"{path}:{line}: {rule}: {advice}")


# --- what there is ---------------------------------------------------------------------------------


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\n")
    return sorted({name for name in listed if name and (ROOT / name).is_file()})


class Source:
    """A text file, and for C the same text with comments and literals blanked out."""

    def __init__(self, name):
        self.name = name
        self.text = (ROOT / name).read_text(errors="replace")
        self.lines = self.text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        self._code = None

    @property
    def code(self):
        if self._code is None:
            self._code = BLANK.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), self.text)
        return self._code


BLANK = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def is_c(name):
    return name.endswith((".c", ".h"))


def is_script(name):
    return name.endswith((".sh", ".py")) or name.startswith(".ci/")


def line_of(text, position):
    return text.count("\n", 0, position) + 1


# --- rules -----------------------------------------------------------------------------------------


def room_of(path):
    """The innermost room that a path lies in, or None."""
    best = None
    for room in LAW["rooms"]:
        if path.startswith(room + "/") and (best is None or len(room) > len(best)):
            best = room
    return best


def resolve_include(includer, name):
    """The project file that an include names, as the compiler would find it; None if there is none."""
    folder = os.path.dirname(includer)
    for base in (folder, "common", "broker", "client/include", "client", "tests", "bench"):
        path = os.path.normpath(os.path.join(base, name))
        if (ROOT / path).is_file():
            return path
    generated = name.split("/")[0]
    for parent in ("common", "broker"):
        if f"{parent}/{generated}" in LAW["rooms"]:
            return f"{parent}/{name}"
    return None


def check_layers(sources):
    rooms = LAW["rooms"]
    for source in sources:
        own = room_of(source.name)
        if not is_c(source.name) or own is None or rooms[own].get("free"):
            continue
        for number, line in enumerate(source.lines, 1):
            match = re.match(r'\s*#\s*include\s+[<"]([^">]+)[">]', line)
            if not match:
                continue
            target = resolve_include(source.name, match[1])
            if target is None:
                if '"' in line:
                    finding(source.name, number, "layers", f"{match[1]} is not a file of the project")
                continue
            check_include(source.name, number, own, target, match[1])


def check_include(name, number, own, target, spelled):
    rooms = LAW["rooms"]
    other = room_of(target)
    if other == own or (other is None and target.startswith("client/include/")):
        return
    if other is None:
        finding(name, number, "layers", f"{spelled} lies in no room of layers.yaml")
        return
    if target.startswith("client/include/") and own.startswith("client"):
        return
    allowed = rooms[own].get("may")
    if allowed is not None and other not in allowed:
        finding(name, number, "layers", f"{own} may not include {other}")
    elif rooms[other]["rank"] >= rooms[own]["rank"]:
        finding(
            name, number, "layers",
            f"{own} (rank {rooms[own]['rank']}) may not include {other} (rank {rooms[other]['rank']}): "
            "news goes up by callback",
        )
    public = rooms[other].get("public", [f"{other.split('/')[-1]}/{other.split('/')[-1]}.h"])
    if "*" not in public and spelled not in public and spelled not in rooms[own].get("reads", []):
        finding(name, number, "layers", f"{spelled} is private to {other}: include {' or '.join(public)}")


def functions_of(source):
    """(name, line, length) of each function: a `{` and a `}` alone in the first column."""
    start = None
    for number, line in enumerate(source.lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = " ".join(source.lines[max(0, start - 8):start - 1])
            names = re.findall(r"(\w+)\s*\(", head.split(";")[-1].split("}")[-1])
            yield (names[0] if names else "?"), start, number - start + 1
            start = None


def over_limits(sources):
    """What is over a limit: key -> (path, line, size, limit, what)."""
    limits = LAW["limits"]
    for source in sources:
        if not (is_c(source.name) or is_script(source.name)):
            continue
        if len(source.lines) > limits["file_lines"]:
            yield source.name, (source.name, 1, len(source.lines), limits["file_lines"], "file")
        if source.name.endswith(".c"):
            for name, line, length in functions_of(source):
                if length > limits["function_lines"]:
                    yield f"{source.name}:{name}", (
                        source.name, line, length, limits["function_lines"], f"function {name}",
                    )


def check_lengths(sources):
    for key, (path, line, size, limit, what) in over_limits(sources):
        allowed = RATCHET.get(key)
        if allowed is None:
            finding(path, line, "length", f"{what} has {size} lines, the limit is {limit}: split it")
        elif size > allowed:
            finding(path, line, "length", f"{what} grew from {allowed} to {size} lines: what is over a limit may only shrink")
    over = dict(over_limits(sources))
    for key, allowed in RATCHET.items():
        if key not in over or over[key][2] < allowed:
            finding("tests/tidy/ratchet.json", 1, "length", f"{key} has shrunk: run tests/tidy/tidy.py --ratchet")


def check_banned(sources):
    groups = {group: words.split() for group, words in LAW["banned"].items()}
    every = {word: group for group, words in groups.items() for word in words}
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(sorted(every, key=len, reverse=True)) + r")\s*\(")
    for source in sources:
        if not is_c(source.name):
            continue
        allowed = set()
        for prefix, names in LAW["allowed"].items():
            if source.name.startswith(prefix):
                allowed.update(names)
        for match in pattern.finditer(source.code):
            group = every[match[1]]
            before = source.code[: match.start()].rstrip()
            if group in allowed or before.endswith("->"):
                continue
            line = line_of(source.code, match.start())
            if source.code[: match.start()].endswith("\n"):
                continue  # a declaration of its own at the start of a line
            finding(source.name, line, "banned", BANNED_ADVICE[group].format(match[1]))


BANNED_ADVICE = {
    "memory": "{}(): take memory from a struct memory or a struct arena (base/memory.h)",
    "outside": "{}(): reach files, sockets, clock and randomness through the seam (io/io.h)",
    "threads": "{}(): threads live behind the seam (io_group_run, io_work)",
    "unsafe": "{}(): use the bounded form (snprintf, memcpy with a checked size)",
}


def check_static_state(_sources):
    build = Path(os.environ.get("BUILD", ROOT / "build"))
    law = LAW["static_state"]
    objects = []
    for folder in law["folders"]:
        for path in sorted((build / folder).glob("**/*.o")):
            name = str(path.relative_to(build))
            plain = re.sub(r"/CMakeFiles/([^/]+)\.dir/", r"/", name)
            source = plain[: -len(".o")]
            owner = re.search(r"/CMakeFiles/([^/]+)\.dir/", name)
            if any(word in source or (owner and word in owner[1]) for word in law["except"]):
                continue
            if (ROOT / source).is_file():
                objects.append((str(path), source))
    if not objects:
        print("note: no object files in build/: the rule static is not checked", file=sys.stderr)
        return
    listed = subprocess.run(
        ["objdump", "-t", *[path for path, _ in objects]], capture_output=True, text=True, check=True
    ).stdout
    sources = dict(objects)
    current = None
    for line in listed.split("\n"):
        head = re.match(r"(.*\.o):\s+file format", line)
        if head:
            current = sources.get(head[1])
            continue
        match = re.match(r"[0-9a-f]+ (.{7}) (\S+)\s+[0-9a-f]+ (?:\.hidden )?(\S+)$", line)
        if not match or "d" in match[1]:
            continue  # not a symbol, or that of a section
        section, symbol = match[2], match[3]
        mutable = section == "*COM*" or re.match(r"\.(data|bss|tdata|tbss)(\.|$)", section)
        if mutable and not section.startswith(".data.rel.ro"):
            finding(current, 1, "static", f"{symbol} is mutable state of the whole process: keep it in a struct that a caller owns")


def check_licence(sources):
    for source in sources:
        if is_c(source.name):
            good = source.lines[:1] == ["/* SPDX-License-Identifier: Apache-2.0 */"]
        elif is_script(source.name):
            good = "# SPDX-License-Identifier: Apache-2.0" in source.lines[:2]
        else:
            continue
        if not good:
            finding(source.name, 1, "licence", "begin with the line SPDX-License-Identifier: Apache-2.0")
        guarded = "#pragma once" in source.lines or re.search(r"^#ifndef (\w+_H)\n#define \1$", source.text, re.M)
        if source.name.endswith(".h") and not guarded:
            finding(source.name, 1, "licence", "add #pragma once behind the design comment")


def check_marks(sources):
    words = "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"])
    for source in sources:
        if not (is_c(source.name) or is_script(source.name) or source.name.endswith((".yaml", "CMakeLists.txt"))):
            continue
        for number, line in enumerate(source.lines, 1):
            if re.search(rf"\b({words})\b", line):
                finding(source.name, number, "marks", "finish it, or write NEEDSWORK: with the number of a decision")


def check_format(sources):
    names = [s.name for s in sources if is_c(s.name)]
    parts = [names[i::4] for i in range(4)]

    def run(part):
        if not part:
            return ""
        return subprocess.run(
            ["clang-format", "--dry-run", "-Werror", *part], cwd=ROOT, capture_output=True, text=True
        ).stderr

    with ThreadPoolExecutor(4) as pool:
        output = "\n".join(pool.map(run, parts))
    seen = set()
    for match in re.finditer(r"^([^:\n]+):(\d+):\d+: error: code should be clang-formatted", output, re.M):
        if match[1] not in seen:
            seen.add(match[1])
            finding(match[1], match[2], "format", f"run clang-format -i {match[1]}")
    if "error" in output and not seen:
        finding(".clang-format", 1, "format", output.strip().split("\n")[0])
    limit = LAW["limits"]["columns"]
    for source in sources:
        if is_c(source.name):
            for number, line in enumerate(source.lines, 1):
                if len(line) > limit + 20:
                    finding(source.name, number, "format", f"a line of {len(line)} columns")


def check_addresses(sources):
    parent = str(ROOT.parent) + "/"
    telling = parent not in ("/", "/tmp/", "/var/tmp/", "/home/", "/root/", "/src/", "/opt/")
    own_path = re.compile(r"(?<![\w/.-])" + re.escape(parent))
    for source in sources:
        build_file = source.name.endswith(("CMakeLists.txt", ".cmake"))
        for number, line in enumerate(source.lines, 1):
            if (is_script(source.name) or build_file) and re.search(r"https?:/" + r"/(?!127\.0\.0\.1|localhost)", line):
                finding(source.name, number, "addresses", "no host in a script: packages are installed by name")
            if telling and own_path.search(line):
                finding(source.name, number, "addresses", "a path of this machine")


def programs(sources):
    found = set()
    for source in sources:
        if source.name.endswith("CMakeLists.txt"):
            found.update(re.findall(r"(?:add_executable\(|OUTPUT_NAME\s+)([\w-]+)", source.text))
    return found


def check_docs(sources):
    """What a page tells a reader to type exists: paths of the project, programs of the build."""
    known = programs(sources)
    mention = re.compile(r"(?<![\w/.-])(?:\./)?((?:deploy|tests|bench|docs|broker|common|client|build/bin)/[\w./-]*\w)")
    for source in sources:
        if not source.name.endswith(".md"):
            continue
        fenced = False
        for number, line in enumerate(source.lines, 1):
            if line.lstrip().startswith("```"):
                fenced = not fenced
                continue
            for code in [line] if fenced else re.findall(r"`([^`]+)`", line):
                for path in mention.findall(code):
                    if not mentioned_exists(path, known):
                        finding(source.name, number, "docs", f"{path} does not exist")


def mentioned_exists(path, known):
    if path.startswith("build/bin/"):
        return path.split("/")[2] in known
    return (ROOT / path).exists() or any((ROOT / (path + end)).exists() for end in (".c", ".h"))


RULES = {
    "layers": check_layers,
    "length": check_lengths,
    "banned": check_banned,
    "static": check_static_state,
    "licence": check_licence,
    "marks": check_marks,
    "format": check_format,
    "addresses": check_addresses,
    "docs": check_docs,
}


def main(arguments):
    # Corpora and samples are bytes, not text that somebody wrote.
    names = [n for n in tracked_files() if not n.startswith(("tests/fuzz/corpus/", "deploy/sample/"))]
    sources = [Source(name) for name in names]
    if arguments == ["--ratchet"]:
        over = {key: entry[2] for key, entry in over_limits(sources)}
        RATCHET_FILE.write_text(json.dumps(over, indent=2, sort_keys=True) + "\n")
        return 0
    unknown = [rule for rule in arguments if rule not in RULES]
    if unknown:
        print(f"unknown rule {unknown[0]}; there are {' '.join(RULES)}", file=sys.stderr)
        return 2
    for rule in arguments or RULES:
        RULES[rule](sources)
    print("\n".join(findings) if findings else f"{len(sources)} files are tidy")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
