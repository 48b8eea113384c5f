"""The one door to /proc and /sys, which tests and `--root` can move to another machine's tree."""

import os
import re
from itertools import islice
from pathlib import Path

from graviton_agent.regular_file import read_beginning

KIB = 1024
MIB = 1024 * KIB

_NUMBER = re.compile(r"[0-9]{1,20}")


class Root:
    """A file system tree that stands for a machine.

    Reads never raise for what a machine may lack or what firmware may get wrong: a file that is absent,
    unreadable, not a regular file, or outside the tree (a link that points away from it) reads as None.
    """

    def __init__(self, path: str | Path = "/") -> None:
        self.path = Path(path)

    @property
    def is_this_machine(self) -> bool:
        """Whether the tree is the running system's own, so that uname and sysconf describe it."""
        return self.path == Path("/")

    def read_bytes(self, name: str, *, limit: int = 64 * KIB) -> bytes | None:
        """Reads at most `limit` bytes of the regular file at `name`, a path relative to the root."""
        try:
            target = self._inside(name)
        except (OSError, ValueError):
            return None
        return read_beginning(target, limit)

    def read_text(self, name: str, *, limit: int = 64 * KIB) -> str | None:
        """Reads as text; bytes that are not UTF-8 become U+FFFD, for firmware strings are hostile."""
        raw = self.read_bytes(name, limit=limit)
        return None if raw is None else raw.decode("utf-8", errors="replace")

    def read_line(self, name: str) -> str | None:
        """Reads a one-value file such as those of sysfs, without blanks at its ends; None if it is empty."""
        text = self.read_text(name, limit=4 * KIB)
        return (text.strip(" \t\r\n\x00") or None) if text is not None else None

    def read_int(self, name: str) -> int | None:
        """Reads a one-value file as a decimal number of at most 64 bits; None if it is anything else."""
        line = self.read_line(name)
        # int() admits signs, underscores and other scripts' digits, and more digits than a float can hold.
        return int(line) if line is not None and _NUMBER.fullmatch(line) else None

    def entries(self, name: str, *, limit: int = 65536) -> tuple[str, ...]:
        """The sorted names in the folder at `name`, at most `limit` of them; empty if there is none."""
        try:
            with os.scandir(self._inside(name)) as found:
                names = [entry.name for entry, _ in zip(found, range(limit), strict=False)]
        except (OSError, ValueError):
            return ()
        return tuple(sorted(names))

    def folders(self, name: str, *, limit: int) -> tuple[str, ...]:
        """The sorted names of folders in the folder at `name`, at most `limit` of them, links apart."""
        try:
            with os.scandir(self._inside(name)) as found:
                folders = (entry.name for entry in found if entry.is_dir(follow_symlinks=False))
                return tuple(sorted(islice(folders, limit)))
        except (OSError, ValueError):
            return ()

    def _inside(self, name: str) -> str:
        """The real path of `name`, or ValueError where a link leads out of the tree."""
        if self.is_this_machine:
            # Nothing is outside, and following every link by hand would take most of the time of a read.
            return f"/{name}"
        root = os.path.realpath(self.path)
        target = os.path.realpath(os.path.join(root, name))  # noqa: PTH118 - pathlib has no realpath of strings
        if target == root or target.startswith(root + os.sep):
            return target
        raise ValueError(name)
