"""Brings the agent onto a machine: its source tree as a package would install it, or a package."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from graviton_agent.installed import SERVICE
from tests.graviton.bytecode import compile_all
from tests.graviton.machine import Machine
from tests.graviton.packages import agent_packages

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = "usr/lib/graviton-agent"
PACKAGES = f"{LIBRARY}/packages"
GENERATORS = "usr/lib/systemd/system-generators"
DISK = "/dev/vdb"
LAUNCHER = f"""#!/usr/bin/python3 -ISB
import sys
sys.path[:0] = ["/{LIBRARY}/agent", "/{PACKAGES}"]
from graviton_agent.cli.entry import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Product:
    """The agent on a disk of its own, for the machine to take it from."""

    disk: Path
    """An archive in place of a file system."""
    package: str | None
    """Name of the package in it; None: it holds the source tree."""

    def install(self, machine: Machine) -> None:
        """Installs it from /dev/vdb; it is enabled, and not started. Raises GuestError."""
        if self.package is None:
            machine.run("tar", "--extract", f"--file={DISK}", "--directory=/", "--no-overwrite-dir")
        else:
            machine.run("tar", "--extract", f"--file={DISK}", "--directory=/root")
            machine.run("dpkg", "--force-unsafe-io", "--install", f"/root/{self.package}")
        machine.systemctl("daemon-reload")
        machine.systemctl("enable", SERVICE)


@contextmanager
def packed(package: Path | None) -> Iterator[Product]:
    """The agent, ready to be installed; raises PreparationError.

    Args:
        package: an arm64 package of it; None takes the source tree as it is now.
    """
    with tempfile.TemporaryDirectory(prefix="graviton-agent-product.") as folder:
        disk = Path(folder) / "product.tar"
        with tarfile.open(disk, "w") as archive:
            if package is not None:
                archive.add(package, package.name, filter=_as_roots)
            else:
                tree = Path(folder) / "tree"
                _lay_out(tree)
                archive.add(tree, ".", filter=_as_roots)
        yield Product(disk, None if package is None else package.name)


def _lay_out(tree: Path) -> None:
    """Puts everything where a package would put it."""
    library = tree / LIBRARY
    units = tree / "usr/lib/systemd/system"
    for folder in (library, units, tree / GENERATORS, tree / "usr/bin", tree / "etc/graviton-agent"):
        folder.mkdir(parents=True)
    for name in ("agent", "systemd"):
        # The tree's own byte code is for whoever works in it.
        own = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(REPOSITORY / name, library / name, ignore=own)
    compile_all(library / "agent")
    shutil.copytree(agent_packages(), tree / PACKAGES)
    shutil.copy(REPOSITORY / "etc/graviton-agent.toml", tree / "etc/graviton-agent")
    for unit in (REPOSITORY / "systemd").glob("*.service"):
        shutil.copy(unit, units)
    (tree / GENERATORS / "graviton-agent-generator").symlink_to(
        f"/{LIBRARY}/systemd/graviton-agent-generator"
    )
    launcher = tree / "usr/bin/graviton-agent"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)


def _as_roots(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
