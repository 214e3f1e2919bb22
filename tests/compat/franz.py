# SPDX-License-Identifier: Apache-2.0
"""franz-go, fetched by go and kept beside the build, so that its modules are fetched once."""
import shutil
import subprocess
from pathlib import Path

from broker import BUILD

HERE = Path(__file__).resolve().parent
MODULES = ["github.com/twmb/franz-go@v1.22.3", "github.com/twmb/franz-go/pkg/kadm@v1.20.0"]


def built(program, *sources):
    """The program's path, and "" or why there is none."""
    if not shutil.which("go"):
        return None, "go is not installed"
    work = Path(BUILD).resolve() / "franz-go"
    package = work / program
    package.mkdir(parents=True, exist_ok=True)

    def go(*arguments):
        return subprocess.run(["go", *arguments], cwd=work, capture_output=True, text=True, timeout=300)

    if not (work / "go.sum").exists():
        (work / "go.mod").write_text("module compat\n")
        fetched = go("get", *MODULES)
        if fetched.returncode != 0:
            return None, "go cannot fetch franz-go: " + (fetched.stderr.strip().splitlines() or ["no reason given"])[-1]
    for source in sources:
        shutil.copy(HERE / source, package)
    done = go("build", "-o", package / "program", f"./{program}")
    assert done.returncode == 0, done.stderr
    return package / "program", ""
