"""Lays out a package's files as they will lie on a host, below a folder that stands for "/"."""

import gzip
import shutil
from pathlib import Path
from typing import NamedTuple

from graviton_packages import completions
from graviton_packages.documents import bill_of_materials, copyright_file, licence_of_all
from graviton_packages.layout import (
    BASH_COMPLETION,
    CONFIGURATION,
    DOCUMENTS,
    FISH_COMPLETION,
    LIBRARIES,
    LICENCES,
    LINKS,
    TREE,
    ZSH_COMPLETION,
    pieces,
)
from graviton_packages.libraries import vendor
from graviton_packages.manuals import write_manuals
from graviton_packages.target import Architecture


class Laid(NamedTuple):
    """A tree that has been laid out."""

    root: Path
    """The folder that stands for "/"."""
    licence: str
    """Of all that is in it, as an SPDX expression."""


UNSHIPPED = shutil.ignore_patterns("__pycache__", "py.typed")


def lay_out(architecture: Architecture, version: str, moment: int, work: Path) -> Laid:
    """Makes the tree anew, without byte code.

    Args:
        architecture: for which machines.
        version: of the package.
        moment: the date on what bears one, in seconds since 1970.
        work: a folder for this architecture.
    """
    stage = work / "root"
    shutil.rmtree(stage, ignore_errors=True)
    for piece in pieces():
        _put(piece.source, stage / piece.target.lstrip("/"), piece.mode)
    (stage / CONFIGURATION.lstrip("/") / "conf.d").mkdir()
    for path, destination in LINKS.items():
        link = stage / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(destination)
    libraries = vendor(architecture, work / "wheels", stage / LIBRARIES.lstrip("/"))
    write_manuals(stage, moment)
    texts = {
        BASH_COMPLETION: completions.bash(),
        FISH_COMPLETION: completions.fish(),
        **dict.fromkeys(ZSH_COMPLETION.values(), completions.zsh()),
        **dict.fromkeys(LICENCES.values(), copyright_file(libraries)),
        f"{DOCUMENTS}/sbom.cdx.json": bill_of_materials(version, moment, architecture, libraries),
    }
    for path, text in texts.items():
        target = stage / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    readme = stage / f"{DOCUMENTS}/README.md.gz".lstrip("/")
    readme.write_bytes(gzip.compress((TREE / "README.md").read_bytes(), mtime=0))
    return Laid(stage, licence_of_all(libraries))


def _put(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=UNSHIPPED)
    else:
        shutil.copyfile(source, target)
        target.chmod(mode)
