"""Which variables a unit gets from elsewhere: the operator's, which the agent keeps and never writes.

This follows systemd's own order [systemd.exec(5), "Environment Variables in Spawned Processes"] without
starting anything, so that it serves fifty units at once. The truth for a calibration is what a process in the
unit's cage says it was given (`Cage.environment`); a test holds the two against each other.
"""

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from graviton_agent.calibration.environment import aliases
from graviton_agent.installed import ENVIRONMENT
from graviton_agent.root import KIB, MIB, Root
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.units.assignments import parse_assignments, parse_environment_block
from graviton_agent.units.unit import EnvironmentSource, Unit

LARGEST_FILE = 64 * KIB
"""Bytes. The unit's user may write there what it likes, and as often as it likes."""
LARGEST_TOGETHER = 256 * KIB
"""Bytes of all environment files of a unit: a pattern may name a thousand, all of which are parsed."""
MOST_ENTRIES = 1000
"""Entries of folders that one pattern is held against."""
LARGEST_ENVIRONMENT = MIB
PAM_FILES = ("etc/environment", "etc/default/locale")
"""What pam_env reads as plain assignments: by default the first, in Debian's configuration both."""
PAM_CONFIGURATION = "etc/security/pam_env.conf"
ANYTHING: Mapping[str, str | None] = dict.fromkeys(setting.variable for setting in CATALOGUE)
"""What is held by a file that can't be read: all that the agent could want to set."""


@dataclass(frozen=True, slots=True)
class Held:
    """One variable that somebody else has decided on."""

    name: str
    value: str | None
    """None where it is held unset."""
    source: str
    """Where it comes from, for people: "Environment=", "/etc/default/llm", "UnsetEnvironment=", ..."""
    is_known: bool = True
    """Whether the value is known; if not, only the started process would tell."""

    def explains(self, actual: str | None) -> bool:
        """Whether a process that was started now might have this."""
        return not self.is_known or self.value == actual


_Variables = dict[str, Held]


@dataclass(frozen=True)
class UnitEnvironment:
    """What a unit's process gets from all sides but from the agent."""

    variables: Mapping[str, Held] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, str]:
        """The variables that are set, as the process sees them."""
        return {held.name: held.value for held in self.variables.values() if held.value is not None}

    def of(self, name: str) -> Held | None:
        """Who holds a variable, by its own name or by another that torch reads too; None if nobody."""
        for known in (name, *aliases(name)):
            if known in self.variables:
                return self.variables[known]
        return None

    def overlaid(
        self, values: Mapping[str, str | None], source: str, *, is_known: bool = True
    ) -> "UnitEnvironment":
        """The same with variables set, or unset where the value is None, by a later source."""
        result = dict(self.variables)
        _overlay(result, values, source, is_known=is_known)
        return replace(self, variables=result)


def unit_environment(unit: Unit, manager: Mapping[str, str], root: Root) -> UnitEnvironment:
    """What the unit's process would get if it were started now, without the agent's files.

    Args:
        unit: the service.
        manager: the variables that PID 1 gives to every service.
        root: where the unit's files are found.
    """
    held: _Variables = {}
    _overlay(held, manager, "the service manager's environment")
    if unit.search_path:
        _overlay(held, {"PATH": ":".join(unit.search_path)}, "ExecSearchPath=")
    if unit.pass_environment:
        own = parse_environment_block(root.read_bytes("proc/1/environ", limit=LARGEST_ENVIRONMENT) or b"")
        passed = {name: own[name] for name in unit.pass_environment if name in own}
        _overlay(held, passed, "PassEnvironment=")
    _overlay(held, dict(unit.environment), "Environment=")
    _add_files(held, unit.environment_files, root)
    if unit.pam_name:
        _add_pam(held, root)
    _unset(held, unit.unset_environment)
    return UnitEnvironment(held)


def is_ours(pattern: str) -> bool:
    """Whether a unit's environment file is one that the agent writes."""
    return PurePosixPath(pattern).is_relative_to(ENVIRONMENT)


