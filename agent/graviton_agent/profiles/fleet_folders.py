"""The folders of fleet profiles, searched by what a profile is for.

In the order in which they count: what an operator has put into /etc, what `profile import` has kept, what a
package has brought. A file hides those of the same name in later folders, and one that is empty, or a link
to /dev/null, hides them and says nothing: so a package's profile is taken out of use.

What is believed ends up in the environment of services: a file that another user than root could have written
is refused, and so is everything in such a folder.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from graviton_agent.errors import StateError
from graviton_agent.installed import FOLDER, STATE
from graviton_agent.profiles.fleet_profile import FleetProfile, key_in, parse_fleet_profile
from graviton_agent.profiles.profile import LARGEST
from graviton_agent.root import Root

OPERATORS = f"/etc/{FOLDER}/profiles"
IMPORTED = f"{STATE}/imported"
PACKAGED = f"/usr/lib/{FOLDER}/profiles"
FOLDERS = (OPERATORS, IMPORTED, PACKAGED)
"""Earlier ones count before later ones."""
MOST = 10_000
"""Files of a folder that are looked at."""
MOST_FITTING = 32
"""Files with one key that are read."""
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Found:
    """A fleet profile and its file."""

    path: str
    """As the host sees it, without the root of a tree."""
    fleet: FleetProfile


class FleetFolders:
    """The fleet profiles of a host, as one look at the folders shows them: make another for another look."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._prefix = "" if root.is_this_machine else str(root.path)
        self.broken: dict[str, StateError] = {}
        """What was wrong with files that were read, by path."""

    def fitting(self, key: str) -> tuple[Found, ...]:
        """The profiles with a key; those of earlier folders first, and in each the newest first.

        What can't be read or isn't to be trusted is passed over, and told in `broken`.
        """
        paths = self._by_key.get(key, ())[:MOST_FITTING]
        return self._ordered(filter(None, map(self._read, paths)))

    def all(self) -> tuple[Found, ...]:
        """Every profile, in the same order."""
        return self._ordered(
            found for paths in self._by_key.values() for path in paths if (found := self._read(path))
        )

    @staticmethod
    def _ordered(found: Iterable[Found]) -> tuple[Found, ...]:
        newest = sorted(found, key=lambda one: one.fleet.profile.calibrated, reverse=True)
        return tuple(sorted(newest, key=lambda one: FOLDERS.index(one.path.rpartition("/")[0])))

    @cached_property
    def _by_key(self) -> Mapping[str, list[str]]:
        """The paths of all files that are not hidden, by the keys in their names."""
        names: set[str] = set()
        found: dict[str, list[str]] = {}
        for folder in FOLDERS:
            entries = self._root.entries(folder.lstrip("/"), limit=MOST)
            if entries and (problem := self._untrusted(folder)):
                self.broken[folder] = problem
                continue
            for name in entries:
                key = key_in(name)
                if key is not None and name not in names:
                    names.add(name)
                    found.setdefault(key, []).append(f"{folder}/{name}")
        return found

    def _untrusted(self, path: str) -> StateError | None:
        try:
            return why_untrusted(path, os.stat(self._prefix + path))  # noqa: PTH116 - paths are text here
        except OSError as error:
            return StateError(f"{path} can't be looked at: {error.strerror}")

    def _read(self, path: str) -> Found | None:
        try:
            content = read_trusted(path, self._prefix)
            if not content:
                return None
            fleet = parse_fleet_profile(content)
            if fleet.key != key_in(path.rpartition("/")[2]):
                raise StateError("its name belongs to another profile")  # noqa: TRY301 - as for the others
        except StateError as error:
            self.broken[path] = StateError(f"{path}: {error.message}", hint=error.hint)
            return None
        return Found(path, fleet)


def read_trusted(path: str, prefix: str = "") -> bytes:
    """The whole content of a file that nobody but root, or who runs this, can write; empty for /dev/null.

    Raises StateError for any other, and for one that is too large.
    """
    try:
        descriptor = os.open(prefix + path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"it can't be read: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if stat.S_ISCHR(found.st_mode) and os.path.realpath(prefix + path) == os.devnull:
            return b""
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise StateError(f"it is no file of at most {LARGEST // 1024} KiB")
        if problem := why_untrusted(path, found):
            raise problem
        # Whatever its size was said to be: it may be written meanwhile.
        return os.read(descriptor, LARGEST)
    finally:
        os.close(descriptor)


def why_untrusted(path: str, found: os.stat_result) -> StateError | None:
    """Why a file or folder isn't believed; None if it is."""
    if found.st_uid not in {0, os.geteuid()}:
        return StateError(f"it belongs to user {found.st_uid}", hint=f"chown root: {path}")
    if found.st_mode & _OTHERS_MAY_WRITE:
        return StateError("other users may write to it", hint=f"chmod go-w {path}")
    return None
