"""The file systems that containers boot from: one per Debian release, made once and kept under .cache/."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.debian import mirror

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "systemd"


@dataclass(frozen=True)
class Release:
    """A release of Debian."""

    name: str
    """Such as "bookworm"."""
    systemd: int
    """Major version of its systemd."""
    python: str
    """Minor version of its Python, such as "3.11"."""


BOOKWORM = Release("bookworm", systemd=252, python="3.11")
TRIXIE = Release("trixie", systemd=257, python="3.13")
RELEASES = (BOOKWORM, TRIXIE)

PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3-minimal", "libpython3-stdlib")
MMDEBSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--mode=root",
    "--variant=minbase",
    f"--include={','.join(PACKAGES)}",
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
)


def rootfs(release: Release, more: str | None = None) -> Path:
    """The folder of a release's file system, which nothing may write to; made first if it isn't there.

    About a minute and 190 MB each. Raises RuntimeError with the last lines of mmdebstrap.

    Args:
        release: which Debian.
        more: a package besides those that every test needs.
    """
    digest = hashlib.sha256(json.dumps(MMDEBSTRAP).encode()).hexdigest()[:12]
    name = release.name if more is None else f"{release.name}+{more}"
    finished = CACHE / f"{name}@{digest}"
    if finished.is_dir():
        # It came in one step. Another one may be in the making, for which nobody has to wait.
        return finished
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.is_dir():
            _build(release, more, finished)
    return finished


def _build(release: Release, more: str | None, finished: Path) -> None:
    # None leaves the choice to mmdebstrap.
    mirrors = () if (archive := mirror()) is None else (archive,)
    included = () if more is None else (f"--include={more}",)
    # mmdebstrap leaves its key ring behind in the temporary folder.
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{release.name}.") as unfinished:
        folder = Path(unfinished) / "rootfs"
        done = subprocess.run(
            (*MMDEBSTRAP, *included, release.name, str(folder), *mirrors),
            env=os.environ | {"TMPDIR": unfinished, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            last = "\n".join(done.stdout.splitlines()[-15:])
            raise RuntimeError(f"mmdebstrap could not make {release.name}:\n{last}")
        # An empty machine-id lets systemd give each container one of its own.
        (folder / "etc/machine-id").write_text("")
        for former in CACHE.glob(f"{finished.name.partition('@')[0]}@*"):
            shutil.rmtree(former)
        folder.rename(finished)
