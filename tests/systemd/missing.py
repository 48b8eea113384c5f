"""What this machine lacks for booting a systemd, in one line for the person who runs the tests."""

import os
import re
import shutil
from pathlib import Path

CAP_SYS_ADMIN = 21
"""Number of the capability [linux/capability.h]."""

PACKAGE_OF = {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "nsenter": "util-linux"}


def missing() -> str | None:
    """Why no container can be booted here, and what to do about it; None if nothing is in the way."""
    if os.geteuid() != 0:
        return "booting a systemd needs root: run the tests as root"
    if not _may_mount():
        return "booting a systemd needs CAP_SYS_ADMIN, which this container withholds: run the tests outside"
    absent = [program for program in PACKAGE_OF if shutil.which(program) is None]
    if absent:
        packages = " ".join(sorted({PACKAGE_OF[program] for program in absent}))
        return f"no {', '.join(absent)} here: apt-get install --no-install-recommends {packages}"
    if unified_cgroups() is None:
        return "no cgroup2 file system is mounted here: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
    return None


def unified_cgroups() -> Path | None:
    """Where the cgroup2 file system is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    return None


def _may_mount() -> bool:
    effective = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text())
    return effective is not None and bool(int(effective.group(1), 16) >> CAP_SYS_ADMIN & 1)
