# SPDX-License-Identifier: Apache-2.0
"""On which machine something was measured: what Linux tells of it, by name, for a report. A fact that is not told is left out."""
import os
import platform
import re
import subprocess
from pathlib import Path

MOUNT_OPTIONS_MOST = 60  # characters


def text_of(path):
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def found(pattern, text):
    match = re.search(pattern, text, re.M)
    return match.group(1).strip() if match else None


def processor():
    info = text_of("/proc/cpuinfo")
    name = found(r"^model name\s*:\s*(.+)$", info) or found(r"^(?:Model|Hardware)\s*:\s*(.+)$", info) or platform.machine()
    flags = found(r"^flags\s*:(.+)$", info) or ""
    return name + (", in a virtual machine" if "hypervisor" in flags.split() else "")


def cores():
    count, allowed = os.cpu_count(), len(os.sched_getaffinity(0))
    return f"{count}" if allowed == count else f"{count}, of which {allowed} may be used"


def memory():
    kib = found(r"^MemTotal:\s*(\d+) kB", text_of("/proc/meminfo"))
    return f"{int(kib) / (1 << 20):.1f} GiB" if kib else None


def file_system(folder):
    """Type, device and options of the mount that the folder lies on: of all whose point is above it, the last of the longest."""
    path, best = Path(folder).resolve(), None
    for line in text_of("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        point = Path(re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), left.split()[4]))
        if (path == point or point in path.parents) and (best is None or len(point.parts) >= len(best[0].parts)):
            best = point, left.split()[5], right.split()
    if best is None:
        return None
    _, options, (kind, device, *_) = best
    return f"{kind} on {Path(device).name or device} ({options[:MOUNT_OPTIONS_MOST]})"


def java():
    try:
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60).stderr.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said[0] if said else None


def facts(folder, with_java=False):
    """`folder`: where the brokers' data lie."""
    told = {"processor": processor(), "cores": cores(), "memory": memory(), "kernel": f"{platform.system()} {platform.release()}",
            "system": found(r'^PRETTY_NAME="?([^"\n]+)', text_of("/etc/os-release")), "file system of the data": file_system(folder),
            "java": java() if with_java else None}
    return {name: fact for name, fact in told.items() if fact}


def commit(folder):
    """Of the tree that is measured; None: it is not under git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), "describe", "--always", "--dirty"], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
