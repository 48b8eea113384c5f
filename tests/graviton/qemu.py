"""QEMU 10 from Debian's backports, unpacked beside the system: Debian 12's own has no neoverse-v1.

Nothing is installed, and nothing in /etc changes: apt works with a configuration of its own, from which it
downloads what the machine lacks of the packages and their libraries.
"""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.debian import mirror
from tests.graviton.kept import PreparationError, kept, run

SUITES = ("bookworm", "bookworm-backports")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = (
    "qemu-user", "qemu-system-arm", "qemu-system-common", "qemu-system-data", "qemu-efi-aarch64",
    "qemu-utils",
)  # fmt: skip
OLDEST = 10
"""The major version that has all the cores."""


@dataclass(frozen=True)
class Qemu:
    """Both emulators of aarch64."""

    root: Path
    """Where the packages are unpacked."""

    @property
    def user(self) -> Path:
        """Emulates one process; linked statically."""
        return self.root / "usr/bin/qemu-aarch64"

    @property
    def system(self) -> Path:
        """Emulates a machine; to be run in `system_environment`, with `-L` and `data`."""
        return self.root / "usr/bin/qemu-system-aarch64"

    @property
    def disks(self) -> Path:
        """Makes disk images; to be run in `system_environment`."""
        return self.root / "usr/bin/qemu-img"

    @property
    def data(self) -> Path:
        """What the machine emulator looks up: keyboard maps and option ROMs."""
        return self.root / "usr/share/qemu"

    @property
    def firmware(self) -> Path:
        """UEFI, for the machine emulator's -bios."""
        return self.root / "usr/share/qemu-efi-aarch64/QEMU_EFI.fd"

    @property
    def system_environment(self) -> dict[str, str]:
        """What the machine emulator needs to find the libraries that came with it."""
        folders = {library.parent for library in self.root.glob("**/lib/*-linux-gnu/*.so.*")}
        return {"LD_LIBRARY_PATH": os.pathsep.join(sorted(map(str, folders)))}

    @property
    def version(self) -> str:
        """Such as "10.0.2"."""
        found = re.search(r"version ([0-9.]+)", run([str(self.user), "--version"]))
        return found.group(1) if found else "unknown"

    def cores(self) -> frozenset[str]:
        """The names that -cpu understands."""
        # Having helped, it ends with exit code 1.
        help_ = subprocess.run([self.user, "-cpu", "help"], capture_output=True, text=True, check=False)
        return frozenset(re.findall(r"(?m)^ +(\S+)", help_.stdout))


@cache
def qemu() -> Qemu:
    """Both emulators, which were seen to run; downloaded first (80 MB) if need be.

    Raises PreparationError where there is no Debian to take them from, or where they don't run.
    """
    made = Qemu(kept("qemu", [SUITES, PACKAGES], _unpack))
    # It holds the libraries that the machine lacked when it was made, and the machine may lack more by now.
    try:
        _check(made)
    except PreparationError as error:
        raise PreparationError(f"{error}\nwithout {made.root} it is made anew") from None
    return made


def _unpack(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as apt:
        for package in _download(Path(apt)):
            run(["dpkg-deb", "--extract", str(package), str(folder)])
    made = Qemu(folder)
    for other in made.user.parent.glob("qemu-*"):
        # The package has forty more of them, of 16 MB each.
        if other not in {made.user, made.system, made.disks}:
            other.unlink()
    # What does not run is not kept.
    _check(made)


def _download(folder: Path) -> list[Path]:
    """Has apt download the packages and what they need that isn't installed, into a folder of ours."""
    archive = mirror()
    if archive is None:
        raise PreparationError("this machine has no Debian archive to take QEMU from")
    signed = f"[signed-by={KEYRING}]"
    sources = [f"deb {signed} {archive} {suite} main\n" for suite in SUITES]
    (folder / "sources.list").write_text("".join(sources))
    for needed in ("lists/partial", "archives/partial", "none"):
        (folder / needed).mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": f"{folder}/sources.list",
        "Dir::Etc::SourceParts": f"{folder}/none",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": f"{folder}/none",
        "Dir::State": str(folder),
        "Dir::State::Status": "/var/lib/dpkg/status",
        "Dir::Cache": str(folder),
        "Dir::Log": str(folder),
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
    }
    (folder / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    private = {"APT_CONFIG": f"{folder}/apt.conf"}
    run(["apt-get", "--quiet=2", "update"], environment=private)
    # Of what is installed already nothing would be downloaded otherwise.
    download = ["apt-get", "--quiet=2", "--yes", "--download-only", "--no-install-recommends", "--reinstall"]
    run([*download, f"--target-release={SUITES[-1]}", "install", *PACKAGES], environment=private)
    return sorted((folder / "archives").glob("*.deb"))


def _check(made: Qemu) -> None:
    """Raises PreparationError unless both emulators run, and are new enough."""
    said = {
        made.user: run([str(made.user), "--version"]),
        made.system: run([str(made.system), "--version"], environment=made.system_environment),
        made.disks: run([str(made.disks), "--version"], environment=made.system_environment),
    }
    for emulator, words in said.items():
        version = re.search(r"version (\d+)\.", words)
        if version is None or int(version.group(1)) < OLDEST:
            raise PreparationError(f"{emulator.name} is no QEMU {OLDEST} or later: {words.splitlines()[0]}")
    if not made.firmware.is_file():
        raise PreparationError(f"qemu-efi-aarch64 brought no {made.firmware.name}")
