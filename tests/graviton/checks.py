"""What a run claims, what it saw, and whether that agrees."""

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Check:
    """One claim. It holds unless its block raises."""

    claim: str
    seen: str = ""
    """In a few words, with figures; for a reader who wasn't there."""
    problem: str | None = None
    """Why it doesn't hold."""

    def saw(self, words: object) -> None:
        """Says what was seen, before anything is claimed of it."""
        self.seen = str(words)


@dataclass
class Checks:
    """The claims of one scenario, in order."""

    scenario: str
    done: list[Check] = field(default_factory=list)

    @contextmanager
    def check(self, claim: str) -> Iterator[Check]:
        """A claim, whose block looks and asserts. What fails is told and kept, and the scenario goes on."""
        check = Check(claim)
        began = time.monotonic()
        say(f"  {claim} ...")
        try:
            yield check
        except Exception as error:  # noqa: BLE001 - one claim that fails must not hide the others
            check.problem = _in_words(error)
        self.done.append(check)
        said = "ok" if check.problem is None else f"FAILED: {check.problem}"
        say(f"    {said} ({time.monotonic() - began:.0f} s){f'; saw {check.seen}' if check.seen else ''}")

    @property
    def passed(self) -> int:
        """How many claims held."""
        return sum(check.problem is None for check in self.done)

    @property
    def failed(self) -> int:
        """How many did not."""
        return len(self.done) - self.passed


def say(words: str) -> None:
    """Tells whoever waits."""
    print(words, file=sys.stderr, flush=True)


@contextmanager
def step(words: str) -> Iterator[None]:
    """Tells whoever waits what is being done, and how long it took."""
    began = time.monotonic()
    say(f"  {words} ...")
    yield
    say(f"    done ({time.monotonic() - began:.0f} s)")


def _in_words(error: Exception) -> str:
    """An assertion by its line, anything else by its own words."""
    if isinstance(error, AssertionError) and not str(error):
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"not so: {frame.line}"
    return f"{type(error).__name__}: {error}"
