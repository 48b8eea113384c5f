"""Who is to hear of which files, and who has."""

import contextlib
from collections.abc import Iterable, Mapping

from graviton_agent.service.inotify import FORGOTTEN, OVERFLOW, Inotify
from graviton_agent.service.ways import Step


class FileWatch:
    """Watches files for somebody: a unit, or the configuration as a whole."""

    def __init__(self, inotify: Inotify) -> None:
        self._inotify = inotify
        self._listeners: dict[int, list[tuple[str, str]]] = {}
        """By the number of the watch: who listens, and to entries of which ending."""
        self._everybody: set[str] = set()

    @property
    def descriptor(self) -> int:
        """Readable when something has happened."""
        return self._inotify.descriptor

    def arm(self, wanted: Mapping[str, Iterable[Step]]) -> OSError | None:
        """Watches exactly this from now on, by who wants to hear of it.

        Returns the first error: a host has only so many watches, and some files can't be looked at.
        """
        steps = [(who, step) for who, its_steps in wanted.items() for step in its_steps]
        masks: dict[str, int] = {}
        for _, step in steps:
            masks[step.path] = masks.get(step.path, 0) | step.mask
        before, self._listeners, self._everybody = self._listeners, {}, set(wanted)
        error = None
        numbers: dict[str, int] = {}
        for path, mask in masks.items():
            try:
                numbers[path] = self._inotify.watch(path, mask)
            except OSError as refused:
                error = error or refused
        for who, step in steps:
            if step.path in numbers:
                self._listeners.setdefault(numbers[step.path], []).append((who, step.ending))
        for number in before.keys() - self._listeners.keys():
            self._inotify.forget(number)
        return error

    def heard(self) -> set[str]:
        """Who has something new to look at since the last call."""
        found: set[str] = set()
        for event in self._inotify.read():
            if event.mask & OVERFLOW:
                return set(self._everybody)
            if event.mask & FORGOTTEN:
                continue
            listeners = self._listeners.get(event.watch)
            if listeners is None:
                # Of a watch that is just being set up: whose it is, isn't known yet.
                return set(self._everybody)
            found.update(who for who, ending in listeners if _concerns(event.name, ending))
        return found

    def close(self) -> None:
        """Ends all watches."""
        with contextlib.suppress(OSError):
            self._inotify.close()


def _concerns(name: str, ending: str) -> bool:
    """Whether an event about an entry of this name, or about the watched file itself, is asked for."""
    return not name or (ending != "" and name.endswith(ending))
