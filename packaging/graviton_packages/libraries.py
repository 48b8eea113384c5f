"""The libraries that the agent needs, in one folder that serves every Python.

What is written in Python is the same for all of them, and is there once. An extension carries the Python and
the architecture in its name [PEP 3149], so that the extensions of all stand side by side.
"""

import filecmp
import hashlib
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

from graviton_packages.layout import TREE
from graviton_packages.programs import BuildError, run
from graviton_packages.target import MINORS, Architecture

LOCK = TREE / "locks" / "libraries.txt"
"""Versions, and the hash of each file that may be taken."""
WITHOUT_WHEEL = "sdnotify"

LEFT_OUT = ("pygments", "markdown_it", "mdurl", "pydantic/v1", "bin")
"""What nothing in the agent leads to: rich and typer colour source code and Markdown with the first three,
and pydantic keeps its former self in the fourth. They would be half of all that is in Python."""
NOT_NEEDED = ("*.pyi", "py.typed", "*.dist-info", ".*")
"""Types, what an installer keeps of them, and hidden files: uv's lock, and advice for authors."""


SPDX = {"ISC License": "ISC", "MIT License": "MIT", "ISC License (ISCL)": "ISC"}
"""What libraries without an SPDX expression call their licences."""


@dataclass(frozen=True)
class Library:
    """What the package's documents say of a library."""

    name: str
    version: str
    licence: str
    """Its SPDX expression, or the words of its author."""
    licence_texts: tuple[str, ...]
    homepage: str
    parts: Path | None
    """A CycloneDX file of what is compiled into it, if the library brings one."""


def vendor(architecture: Architecture, work: Path, target: Path) -> list[Library]:
    """Fills the folder `target` for an architecture.

    Raises BuildError, also if a file differs between two versions of Python.

    Args:
        architecture: for which machines.
        work: a folder for the libraries of each Python by itself; what is there already isn't fetched again.
        target: where they go together.
    """
    # What was fetched by another lock stays apart, and so does what an interrupted build has left.
    fetched = work / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    for minor in MINORS:
        folder = fetched / minor
        if not folder.is_dir():
            unfinished = fetched / f"{minor}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            _install(minor, architecture, unfinished)
            unfinished.rename(folder)
        _merge(folder, target)
    return list(_describe(fetched / MINORS[0]))


def _install(minor: str, architecture: Architecture, folder: Path) -> None:
    command = (
        str(Path(sysconfig.get_path("scripts")) / "uv"), "pip", "install",
        "--quiet", "--system-certs", "--no-config",
        "--python", sys.executable,
        "--python-version", minor, "--python-platform", architecture.wheels,
        "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-binary", WITHOUT_WHEEL,
        "--link-mode", "copy", "--target", str(folder), "--requirements", str(LOCK),
    )  # fmt: skip
    run(*command)


def _merge(folder: Path, target: Path) -> None:
    for source in sorted(folder.rglob("*")):
        name = source.relative_to(folder)
        if source.is_dir() or _is_left_out(name):
            continue
        there = target / name
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, there)
        elif not filecmp.cmp(source, there, shallow=False):
            raise BuildError(f"{name} is not the same for {folder.name} as for another Python")


def _is_left_out(name: Path) -> bool:
    prefixes = (f"{prefix}/" for prefix in LEFT_OUT)
    return name.as_posix().startswith(tuple(prefixes)) or any(
        part.match(pattern) for part in (name, *name.parents) for pattern in NOT_NEEDED
    )


def _describe(folder: Path) -> Iterator[Library]:
    for described in sorted(folder.glob("*.dist-info")):
        metadata = Parser().parsestr((described / "METADATA").read_text(), headersonly=True)
        if metadata["Name"].replace("-py", "").replace("-", "_").lower() in LEFT_OUT:
            continue
        yield Library(
            name=metadata["Name"],
            version=metadata["Version"],
            licence=_licence(metadata),
            licence_texts=tuple(file.read_text() for file in _licence_files(described)),
            homepage=_homepage(metadata),
            parts=next(iter(sorted(described.glob("sboms/*.json"))), None),
        )


def _licence_files(described: Path) -> list[Path]:
    return sorted(
        file
        for file in described.rglob("*")
        if file.is_file() and re.match(r"(?i)licen[cs]e|copying|notice", file.name)
    )


def _licence(metadata: Message) -> str:
    names = [value.rpartition("::")[2].strip() for value in metadata.get_all("Classifier", [])]
    licences = [name for name in names if "License" in name]
    words: str = metadata["License-Expression"] or metadata["License"] or next(iter(licences))
    return SPDX.get(words, words)


def _homepage(metadata: Message) -> str:
    urls = dict(value.split(", ", 1) for value in metadata.get_all("Project-URL", []))
    named = {name.lower(): url for name, url in urls.items()}
    keys = ("homepage", "repository", "source", "source code")
    return metadata["Home-page"] or next((named[key] for key in keys if key in named), "")
