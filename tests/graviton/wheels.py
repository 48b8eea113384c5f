"""torch for aarch64 from PyPI, with what it needs: as wheels, and unpacked."""

import email
import re
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from tests.graviton.kept import PreparationError, kept, run

PYTHON = "3.11"
"""Minor version of Debian 12's Python, which all the emulated file systems have."""
TORCH = ("2.6.0", "2.9.1", "2.10.0")
"""Releases that differ in what is alive. 2.10.0 is the last whose wheel needs no CUDA."""
FOR_AARCH64 = (
    "--only-binary=:all:",
    "--implementation=cp",
    f"--python-version={PYTHON}",
    "--platform=manylinux_2_28_aarch64",
    "--platform=manylinux_2_17_aarch64",
    "--platform=manylinux2014_aarch64",
)
MARKERS = {"platform_machine": "aarch64", "platform_system": "Linux", "sys_platform": "linux"}
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def wheels(torch: str) -> tuple[Path, ...]:
    """The wheels of one release of torch and of all that it needs, which `pip install --no-index` takes.

    Downloaded first (100 to 150 MB) if need be. Raises PreparationError.
    """
    folder = kept(f"wheels-{torch}", [torch, FOR_AARCH64], lambda folder: _download(torch, folder))
    return tuple(sorted(folder.glob("*.whl")))


def unpacked(torch: str) -> Path:
    """A folder for PYTHONPATH with one release of torch in it. Raises PreparationError."""
    files = wheels(torch)
    recipe = [[file.name for file in files], FOR_AARCH64, sys.implementation.cache_tag]
    return kept(f"torch-{torch}", recipe, lambda folder: _install(files, folder))


def _download(torch: str, folder: Path) -> None:
    download = [*PIP, "download", *FOR_AARCH64, f"--dest={folder}"]
    # pip asks the markers of requirements about the Python that it runs in: on x86-64 it would take CUDA.
    run([*download, "--no-deps", f"torch=={torch}"])
    run([*download, *_requirements(folder)])


def _requirements(folder: Path) -> list[str]:
    """What the wheel in a folder needs on aarch64."""
    (wheel,) = folder.glob("torch-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        stated = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []
    target = {**MARKERS, "python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "extra": ""}
    needed = []
    for line in stated:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(target):
            needed.append(f"{requirement.name}{requirement.specifier}")
    if any(re.match("nvidia|cuda|triton", one) for one in needed):
        raise PreparationError(f"{wheel.name} needs CUDA")
    return needed


def _install(files: tuple[Path, ...], folder: Path) -> None:
    # pip compiles for the Python that it runs in. If that is the emulated one's version too, importing torch
    # under emulation takes a third less.
    install = [*PIP, "install", *FOR_AARCH64, "--no-index", "--no-deps", f"--target={folder}"]
    run([*install, *map(str, files)])
