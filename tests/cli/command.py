"""Runs a command as its user does, in this process, and holds its output to the rules of all commands."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROGRESS = re.compile(r" *[0-9]+\.[0-9] s  \S.*")
"""A line about what is being measured."""


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str
    state: Path
    """Its state directory, which does not exist unless it wrote something."""

    @property
    def complaint(self) -> list[str]:
        """The lines of standard error that are no progress."""
        return [line for line in self.err.splitlines() if not PROGRESS.fullmatch(line)]


Command = Callable[..., Result]


def failed(result: Result, code: int, words: str) -> None:
    """Asserts that a command failed as commands do: one line, perhaps a hint, and nothing written."""
    message, *hints = result.complaint
    assert re.fullmatch(f"graviton-agent: .*(?:{words}).*", message), result.err
    assert len(hints) <= 1
    assert all(hint.startswith("hint: ") for hint in hints), result.err
    assert result.code == code
    assert result.out == ""
    assert "Traceback" not in result.err
    assert not result.state.exists()
