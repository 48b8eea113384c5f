"""The disk of the emulated machines: Debian 12, and a virtual environment for each torch."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.graviton.bytecode import OWN_PYTHON, compile_all
from tests.graviton.checks import say
from tests.graviton.kept import kept, run
from tests.graviton.qemu import Qemu
from tests.graviton.system import system
from tests.graviton.wheels import PYTHON, unpacked, wheels

RELEASES = ("2.9.1", "2.10.0")
"""Of torch."""
DISK_BYTES = 6 << 30
"""Most of it is a hole in the file."""
MACHINE = "emulated"
RECIPE = 1
"""To be raised when this file makes something else of the same parts."""


@dataclass(frozen=True)
class Image:
    """A disk, and what boots it. Nothing may write to them."""

    folder: Path

    @property
    def disk(self) -> Path:
        """A file system without partitions."""
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path:
        """Linux."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """Its initial RAM disk."""
        return self.folder / "initrd.img"


def venv(torch: str) -> str:
    """Where the virtual environment of a torch is on the disk."""
    return f"/opt/torch-{torch}"


def python_of(torch: str) -> str:
    """The interpreter that loads a torch."""
    return f"{venv(torch)}/bin/python"


def image(qemu: Qemu) -> Image:
    """The disk; made first if need be. Raises PreparationError."""
    debian = system(qemu)
    names = [[wheel.name for wheel in wheels(version)] for version in RELEASES]
    recipe = [debian.name, names, DISK_BYTES, OWN_PYTHON, RECIPE]
    return Image(kept("image", recipe, lambda folder: _build(debian, folder)))


def _build(debian: Path, folder: Path) -> None:
    made = Image(folder)
    with tempfile.TemporaryDirectory(prefix="graviton-agent-image.", dir=folder.parent) as temporary:
        root = Path(temporary) / "root"
        say("  copying Debian")
        run(["cp", "--archive", "--reflink=auto", str(debian), str(root)])
        (root / "etc/hostname").write_text(f"{MACHINE}\n")
        (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
        for version in RELEASES:
            say(f"  adding torch {version}")
            _add_venv(root / venv(version).lstrip("/"), unpacked(version))
        shutil.copy(next((root / "boot").glob("vmlinuz-*")), made.kernel)
        shutil.copy(next((root / "boot").glob("initrd.img-*")), made.initrd)
        say("  writing the disk")
        with made.disk.open("wb") as disk:
            os.truncate(disk.fileno(), DISK_BYTES)
        run(["mkfs.ext4", "-q", "-m", "0", "-E", "root_owner=0:0", "-d", str(root), str(made.disk)])


def _add_venv(folder: Path, packages: Path) -> None:
    """What `python3 -m venv --without-pip` and pip would leave there."""
    library = folder / f"lib/python{PYTHON}/site-packages"
    library.parent.mkdir(parents=True)
    run(["cp", "--archive", "--reflink=auto", str(packages), str(library)])
    library.chmod(0o755)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to("/usr/bin/python3")
    (folder / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n"
    )
    compile_all(library)
