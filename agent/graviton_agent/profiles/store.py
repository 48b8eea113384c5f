"""Where profiles are kept: one file for each unit, /var/lib/graviton-agent/profiles/UNIT.json.

How the daemon and the commands share it:

* Whoever writes a profile or an environment file holds the lock (`locked`, flock(2) on ../lock) meanwhile,
  and reads the profile anew once it has it. It is held for milliseconds: ask systemd first, then lock, read,
  `assess`, write. Files appear in one step, so readers need no lock.
* A command that changes something writes the profile first and then the unit's environment files, by the same
  core as the daemon. Nobody asks the daemon anything: it watches this folder by inotify (moved-to, delete),
  decides anew for the unit that the file is named after, and finds that there is nothing left to write.
* What `revert` was asked for stands beside the profiles (reverts.py), under the same lock.
* A command reads the configuration itself, for it needs no daemon. `enable` and `disable` have systemd
  reload, from which the daemon learns of the change.

The name of a service has no "/" and no character that a path would take for something else, so it is part of
the file's name as it is. A file that can't be read costs its own unit, and no other.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from graviton_agent.errors import BusyError, StateError
from graviton_agent.installed import STATE
from graviton_agent.profiles.profile import LARGEST, Profile, parse_profile
from graviton_agent.regular_file import read_regular
from graviton_agent.root import Root
from graviton_agent.state import private_folder, remove_file, write_private
from graviton_agent.units.names import is_service_name, is_template

FOLDER = "profiles"
LOCK = "lock"
SUFFIX = ".json"
MOST = 10_000
"""Files of the folder that are looked at."""
WAIT_SECONDS = 20.0
"""Longer than files that hang are waited for on a busy host, with the lock held (patience.py)."""
POLL_SECONDS = 0.005


class ProfileStore:
    """The profiles of a host."""

    def __init__(self, state: Path = Path(STATE)) -> None:
        """Takes the state directory."""
        self.state = state
        self.folder = state / FOLDER

    @classmethod
    def below(cls, root: Root) -> "ProfileStore":
        """The store of a machine's tree."""
        return cls(root.path / STATE.lstrip("/"))

    def path(self, unit: str) -> Path:
        """Where a unit's profile is kept."""
        return self.folder / f"{unit}{SUFFIX}"

    def units(self) -> tuple[str, ...]:
        """The units that have a profile, readable or not, in alphabetical order."""
        return tuple(filter(None, map(unit_of, Root(self.state).entries(FOLDER, limit=MOST))))

    def read(self, unit: str) -> Profile | None:
        """A unit's profile; None if it has none. Raises StateError if its file is broken."""
        path = self.path(unit)
        content = read_regular(str(path), LARGEST)
        if content is None:
            if not path.is_symlink() and not path.exists():
                return None
            raise StateError(f"{path} can't be read", hint=f"graviton-agent calibrate {unit} makes another")
        try:
            profile = parse_profile(content)
        except StateError as error:
            hint = f"graviton-agent calibrate {unit} makes another"
            raise StateError(f"{path} is no profile: {error.message}", hint=hint) from None
        if profile.unit != unit:
            raise StateError(f"{path} is the profile of {profile.unit}")
        return profile

    def read_all(self) -> tuple[dict[str, Profile], dict[str, StateError]]:
        """All profiles by unit; and for the units whose file is broken, what is wrong with it."""
        found: dict[str, Profile] = {}
        broken: dict[str, StateError] = {}
        for unit in self.units():
            try:
                profile = self.read(unit)
            except StateError as error:
                broken[unit] = error
            else:
                if profile is not None:
                    found[unit] = profile
        return found, broken

    def write(self, profile: Profile) -> None:
        """Keeps a profile, in place of the unit's former one. Raises StateError."""
        write_private(self.state, f"{FOLDER}/{profile.unit}{SUFFIX}", profile.to_json().encode())

    def remove(self, unit: str) -> bool:
        """Forgets a unit's profile. Returns whether there was one. Raises StateError."""
        return remove_file(self.path(unit))

    @contextlib.contextmanager
    def locked(self, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
        """Holds the lock of who writes profiles and environment files. Raises BusyError, StateError."""
        private_folder(self.state)
        try:
            # Not for writing: a disk that can't be written to any more holds nobody from reading.
            flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.state / LOCK, flags, 0o600)
        except OSError as error:
            raise StateError(f"can't write in {self.state}: {error.strerror}") from error
        try:
            deadline = time.monotonic() + wait_seconds
            while not _taken(descriptor):
                if time.monotonic() >= deadline:
                    raise BusyError(f"another process has held {self.state / LOCK} for {wait_seconds:g} s")
                time.sleep(POLL_SECONDS)
            yield
        finally:
            # Closing frees it.
            os.close(descriptor)


def unit_of(name: str) -> str | None:
    """The unit whose profile a file of the folder is; None for any other file."""
    unit = name.removesuffix(SUFFIX)
    return unit if unit != name and is_service_name(unit) and not is_template(unit) else None


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
