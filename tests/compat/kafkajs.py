# SPDX-License-Identifier: Apache-2.0
"""kafkajs, fetched by npm and kept beside the build."""
import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from broker import BUILD

HERE = Path(__file__).resolve().parent
VERSION = "2.2.4"


def kafkajs():
    """The folder with node_modules, and "" or why there is none."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            return None, f"{program} is not installed"
    modules = Path(BUILD).resolve() / "kafkajs"
    if not (modules / "node_modules" / "kafkajs").is_dir():
        modules.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", modules,
                                  f"kafkajs@{VERSION}"], capture_output=True, text=True, timeout=300)
        if fetched.returncode != 0:
            return None, "npm cannot fetch kafkajs: " + (fetched.stderr.strip().splitlines() or ["no reason given"])[-1]
    return modules, ""


@contextlib.contextmanager
def runnable(modules, program):
    """What subprocess needs to run this program of ours with kafkajs: a command and more."""
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(HERE / program, scratch)
        os.symlink(modules / "node_modules", Path(scratch) / "node_modules")
        yield ["node", program], {"cwd": scratch, "env": {**os.environ, "KAFKAJS_NO_PARTITIONER_WARNING": "1"}}
