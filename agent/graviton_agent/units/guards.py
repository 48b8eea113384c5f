"""Which files an environment file depends on beyond torch's: those that made the unit what it is.

Somebody edits a unit, or one of its environment files, and restarts it at once: what the agent gave may be
wrong for what starts then, or stand against what the operator has just decided. So the check just before the
start compares these files too. A change of them makes no result stale: the agent looks at the unit anew, and
gives the same values again if they still hold.
"""

import os
import re

from graviton_agent.units.held import is_ours
from graviton_agent.units.identity import FILE_FACT
from graviton_agent.units.unit import Unit
from graviton_agent.units.unit_files import drop_in_folders

DROP_IN_BASES = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/transient",
)
"""Where administrators and `systemctl set-property` put drop-ins; a folder that isn't there is expected to be
absent."""
GENERATED = "/run/systemd/generator"
"""What is written anew at each daemon-reload, our own drop-in among it."""
RUNTIME = ("/run/", "/var/run/", "/tmp/", "/var/tmp/", "/proc/", "/dev/")  # noqa: S108 - nothing is written there
"""Environment files there are often written at each start, by the unit itself."""
MOST = 100
"""Files of one unit that are looked at."""


def guards(unit: Unit, interpreter: str) -> tuple[str, ...]:
    """The names of the facts.

    Args:
        unit: the service as PID 1 has loaded it.
        interpreter: path of its Python on the host.
    """
    files = [unit.fragment_path, *unit.drop_in_paths]
    paths = [path for path in files if path and not path.startswith(GENERATED)]
    paths.append(interpreter)
    patterns = (source.pattern for source in unit.environment_files)
    paths += [_without_pattern(pattern) for pattern in patterns if _counts(pattern)]
    paths += _drop_in_folders(unit)
    # The slices' limits are the unit's too.
    paths += [
        f"{base}/{name}" for one in _slices(unit) for base in DROP_IN_BASES for name in (one, f"{one}.d")
    ]
    plain = [path for path in dict.fromkeys(paths) if path.isprintable() and path == path.strip()]
    return tuple(FILE_FACT + path for path in plain[:MOST])


def is_unread(unit: Unit, root: str = "") -> bool:
    """Whether the unit's files have changed since systemd read them.

    What it is going to be can't be told then. systemd doesn't know of a folder for drop-ins that is new
    [systemd src/core/unit.c, unit_need_daemon_reload, which looks where it found units at its last reload].

    Args:
        unit: the service as PID 1 has loaded it.
        root: what stands before paths.
    """
    if unit.needs_daemon_reload:
        return True
    known_folders = {os.path.dirname(path) for path in unit.drop_in_paths}  # noqa: PTH120 - of strings
    known_names = {os.path.basename(path) for path in unit.drop_in_paths}  # noqa: PTH119 - of strings
    folders = [folder for folder in _drop_in_folders(unit) if folder not in known_folders]
    return any(not known_names.issuperset(_drop_ins(root + folder)) for folder in folders)


def _drop_in_folders(unit: Unit) -> list[str]:
    return [f"{base}/{folder}" for folder in drop_in_folders(unit.name) for base in DROP_IN_BASES]


def _slices(unit: Unit) -> list[str]:
    """The unit's slice and those around it: a-b.slice is in a.slice [systemd.slice(5)]."""
    parts = unit.slice.removesuffix(".slice").split("-")
    return ["-".join(parts[:depth]) + ".slice" for depth in range(1, len(parts) + 1) if all(parts)]


def _drop_ins(folder: str) -> list[str]:
    """The names of drop-ins in a folder but for masks, which systemd passes over."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry, _ in zip(entries, range(MOST), strict=False)]
    except OSError:
        return []
    return [
        entry.name
        for entry in found
        if entry.name.endswith(".conf") and os.path.realpath(entry.path) != os.devnull
    ]


def _counts(pattern: str) -> bool:
    return not is_ours(pattern) and not pattern.startswith(RUNTIME)


def _without_pattern(pattern: str) -> str:
    """The file, or for a pattern the folder that it looks into, which changes as files come and go."""
    plain, *rest = re.split(r"[*?\[\\]", pattern, maxsplit=1)
    return plain.rpartition("/")[0] or "/" if rest else plain
