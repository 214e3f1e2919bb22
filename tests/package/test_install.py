#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `cmake --install` lays down is a library that people can use from where it then lies.

The build is installed into a prefix that no file can know, the prefix is moved, and the programs of client/examples
are made from it alone: with pkg-config and with a CMake project, against the shared library and the archive. Each
is run against an installed leatd.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/compat"))
import broker  # noqa: E402  (the helper of tests/compat)

BUILD = Path(os.environ.get("BUILD", "build")).resolve()
SCRATCH = Path(os.environ["SCRATCH"])
EXAMPLES = sorted(path.stem for path in (ROOT / "client/examples").glob("*.c"))
EXAMPLE_LINES_MAX = 40
LIMIT_S = 120

CMAKE_PROJECT = """cmake_minimum_required(VERSION 3.13)
project(user LANGUAGES C)
find_package(leat 0.1 CONFIG REQUIRED)
foreach(example {examples})
  add_executable(${{example}}_shared {folder}/${{example}}.c)
  target_link_libraries(${{example}}_shared leat::leat)
  add_executable(${{example}}_static {folder}/${{example}}.c)
  target_link_libraries(${{example}}_static leat::static)
endforeach()
"""

# Every initialiser and a call, as C++ sees them.
CPLUSPLUS = """#include <leat/admin.h>
int main()
{
    leat_options o = LEAT_OPTIONS_INIT;
    leat_producer_options p = LEAT_PRODUCER_OPTIONS_INIT;
    leat_consumer_options c = LEAT_CONSUMER_OPTIONS_INIT;
    leat_topic_spec t = LEAT_TOPIC_SPEC_INIT;
    leat_record r = LEAT_RECORD_INIT;
    return o.size && p.size && c.size && t.size && r.offset == -1 && leat_version()[0] ? 0 : 1;
}
"""


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=LIMIT_S, **more)
    assert done.returncode == 0, f"{' '.join(str(w) for w in command)}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def install():
    """The prefix, moved after the installation."""
    first, prefix = SCRATCH / "made-here", SCRATCH / "prefix"
    run("cmake", "--install", BUILD, "--prefix", first)
    first.rename(prefix)
    libraries = [path.parent for path in prefix.rglob("libleat.a")]
    assert len(libraries) == 1, f"one libleat.a is expected below {prefix}, there are {libraries}"
    return prefix, libraries[0]


def check_files(prefix, lib):
    for path in ["bin/leat", "bin/leatd", "include/leat/leat.h", "include/leat/admin.h"]:
        assert (prefix / path).is_file(), f"{path} is not installed"
    for path in ["libleat.so", "libleat.so.1", "libleat.a", "pkgconfig/leat.pc", "cmake/leat/leat-config.cmake"]:
        assert (lib / path).is_file(), f"{path} is not installed beside libleat.a"
    said = run("objdump", "-p", lib / "libleat.so")
    assert re.search(r"SONAME +libleat\.so\.1$", said, re.M) and "LEAT_1" in said, said
    assert "liburing" not in said, "the client library must not need liburing"
    for path in ["include/leat/leat.h", "include/leat/admin.h", lib / "pkgconfig/leat.pc", lib / "cmake/leat/leat-config.cmake"]:
        text = (prefix / path).read_text()
        assert str(ROOT) not in text and "made-here" not in text, f"{path} names the place that it was made in"
    for path in ["bash-completion/completions/leat", "zsh/site-functions/_leat", "fish/vendor_completions.d/leat.fish"]:
        assert "leat" in (prefix / "share" / path).read_text(), f"share/{path} completes nothing"
    run("bash", "-n", prefix / "share/bash-completion/completions/leat")
    if shutil.which("scdoc"):
        for path in ["man1/leat.1", "man8/leatd.8", "man5/leat.yaml.5", "man3/libleat.3", "man3/leat_producer.3", "man3/leat_flush.3"]:
            assert (prefix / "share/man" / path).is_file(), f"share/man/{path} is not installed"
    assert run(prefix / "bin/leat", "--version").strip(), "leat --version says nothing"
    print("ok: everything is where it belongs")


def pkg_config(lib, *arguments):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(lib / "pkgconfig")}
    return run("pkg-config", *arguments, "leat", env=environment).split()


def by_pkg_config(lib):
    """name -> program"""
    made = {}
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *pkg_config(lib, "--cflags")]
    shared = pkg_config(lib, "--libs")
    archive = ["-l:libleat.a" if word == "-lleat" else word for word in pkg_config(lib, "--static", "--libs")]
    assert "-lzstd" not in shared and "-lzstd" in archive, (shared, archive)
    for example in EXAMPLES:
        source = ROOT / "client/examples" / f"{example}.c"
        lines = len(source.read_text().splitlines())
        assert lines < EXAMPLE_LINES_MAX, f"{source} has {lines} lines: an example has fewer than {EXAMPLE_LINES_MAX}"
        for kind, libs in [("shared", shared), ("static", archive)]:
            made[f"pkg-config, {kind}: {example}"] = program = SCRATCH / f"{example}-{kind}"
            run("cc", *flags, source, "-o", program, *libs)
    source = SCRATCH / "user.cc"
    source.write_text(CPLUSPLUS)
    run("c++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *pkg_config(lib, "--cflags"), source, "-o", SCRATCH / "user", *shared)
    run(SCRATCH / "user", env=environment_of(lib))
    return made


def by_cmake(prefix):
    project, build = SCRATCH / "project", SCRATCH / "project-build"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(CMAKE_PROJECT.format(examples=" ".join(EXAMPLES), folder=ROOT / "client/examples"))
    run("cmake", "-S", project, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    return {f"CMake, {kind}: {example}": build / f"{example}_{kind}" for example in EXAMPLES for kind in ("shared", "static")}


def environment_of(lib):
    return {**os.environ, "LD_LIBRARY_PATH": str(lib)}


def check_programs(prefix, lib, made):
    """Each way of building has a topic of its own: what its producer sends, its consumer shows."""
    broker.BUILD = str(prefix)
    with broker.Broker() as b:
        ways = sorted({name.split(":")[0] for name in made})
        for number, way in enumerate(ways):
            static = "static" in way
            for example in ("producer", "consumer"):
                program = made[f"{way}: {example}"]
                needs = "libleat" in run("objdump", "-p", program)
                assert needs != static, f"{way}: {example} {'needs' if needs else 'does not need'} libleat.so"
                environment = dict(os.environ) if static else environment_of(lib)
                said = run(program, b.address, f"t{number}", env=environment)
            broker.same(said, "".join(f'{i}: {{"order":{i}}}\n' for i in range(10)), f"{way}: ten orders out, ten orders in")


prefix, lib = install()
check_files(prefix, lib)
check_programs(prefix, lib, {**by_pkg_config(lib), **by_cmake(prefix)})
