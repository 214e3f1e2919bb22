#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The man pages tell of everything that there is, and of nothing else.

Functions, error codes and fields come from the public headers, names of options from the tables of client/core/options.c, flags and
commands from the tables of client/cli and from --help, keys from docs/reference/configuration.md. Each finding is one line
that says which page lacks what, and how it is written there. The pages themselves must please mandoc.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("BUILD", ROOT / "build")).resolve()
PAGES = ROOT / "docs/man"
FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]+|-[A-Za-z])(?![\w-])")
KCAT_ALONE = {"-P", "-C", "-L", "-Q"}  # they choose a mode and stand in no table but kcat's
findings = []


def finding(page, text):
    findings.append(f"docs/man/{page}.scd: {text}")


def read(path):
    return (ROOT / path).read_text()


def page(name):
    return read(f"docs/man/{name}.scd")


def words(text):
    """Text without scdoc's marks for bold, underlined and literal."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)\*|(?<![\w\\])_|(?<!\\)_(?!\w)", "", text))


def section(text, title):
    found = re.search(rf"^# {title}\n(.*?)(?=^# |\Z)", text, re.M | re.S)
    return found.group(1) if found else ""


def flat(text):
    """A prototype as it is compared: without LEAT_API, and with single spaces."""
    text = re.sub(r"\s+", " ", text.replace("LEAT_API ", "")).strip()
    return re.sub(r"\s*([(),*])\s*", r"\1", text)


# --- functions ------------------------------------------------------------------------------------


def prototypes(text, mark):
    """name -> prototype of each function declared in C text."""
    found = {}
    for declared in re.findall(rf"^{mark}((?:const )?\w+ \*?leat_\w+\([^;]*\);)", text, re.M):
        found[re.search(r"(leat_\w+)\(", declared).group(1)] = declared
    return found


def check_functions():
    header = "".join(read(f"client/include/leat/{name}.h") for name in ("leat", "admin"))
    declared = prototypes(header, "LEAT_API ")
    assert len(declared) == len(re.findall(r"^LEAT_API ", header, re.M)), "a declaration of the headers is not understood"
    where = {}
    for path in sorted(PAGES.glob("*.3.scd")):
        name, text = path.name[:-4], path.read_text()
        listed = re.match(r"\s*([\w, ]+) - ", section(text, "NAME")).group(1).split(", ")
        shown = prototypes(section(text, "SYNOPSIS"), "")
        for function in [] if name == "libleat.3" else listed:
            where[function] = name
            check_function(name, text, function, declared.get(function), shown.get(function))
        for function in set(shown) - set(listed):
            finding(name, f"{function} stands in SYNOPSIS, but not in NAME")
    for function in sorted(set(declared) - set(where)):
        finding("leat_PAGE.3", f"no page has {function}: choose the page of its group; add the name to NAME, the prototype from the header "
                f"to SYNOPSIS, and a paragraph that begins with *{function}*() to DESCRIPTION")


def check_function(name, text, function, declared, shown):
    if declared is None:
        finding(name, f"{function} is in no header: take it out")
    elif shown is None or flat(shown) != flat(declared):
        finding(name, f"SYNOPSIS should have: {' '.join(declared.split())}")
    if f"*{function}*()" not in section(text, "DESCRIPTION"):
        finding(name, f"DESCRIPTION says nothing of *{function}*()")


def check_codes():
    header, text = read("client/include/leat/leat.h"), page("leat_errors.3")
    codes = re.search(r"enum leat_code \{(.*?)\};", header, re.S).group(1)
    known = {f"{name} ({number})" for name, number in re.findall(r"(LEAT_\w+) = (-?\d+)", codes)}
    shown = set(re.findall(r"^(LEAT_\w+ \(-?\d+\))$", text, re.M))
    for code in sorted(known - shown):
        finding("leat_errors.3", f"CODES lacks a line '{code}' and what it means")
    for code in sorted(shown - known):
        finding("leat_errors.3", f"there is no code {code} in leat.h")


# --- options --------------------------------------------------------------------------------------


def check_options():
    header, table, text = read("client/include/leat/leat.h"), read("client/core/options.c"), words(page("leat_options.3"))
    shown = set(re.findall(r"[\w.]+\w", text))
    names = re.findall(r'^    (?:\{|MS\()"([\w.]+)",', table, re.M)
    assert len(names) > 40, "the tables of client/core/options.c are not understood"
    for name in sorted(set(names) - shown):
        finding("leat_options.3", f"the option {name} is missing: *{name}* (field; default), and indented what it does")
    for struct in re.findall(r"typedef struct leat_\w*options \{(.*?)\} leat_\w*options;", header, re.S):
        bare = re.sub(r"/\*.*?\*/", "", struct, flags=re.S)
        for field in re.findall(r"(\w+)(?:\[\w+\])?\s*(?=[,;])", bare):
            if field not in shown:
                finding("leat_options.3", f"the field {field} is missing: (field; default), and indented what it does")


# --- flags, commands, keys -----------------------------------------------------------------------------


def said(program, *arguments):
    done = subprocess.run([BUILD / "bin" / program, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
    return done.stdout if done.returncode == 0 else ""


def compare_flags(name, known, text):
    shown = set(FLAG.findall(words(text)))
    for flag in sorted(known - shown):
        finding(name, f"the option {flag} is missing: *{flag}*, and indented what it does")
    for flag in sorted(f for f in shown - known if f.startswith("--")):
        finding(name, f"there is no option {flag}: take it out")


def check_flags():
    known, text = set(), page("leat.1")
    for path in sorted((ROOT / "client/cli").glob("**/*.c")):
        for letter, name in re.findall(r"\{\w+,\s+(0|'\w'),\s+(NULL|\"[\w-]+\"),\s+(?:NULL|\")", path.read_text()):
            known |= {"-" + letter[1]} if letter != "0" else set()
            known |= {"--" + name[1:-1]} if name != "NULL" else set()
    assert {"--brokers", "-X", "--acks", "--partitions"} <= known, "the flag tables of client/cli are not understood"
    summary = said("leat", "--help")
    commands = re.findall(r"^  ([a-z]\w+)\b", summary, re.M)
    assert {"produce", "consume", "topic"} <= set(commands), summary
    for command in commands:
        if f"*{command}*" not in text and f"*{command} " not in text:
            finding("leat.1", f"the command {command} is missing: *{command}* under COMMANDS, and a section of its own if it has options")
    compare_flags("leat.1", known | KCAT_ALONE | set(FLAG.findall(summary)).union(*(FLAG.findall(said("leat", c, "--help")) for c in commands)), text)
    compare_flags("leatd.8", set(FLAG.findall(said("leatd", "--help"))), page("leatd.8"))


def check_keys():
    shown = rendered("leat.yaml.5")
    keys = re.findall(r"^\| `([\w.]+)` \|", read("docs/reference/configuration.md").split("## Keys of Kafka that are ignored")[0], re.M)
    assert len(keys) > 40, "docs/reference/configuration.md is not understood"
    for key in keys:
        if f"{key} (" not in shown:
            finding("leat.yaml.5", f"the key {key} is not in the rendered page, whose keys come from leat-config-reference --man")


# --- rendering ------------------------------------------------------------------------------------


def rendered(name):
    """As one line: what is searched for may be broken over two."""
    done = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=500", BUILD / "man" / name], capture_output=True, text=True, check=True)
    return re.sub(r".\x08", "", done.stdout)


def check_rendering():
    for path in sorted(PAGES.glob("*.scd")):
        name = path.name[:-4]
        out = BUILD / "man" / name
        assert out.is_file(), f"{out} was not built: is scdoc installed, and did cmake run since then?"
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", out], capture_output=True, text=True).stdout
        # scdoc begins a paragraph wherever one may begin; readers do not see it.
        for line in lint.splitlines():
            if "skipping paragraph macro" not in line:
                finding(name, line)
        text = rendered(name)
        if "@VERSION@" in text or "@KEYS@" in text:
            finding(name, "a mark was not filled in")
    for path in BUILD.glob("man/*.3"):
        link = re.match(r"\.so man3/(\S+)\n", path.read_text())
        if link and not (BUILD / "man" / link.group(1)).is_file():
            finding(link.group(1), f"{path.name} points to it, and it does not exist")


def check_checks():
    """What the checks themselves must see and leave."""
    assert words("*-t*, *--topic* _TOPIC_ LEAT\\_ a_b *a_c*()") == "-t, --topic TOPIC LEAT_ a_b a_c()", words("*-t*, *--topic* _TOPIC_ LEAT\\_ a_b *a_c*()")
    assert set(FLAG.findall("-t, --topic-config -1 x-y a--b [-i|-a]")) == {"-t", "--topic-config", "-i", "-a"}
    assert flat("LEAT_API int leat_a(leat_b **c,\n   int d);") == flat("int leat_a(leat_b **c, int d);") == "int leat_a(leat_b**c,int d);"


for program in ("scdoc", "mandoc"):
    if not shutil.which(program):
        print(f"{program} is not installed")
        sys.exit(77)
check_checks()
for check in (check_functions, check_codes, check_options, check_flags, check_rendering, check_keys):
    check()
for line in findings:
    print(line)
print(f"{len(list(PAGES.glob('*.scd')))} pages, {len(findings)} findings")
sys.exit(1 if findings else 0)
