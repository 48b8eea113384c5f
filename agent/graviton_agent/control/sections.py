"""Writes the section of one unit for `enable` and `disable`, with all that `config check` would say of it.

Each unit that was enabled so has a file of its own, /etc/graviton-agent/conf.d/50-UNIT.toml, which these two
commands alone write. Other files may say more about the unit, before it and after it.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graviton_agent.configuration.advice import advise
from graviton_agent.configuration.collect import unit_section
from graviton_agent.configuration.load import Loaded, Proposal, load
from graviton_agent.configuration.problem import unit_meant
from graviton_agent.configuration.sources import LARGEST
from graviton_agent.control.scene import NOT_THERE
from graviton_agent.errors import StateError, UsageError
from graviton_agent.regular_file import read_regular
from graviton_agent.report.configuration import toml
from graviton_agent.root import Root
from graviton_agent.state import write_atomically
from graviton_agent.units.bus import Bus
from graviton_agent.units.names import is_template, require_service_name, template_of
from graviton_agent.units.unit import read_unit
from graviton_agent.units.unit_files import UnitFiles

FOLDER = "etc/graviton-agent/conf.d"
HEADER = "# Written by `graviton-agent enable` and `disable`. They keep the options, and no comments.\n"
ENABLED = "enabled"
CHECK = "graviton-agent config check says all that is wrong"


@dataclass(frozen=True)
class Written:
    """What became of a unit's section."""

    path: Path
    warnings: tuple[str, ...]
    """What `config check` says of the unit, and which option another file decides in place of this one."""


def enable(unit: str, options: Mapping[str, Any], root: Root) -> Written:
    """Gives a unit a section, or adds to the one that this command wrote before.

    Args:
        unit: a unit or a template.
        options: as they would be written in the file.
        root: the system's tree.

    Raises UsageError for what `config check` would refuse, and then leaves everything as it was.
    """
    return _write(unit, {**_read(unit, root), ENABLED: True, **options}, root, wanted=True)


def disable(unit: str, root: Root) -> Written:
    """Disables a unit's section, wherever it stands; its options are kept. Raises UsageError."""
    require_service_name(unit)
    prefix = _prefix(root)
    sections = load(UnitFiles(prefix), prefix).units
    if unit not in sections and template_of(unit) not in sections:
        raise UsageError(f"{unit} is not managed: it has no section", hint=unit_meant(unit, sections))
    return _write(unit, {**_read(unit, root), ENABLED: False}, root, wanted=False)


def require_installed(unit: str, root: Root, bus: Bus | None) -> str:
    """The unit's name. Raises UsageError unless it is a service, or a template, that is installed."""
    require_service_name(unit)
    files = UnitFiles(_prefix(root))
    known = files.fragment(unit) is not None
    other = files.target_of_alias(unit)
    if bus is not None and not is_template(unit):
        loaded = read_unit(bus, unit)
        known = loaded.load_state != NOT_THERE
        other = loaded.name if loaded.name != unit else None
    if not known:
        what = "template" if is_template(unit) else "unit"
        near = unit_meant(unit, files.names())
        raise UsageError(f"there is no {what} {unit}", hint=near or "systemctl list-unit-files lists them")
    if other is not None:
        raise UsageError(f"{unit} is another name of {other}", hint=f"graviton-agent enable {other}")
    return unit


def path_of(unit: str, root: Root) -> Path:
    """The unit's own file."""
    return root.path / FOLDER / f"50-{unit}.toml"


def _read(unit: str, root: Root) -> dict[str, Any]:
    """The options in the unit's own file. Raises StateError if somebody else wrote it."""
    path = path_of(unit, root)
    if not path.exists():
        return {}
    content = read_regular(str(path), LARGEST) or b""
    try:
        text = content.decode()
        options = tomllib.loads(text)["units"][unit] if text.startswith(HEADER) else None
    except (ValueError, LookupError, TypeError):
        options = None
    if not isinstance(options, dict):
        raise StateError(f"{path} was not written by this command", hint="edit it, or give it another name")
    return options


def _write(unit: str, options: Mapping[str, Any], root: Root, *, wanted: bool) -> Written:
    """Writes the file if the unit is then managed, or not, as wanted."""
    path = path_of(unit, root)
    content = _render(unit, options).encode()
    prefix = _prefix(root)
    files = UnitFiles(prefix)
    loaded = load(files, prefix, proposed=Proposal(str(path), content))
    if (unit not in loaded.unmanaged) is not wanted:
        raise _refusal(unit, path, loaded)
    write_atomically(path, content)
    return Written(path, (*_overruled(unit, options, loaded, path), *_warnings(unit, loaded, files)))


def _refusal(unit: str, path: Path, loaded: Loaded) -> UsageError:
    """What is in the way: an option that makes no sense, or another file."""
    for problem in loaded.problems:
        if problem.origin.path == str(path):
            key = problem.key.removeprefix(f"{unit_section(unit)}.")
            return UsageError(f"{key}: {problem.what}", hint=problem.meant)
    reason = loaded.unmanaged.get(unit) or f"enabled in {loaded.units[unit][ENABLED].origin}"
    return UsageError(f"another file decides on {unit}: {reason}", hint=CHECK)


def _overruled(unit: str, options: Mapping[str, Any], loaded: Loaded, path: Path) -> Iterator[str]:
    """The options that a file decides which is read later."""
    for name in options:
        origin = loaded.units[unit][name].origin if name in loaded.units[unit] else None
        if origin is not None and origin.path != str(path):
            yield f"{name} is decided by {origin}"


def _warnings(unit: str, loaded: Loaded, files: UnitFiles) -> Iterator[str]:
    for problem in advise(loaded, files):
        if problem.key == unit:
            yield f"{problem.what}; {problem.meant}" if problem.meant else problem.what


def _prefix(root: Root) -> str:
    return "" if root.is_this_machine else str(root.path)


def _render(unit: str, options: Mapping[str, Any]) -> str:
    lines = [f"{name} = {toml(value)}" for name, value in options.items()]
    return "\n".join([f"{HEADER}[{unit_section(unit)}]", *lines]) + "\n"
