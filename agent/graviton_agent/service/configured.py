"""The checked configuration, made anew by a short process whenever what it is made from has changed.

What checks it would double the daemon's memory. The record outlasts a boot, so that the next start reads it
at once.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from graviton_agent.configuration.compiled import Configuration, digest_of, read_compiled
from graviton_agent.errors import StateError
from graviton_agent.units.unit_files import UnitFiles

RECORD = "configuration.json"
COMPILE_SECONDS = 20.0
LARGEST_REASON = 300
HINT = "see: graviton-agent config check"

Run = Callable[[Sequence[str]], str | None]
"""Runs a command and returns what went wrong, a clause; None if nothing did."""


class Configured:
    """The configuration of this host."""

    def __init__(self, record: Path, *, root: str = "", run: Run | None = None) -> None:
        """Takes where the record is kept, what stands before files' paths, and what runs the process."""
        self._record, self._root = record, root
        self._run = run or _run
        self._current: Configuration | None = None

    def read(self, files: UnitFiles) -> Configuration:
        """The configuration as it stands now. Raises StateError where it can't be compiled.

        Nothing is managed then: what has changed may have been meant to hold the agent back.
        """
        digest = digest_of(files, self._root)
        if self._current is None:
            self._current = self._read_record()
        if self._current is None or self._current.digest != digest:
            failure = self._run([*own_command(), "config", "compile", "--output", str(self._record)])
            # What has changed meanwhile is noticed the next time.
            self._current = None if failure else self._read_record()
            if self._current is None:
                raise StateError(f"the configuration can't be compiled: {failure or 'no record'}", hint=HINT)
        return self._current

    def _read_record(self) -> Configuration | None:
        try:
            return read_compiled(self._record)
        except StateError:
            return None


def own_command() -> list[str]:
    """How this program was started, without its arguments."""
    arguments = len(sys.argv) - 1
    return sys.orig_argv[:-arguments] if arguments else list(sys.orig_argv)


def _run(command: Sequence[str]) -> str | None:
    import subprocess  # most starts can do without  # noqa: PLC0415

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it took longer than {COMPILE_SECONDS:g} s"
    except OSError as error:
        return error.strerror
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[0][:LARGEST_REASON] if lines else f"exit status {done.returncode}"
