"""Debian 12's Python for aarch64, in a folder that user-mode emulation takes for the root of the system."""

import os
import shutil
from pathlib import Path

from tests.debian import mirror
from tests.graviton.kept import kept, run
from tests.graviton.wheels import PYTHON

# torch's libraries need the last three, which come with no other package here.
PACKAGES = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6", "libgcc-s1", "libgomp1")
# Nothing of a package is executed: it is downloaded and unpacked, which takes 20 s.
MMDEBSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--variant=extract",
    "--architectures=arm64",
    f"--include={','.join(PACKAGES)}",
    "bookworm",
)
# What is absent here is this machine's own: a file of /dev in the folder would hide /dev/null.
NOT_NEEDED = ("dev", "tmp", "var")


def sysroot() -> Path:
    """The folder, which `qemu-aarch64 -L` takes; made first (75 MB) if need be. Raises PreparationError."""
    return kept("sysroot", [MMDEBSTRAP, NOT_NEEDED], _make)


def _make(folder: Path) -> None:
    archive = mirror()
    command = [*MMDEBSTRAP, str(folder), *([] if archive is None else [archive])]
    # mmdebstrap leaves its key ring behind in the temporary folder.
    scratch = folder.with_name("scratch")
    scratch.mkdir()
    run(command, environment={"TMPDIR": os.fspath(scratch)})
    for name in NOT_NEEDED:
        shutil.rmtree(folder / name, ignore_errors=True)
