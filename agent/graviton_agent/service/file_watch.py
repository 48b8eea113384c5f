"""Who is to hear of which files, and who has."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from graviton_agent.patience import Patience
from graviton_agent.service.inotify import FORGOTTEN, OVERFLOW, Inotify
from graviton_agent.service.ways import Step


class Armed(NamedTuple):
    """What has come of watching."""

    changed: frozenset[str]
    """Who listens to other inodes than before. What happened to these earlier, nobody has heard."""
    refused: OSError | None
    """The first error: a host has only so many watches, and some files can't be looked at."""


class FileWatch:
    """Watches files for somebody: a unit, or the configuration as a whole."""

    def __init__(self, inotify: Inotify, patience: Patience | None = None) -> None:
        """Takes the kernel's queue, and what waits for files that may not answer."""
        self._inotify = inotify
        self._patience = patience or Patience()
        self._listeners: dict[int, list[tuple[str, str]]] = {}
        """By the number of the watch: who listens, and to entries of which ending."""
        self._everybody: set[str] = set()
        self._heard_by: dict[str, frozenset[tuple[int, str]]] = {}
        """The watches of each listener, as `_listeners` has them."""

    @property
    def descriptor(self) -> int:
        """Readable when something has happened."""
        return self._inotify.descriptor

    def arm(self, wanted: Mapping[str, Callable[[], Iterable[Step]]]) -> Armed:
        """Watches exactly this from now on, given by who wants to hear of it what finds the way there.

        Whose files don't answer hears nothing.
        """
        ways = {who: list(steps) for who, steps in self._patience.each(wanted).items()}
        masks: dict[str, int] = {}
        for step in (step for steps in ways.values() for step in steps):
            masks[step.path] = masks.get(step.path, 0) | step.mask
        before, self._listeners, self._everybody = self._listeners, {}, set(wanted)
        tasks = {who: partial(self._watch, steps, masks) for who, steps in ways.items()}
        error, heard_by = None, {}
        for who, (numbers, refused) in self._patience.each(tasks).items():
            error = error or refused
            heard_by[who] = frozenset(
                (numbers[step.path], step.ending) for step in ways[who] if step.path in numbers
            )
            for number, ending in heard_by[who]:
                self._listeners.setdefault(number, []).append((who, ending))
        for number in before.keys() - self._listeners.keys():
            self._inotify.forget(number)
        changed = frozenset(who for who, heard in heard_by.items() if heard != self._heard_by.get(who))
        self._heard_by = heard_by
        return Armed(changed, error)

    def _watch(
        self, steps: Iterable[Step], masks: Mapping[str, int]
    ) -> tuple[dict[str, int], OSError | None]:
        """Watches for one listener, with the masks of all: the numbers by path, and the first error."""
        numbers: dict[str, int] = {}
        error = None
        for path in dict.fromkeys(step.path for step in steps):
            try:
                numbers[path] = self._inotify.watch(path, masks[path])
            except OSError as refused:
                error = error or refused
        return numbers, error

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
