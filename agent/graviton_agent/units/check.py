"""Withdraws a unit's environment files just before its start if they were made for something else.

Between an upgrade of torch and the next restart nobody may have told the daemon, which watches but can be
slow, stopped or gone. This runs as root in the unit's drop-in, so it trusts nothing that root didn't write:
of the unit's files it takes no more than stat(2), and it removes nothing but in the agent's own folder.
"""

import os
import select
import stat
import sys

from graviton_agent.installed import ENVIRONMENT
from graviton_agent.units.dropin import ALONE
from graviton_agent.units.identity import Observer, differences, parse_head
from graviton_agent.units.names import environment_file_name, is_service_name, template_of

LONGEST_SECONDS = 0.8
LARGEST_FILE = 64 * 1024
LARGEST_ANSWER = 4096
FITS = "="
"""What an answer begins with; what has changed follows."""


def main(arguments: list[str]) -> None:
    """Takes the unit's name, behind ALONE if it reads its own file alone, and perhaps a root for "/"."""
    alone = arguments[1:2] == [ALONE]
    unit, *roots = arguments[1 + alone :] or [""]
    if is_service_name(unit):
        check(unit, roots[0] if roots else "", alone=alone)


def check(unit: str, root: str = "", *, alone: bool = False) -> None:
    """Withdraws the environment files that the unit reads, and that don't fit the present."""
    try:
        folder = os.open(root + ENVIRONMENT, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for name in filter(None, (None if alone else template_of(unit), unit)):
            reason = _why_stale(folder, name, Observer(root))
            if reason:
                os.unlink(environment_file_name(name), dir_fd=folder)
                # The journal shows standard error; "<5>" makes it a notice [sd-daemon(3)].
                sys.stderr.write(f"<5>graviton-agent: withdrew the environment of {name}: {reason}\n")
    finally:
        os.close(folder)


def _why_stale(folder: int, unit: str, observer: Observer) -> str | None:
    """Why the unit's environment file must not be read; None if it may, or if there is none."""
    try:
        lines = _read(folder, environment_file_name(unit))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return "it is not a file that the agent wrote"
    made_for = parse_head(lines, unit)
    if made_for is None:
        return "it doesn't say what it was made for"
    return _compare_in_time(made_for, observer)


def _compare_in_time(made_for: dict[str, str], observer: Observer) -> str | None:
    """What has changed; None if nothing has. An answer that comes too late counts as a change.

    A child compares, for a file system that hangs would hold its process where no signal wakes it.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, (FITS + "; ".join(differences(made_for, observer))).encode()[:LARGEST_ANSWER])
        finally:
            os._exit(0)
    os.close(writer)
    in_time, _, _ = select.select([reader], [], [], LONGEST_SECONDS)
    answer = os.read(reader, LARGEST_ANSWER).decode("utf-8", "replace") if in_time else ""
    os.close(reader)
    os.kill(child, 9)
    if not answer.startswith(FITS):
        return "it could not be checked in time"
    return answer.removeprefix(FITS) or None


def _read(folder: int, name: str) -> list[str]:
    """The lines of a file that nobody but root could have written."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
            raise ValueError(name)
        if found.st_uid not in {0, os.geteuid()} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError(name)
        return os.read(descriptor, LARGEST_FILE).decode().split("\n")
    finally:
        os.close(descriptor)