def reads_our_file(unit: Unit) -> bool:
    """Whether the unit has an environment file of the agent's: an empty `EnvironmentFile=` later drops it."""
    return any(is_ours(source.pattern) for source in unit.environment_files)


def _overlay(
    held: _Variables, values: Mapping[str, str | None], source: str, *, is_known: bool = True
) -> None:
    """Sets variables, or unsets them where the value is None, by a later source."""
    held.update({name: Held(name, value, source, is_known) for name, value in values.items()})


def _add_files(held: _Variables, sources: Iterable[EnvironmentSource], root: Root) -> None:
    """Adds what environment files set. What can't be read, or not within bounds, may set anything."""
    left = LARGEST_TOGETHER
    for source in sources:
        paths = _expand(source.pattern, root)
        if paths is None:
            _overlay(held, ANYTHING, f"{source.pattern}, which names too many files", is_known=False)
        for path in paths or ():
            # One byte more tells a larger file.
            content = root.read_bytes(path.lstrip("/"), limit=LARGEST_FILE + 1)
            left -= len(content or b"")
            if left < 0:
                # What comes later can't take back what nobody has read.
                reason = f"{path}, up to which its environment files are too large to be read"
                _overlay(held, ANYTHING, reason, is_known=False)
                return
            _add_file(held, path, content, root)


def _add_file(held: _Variables, path: str, content: bytes | None, root: Root) -> None:
    if content is None and os.path.exists(root.path / path.lstrip("/")):  # noqa: PTH110 - it never raises
        _overlay(held, ANYTHING, f"{path}, which can't be read", is_known=False)
    elif content is not None and len(content) > LARGEST_FILE:
        _overlay(held, ANYTHING, f"{path}, which is too large to be read", is_known=False)
    else:
        _overlay(held, parse_assignments(content or b""), path)


def _expand(pattern: str, root: Root) -> list[str] | None:
    """The files that a pattern names, in systemd's order, without the agent's own; None if they are too many.

    Python's own glob would make a list of a folder first, however many files somebody has put there.
    """
    base = "" if root.is_this_machine else str(root.path)
    found, looked_at = [""], 0
    for part in pattern.split("/")[1:]:
        wanted = _without_backslashes(part)
        if not glob.has_magic(wanted):
            found = [f"{folder}/{wanted}" for folder in found]
            continue
        matches = []
        for folder in found:
            names = Root(f"{base}/").entries(folder.lstrip("/"), limit=MOST_ENTRIES + 1)
            looked_at += len(names)
            if looked_at > MOST_ENTRIES:
                return None
            hidden = part.startswith(".")
            matches += [
                f"{folder}/{name}"
                for name in names
                if fnmatch.fnmatchcase(name, wanted) and (hidden or not name.startswith("."))
            ]
        found = matches
    return sorted(path for path in found if os.path.lexists(base + path) and not is_ours(path))


def _without_backslashes(pattern: str) -> str:
    r"""glob(3) takes `\x` for x and "^" for "!"; Python escapes by brackets, and has no "^"."""
    return re.sub(r"\\(.)", lambda found: glob.escape(found[1]), pattern.replace("[^", "[!"))


def _add_pam(held: _Variables, root: Root) -> None:
    """Adds what pam_env may set. Its own language is not evaluated: what it names counts as held."""
    for path in PAM_FILES:
        content = root.read_bytes(path, limit=LARGEST_FILE) or b""
        _overlay(held, parse_assignments(content), f"PAM (/{path})")
    named = re.findall(r"(?m)^\s*([A-Za-z_]\w*)\s", root.read_text(PAM_CONFIGURATION) or "")
    _overlay(held, dict.fromkeys(named), f"PAM (/{PAM_CONFIGURATION})", is_known=False)


def _unset(held: _Variables, entries: Iterable[str]) -> None:
    """Applies UnsetEnvironment=, which has the last word."""
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or (name in held and held[name].value == value):
            _overlay(held, {name: None}, "UnsetEnvironment=")
