"""What is wrong with the configuration, where, and what was probably meant."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """What it concerns can't be managed."""
    WARNING = "warning"
    """It has less effect than one may think."""


@dataclass(frozen=True)
class Origin:
    """Where something was written."""

    path: str
    line: int | None
    """Counted from 1; None if it concerns the whole file."""

    def __str__(self) -> str:
        return self.path if self.line is None else f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    severity: Severity
    origin: Origin
    key: str
    """The option or the section, as it is written; empty for the whole file."""
    what: str
    """What is wrong, a clause without a full stop."""
    meant: str | None = None
    """What was meant, or what to write instead, a clause."""

    def __str__(self) -> str:
        where = f"{self.origin}: {self.severity}: " + (f"{self.key}: " if self.key else "")
        return where + self.what + (f"; {self.meant}" if self.meant else "")


def unit_meant(wrong: str, right: Iterable[str]) -> str | None:
    """The question which of these services was meant; their common ending makes none of them alike."""
    suffix = ".service"
    stems = {name.removesuffix(suffix): name for name in right}
    near = difflib.get_close_matches(wrong.removesuffix(suffix), stems, n=1, cutoff=0.6)
    return f"did you mean {stems[near[0]]}?" if near else None


def did_you_mean(wrong: str, right: Iterable[str]) -> str | None:
    """The question which of the right words was meant; None if none is near."""
    by_form = {word.casefold(): word for word in right}
    near = difflib.get_close_matches(wrong.casefold(), by_form, n=1, cutoff=0.6)
    return f"did you mean {by_form[near[0]]}?" if near else None
