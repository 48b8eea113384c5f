"""Where the configuration stands. Standard library alone: the generator imports this.

The main file is the first graviton-agent.toml of the folders; the drop-ins are conf.d/*.toml of all of them,
in the order of their names, of which an earlier folder's hides a later folder's. A link to /dev/null hides a
file and puts nothing in its place [systemd man/standard-conf.xml].
"""

from __future__ import annotations

import os
from itertools import islice

from graviton_agent.installed import CONFIGURATION_BASES, FOLDER
from graviton_agent.regular_file import read_regular

MAIN = "graviton-agent.toml"
DROP_INS = "conf.d"
SUFFIX = ".toml"

LARGEST = 1024 * 1024
"""Bytes of one file; larger ones are not read."""
MOST_FILES = 1000
"""Drop-ins that are looked at in one folder."""


def find(root: str = "", proposed: str | None = None) -> list[str]:
    """The paths of the files that count, in the order in which they apply; masks are among them.

    A drop-in that is proposed counts as if it were there.
    """
    folders = [f"{root}{base}/{FOLDER}" for base in CONFIGURATION_BASES]
    main = [path for folder in folders if os.path.lexists(path := f"{folder}/{MAIN}")]
    found: dict[str, str] = {}
    for folder in folders:
        drop_ins = f"{folder}/{DROP_INS}"
        for name in _names(drop_ins):
            found.setdefault(name, f"{drop_ins}/{name}")
        above, _, name = (proposed or "").rpartition("/")
        if above == drop_ins:
            found.setdefault(name, f"{drop_ins}/{name}")
    return main[:1] + [found[name] for name in sorted(found)]


def is_mask(path: str) -> bool:
    """Whether the file is a link to /dev/null, which is how files of the same name elsewhere are hidden."""
    return os.path.realpath(path) == os.devnull


def read(path: str) -> bytes | None:
    """The content; None for what is a mask, no regular file, too large or unreadable."""
    return read_regular(path, LARGEST)


def _names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MOST_FILES)]
    except OSError:
        return []
    return [name for name in names if name.endswith(SUFFIX) and not name.startswith(".")]
