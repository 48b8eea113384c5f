"""Withdraws a unit's environment files just before its start if they were made for something else.

Between an upgrade of torch and the next restart nobody may have told the daemon, which watches but can be
slow, stopped or gone. This runs as root in a service of its own, and looks at files that others own: of them
it takes no more than stat(2), and it removes nothing but in the agent's own folder.

It either ends having looked at everything, or raises, or hangs until systemd kills it. In the last two cases
the end of its service withdraws the files.
"""

from __future__ import annotations

import os
import stat
import sys

from graviton_agent.installed import ENVIRONMENT
from graviton_agent.units.identity import Observer, differences, parse_head
from graviton_agent.units.names import environment_file_name, is_service_name, template_of

LARGEST_FILE = 64 * 1024


def main(arguments: list[str]) -> None:
    """Takes the unit's name, and perhaps a root for "/"."""
    unit, *roots = arguments[1:] or [""]
    if not is_service_name(unit):
        raise ValueError(unit)
    check(unit, roots[0] if roots else "")


def check(unit: str, root: str = "") -> None:
    """Withdraws the environment files that the unit may read, and that don't fit the present.

    Facts are about the host and about files, and the same for each of a template's instances.
    """
    try:
        folder = os.open(root + ENVIRONMENT, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        for name in filter(None, (template_of(unit), unit)):
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
    return "; ".join(differences(made_for, observer)) or None


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
