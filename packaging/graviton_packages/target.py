"""For what the packages are built: architectures by all their names, and versions of Python."""

from dataclasses import dataclass

MINORS = ("3.11", "3.12", "3.13", "3.14")
"""Versions of Python that one package serves; the launcher names the same ones."""
OLDER_MINORS = ("3.9", "3.10")
"""What /usr/bin/python3 may be besides, under which systemd runs the generator and the check: that of Amazon
Linux 2023 and RHEL 9, and that of Ubuntu 22.04."""


@dataclass(frozen=True)
class Architecture:
    """A kind of machine."""

    machine: str
    """As the kernel and rpm call it."""
    debian: str
    """As Debian does, and nfpm too."""

    @property
    def wheels(self) -> str:
        """What uv calls those of its wheels that run on every distribution from glibc 2.17 on."""
        return f"{self.machine}-manylinux2014"


AMD64 = Architecture("x86_64", "amd64")
ARM64 = Architecture("aarch64", "arm64")
ARCHITECTURES = (AMD64, ARM64)
