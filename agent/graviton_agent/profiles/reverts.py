"""Which units the operator has taken back to default values, until it is taken back in turn.

What holds for a unit changes with kernels, torch and instance types; that the operator wants none of it does
not. So this stands beside the profiles and not in them: a file for each unit or template that somebody has
named, /var/lib/graviton-agent/reverted/UNIT, of one line. A unit's own word counts before its template's.

Who writes holds the store's lock (store.py). The daemon watches the folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from graviton_agent.regular_file import read_regular
from graviton_agent.root import Root
from graviton_agent.state import remove_file, write_private
from graviton_agent.units.names import is_service_name, is_template, template_of

FOLDER = "reverted"
SUFFIX = ".service"
MOST = 10_000
"""Files of the folder that are looked at."""
_LARGEST = 200


class Word(StrEnum):
    """What the operator has said last of a unit or a template."""

    REVERTED = "reverted"
    APPLIED = "applied"
    """Of an instance whose template is reverted: this one is taken up all the same."""


@dataclass(frozen=True)
class Said:
    """What was said, and when."""

    word: Word
    when: datetime


@dataclass(frozen=True)
class Reverts:
    """All that was said."""

    said: Mapping[str, Said] = field(default_factory=dict)
    """By unit or template."""

    def of(self, unit: str) -> datetime | None:
        """Since when a unit, or a template for those to come, is reverted; None if it isn't."""
        found = self.said.get(unit) or self.said.get(template_of(unit) or "")
        return found.when if found is not None and found.word is Word.REVERTED else None

    def is_exception(self, unit: str) -> bool:
        """Whether it is taken up although its template is reverted."""
        return self.of(unit) is None and self.of(template_of(unit) or "") is not None


class RevertStore:
    """The folder of what was said."""

    def __init__(self, state: Path) -> None:
        """Takes the state directory."""
        self._state = state

    def read(self) -> Reverts:
        """All that stands there. What can't be read counts as reverted: somebody had something in mind."""
        names = filter(is_service_name, Root(self._state).entries(FOLDER, limit=MOST))
        return Reverts({name: self._read(name) for name in names})

    def revert(self, name: str, now: datetime) -> None:
        """Takes a unit back, or a template with all its instances. Raises StateError."""
        self._forget_instances(name)
        self._write(name, Said(Word.REVERTED, now))

    def take_up(self, name: str) -> None:
        """Ends that, for a unit or for a template with all its instances. Raises StateError."""
        reverts = self.read()
        self._forget_instances(name)
        if reverts.of(template_of(name) or "") is not None:
            self._write(name, Said(Word.APPLIED, datetime.now(UTC)))
        else:
            remove_file(self._path(name))

    def _forget_instances(self, template: str) -> None:
        if is_template(template):
            for name in self.read().said:
                if template_of(name) == template:
                    remove_file(self._path(name))

    def _path(self, name: str) -> Path:
        return self._state / FOLDER / name

    def _write(self, name: str, said: Said) -> None:
        write_private(self._state, f"{FOLDER}/{name}", f"{said.word} {said.when.isoformat()}\n".encode())

    def _read(self, name: str) -> Said:
        content = read_regular(str(self._path(name)), _LARGEST) or b""
        word, _, when = content.decode("ascii", "replace").strip().partition(" ")
        try:
            said = Said(Word(word), datetime.fromisoformat(when))
        except ValueError:
            return Said(Word.REVERTED, self._written(name))
        return said if said.when.tzinfo else Said(said.word, self._written(name))

    def _written(self, name: str) -> datetime:
        """When the file was written; now if it can't be told."""
        try:
            return datetime.fromtimestamp(os.lstat(self._path(name)).st_mtime, UTC)
        except OSError:
            return datetime.now(UTC)
