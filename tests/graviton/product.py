"""Brings the agent onto a machine: its arm64 package, as an image's maker installs it."""

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from graviton_agent import __version__
from graviton_packages.build import DIST
from graviton_packages.description import RELEASE
from graviton_packages.target import ARM64
from tests.graviton.kept import PreparationError
from tests.graviton.machine import Machine

BUILT = DIST / f"graviton-agent_{__version__}-{RELEASE}_{ARM64.debian}.deb"
"""What `make packages` builds of this tree."""
DISK = "/dev/vdb"
POLICY = "/usr/sbin/policy-rc.d"
"""By it Debian's packages ask whether they may start a service; 101 is a no [deb-systemd-invoke(1p)]."""


@dataclass(frozen=True)
class Product:
    """The agent's package on a disk of its own, for the machine to take it from."""

    disk: Path
    """An archive in place of a file system."""
    package: str
    """Name of the package in it."""
    is_of_this_tree: bool

    def install(self, machine: Machine) -> None:
        """Installs it from /dev/vdb; it is enabled, and not started. Raises GuestError."""
        machine.write(POLICY, "#!/bin/sh\nexit 101\n", mode=0o755)
        machine.run("tar", "--extract", f"--file={DISK}", "--directory=/root")
        machine.run("dpkg", "--force-unsafe-io", "--install", f"/root/{self.package}")
        machine.run("rm", POLICY)


@contextmanager
def packed(package: Path) -> Iterator[Product]:
    """The agent, ready to be installed; raises PreparationError.

    Args:
        package: an arm64 package of it.
    """
    if not package.is_file():
        raise PreparationError(f"there is no {package}: `make packages` builds it")
    with tempfile.TemporaryDirectory(prefix="graviton-agent-product.") as folder:
        disk = Path(folder) / "product.tar"
        with tarfile.open(disk, "w") as archive:
            archive.add(package, package.name)
        yield Product(disk, package.name, is_of_this_tree=package == BUILT)
