"""What must be watched to hear of every change of the file that a path leads to.

Folders have other files too, which change all the time. So not their entries are watched but each inode on
the way, for being moved, replaced or deleted: `pip install --upgrade`, a venv that is swapped by its name,
and a link that is set to another release are all heard, and nothing else is. Only where something is missing,
its folder is watched until it comes.
"""

import os
import stat
from collections import deque
from typing import NamedTuple

from graviton_agent.service.inotify import (
    ATTRIBUTES,
    CREATED,
    ENTRIES,
    MOVED_TO,
    SELF_DELETED,
    SELF_MOVED,
    WRITTEN,
)

GONE = SELF_DELETED | SELF_MOVED
REPLACED = GONE | ATTRIBUTES
"""A file that processes have open loses its name without being deleted."""
MOST_LINKS = 40
"""As many as the kernel follows [path_resolution(7)]."""


class Step(NamedTuple):
    """One inode that is watched."""

    path: str
    mask: int
    ending: str = ""
    """How the names of entries end that matter, if any do; what concerns the inode itself always does."""


def way_to_file(path: str) -> list[Step]:
    """The inodes on an absolute path, the file included, links and what they lead to."""
    steps: list[Step] = []
    here, links = "", 0
    names = deque(path.split("/"))
    while names:
        name = names.popleft()
        if name in {"", "."}:
            continue
        if name == "..":
            here = here.rpartition("/")[0]
            continue
        there = f"{here}/{name}"
        try:
            mode = os.lstat(there).st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(there)  # noqa: PTH115 - it is taken apart as a string
                links += 1
                if links > MOST_LINKS:
                    break
                steps.append(Step(there, REPLACED))
                here = "" if target.startswith("/") else here
                names.extendleft(reversed(target.split("/")))
                continue
        except OSError:
            steps.append(Step(here or "/", CREATED | MOVED_TO, name))
            break
        is_folder = stat.S_ISDIR(mode)
        steps.append(Step(there, GONE if is_folder else REPLACED | WRITTEN))
        here = there
    return steps


def way_to_folder(path: str, ending: str) -> list[Step]:
    """The same for a folder and for those of its files whose names end so."""
    steps = way_to_file(path)
    if steps and steps[-1].mask == GONE:
        steps.append(Step(steps[-1].path, ENTRIES, ending))
    return steps
