"""Reads what many hosts have said of themselves: `status --json`, or calibrations' records, a file for each.

The files come from everywhere, so nothing in them is believed: sizes are bounded, what has another shape is
counted as broken and costs no other. One is read after the other, and little is kept of each.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from graviton_agent.errors import UsageError
from graviton_agent.profiles.application import State
from graviton_agent.regular_file import read_regular
from graviton_agent.units.verify import Sync

LARGEST = 16 * 1024 * 1024
"""Bytes of a file."""
MOST_FILES = 200_000
MOST_UNITS = 1000
"""Units of one host that are looked at."""
LONGEST = 120
"""Characters of a name that are kept."""
_OUTCOMES = {"change": State.APPLIED, "keep": State.DEFAULT, "inconclusive": State.INCONCLUSIVE}
_STATES = {state.value: state for state in State}
_SYNCS = {sync.value: sync for sync in Sync}


class Standing(NamedTuple):
    """One unit of one host."""

    host: str
    """The name of the file without its ending: what a host is called is for whoever collects."""
    instance: str
    torch: str
    unit: str
    state: State
    sync: Sync | None
    """None where nobody has looked at processes."""
    gain: float | None
    """The promised ratio of time; None where the default stands."""


@dataclass
class Fleet:
    """All that was read."""

    standings: list[Standing] = field(default_factory=list)
    hosts: int = 0
    idle: int = 0
    """Hosts on which no unit is managed."""
    broken: dict[str, str] = field(default_factory=dict)
    """Why files could not be read, by path."""


class ShapeError(Exception):
    """A file isn't what it should be. Its text is a clause."""


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """The files that are named, and those of folders whose names end with .json. Raises UsageError."""
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*.json") if not found.is_dir())
        elif path.exists():
            yield path
        else:
            raise UsageError(f"{path} is neither a file nor a folder", hint="graviton-agent fleet report DIR")


def read_fleet(paths: Iterable[Path]) -> Fleet:
    """Reads all files."""
    fleet = Fleet()
    statuses: dict[tuple[str, str], Standing] = {}
    records: dict[tuple[str, str], Standing] = {}
    hosts: set[str] = set()
    # Each is one object, however many thousand hosts say it.
    known: dict[str, str] = {}
    for path, _ in zip(paths, range(MOST_FILES), strict=False):
        try:
            is_record, standings = _read(path, known)
        except ShapeError as error:
            fleet.broken[str(path)] = str(error)
            continue
        host = path.stem[:LONGEST]
        if not standings and host not in hosts:
            fleet.idle += 1
        hosts.add(host)
        (records if is_record else statuses).update({(one.host, one.unit): one for one in standings})
    # What a host says of now counts before what it has once measured.
    fleet.standings = list({**records, **statuses}.values())
    fleet.hosts = len(hosts)
    return fleet


def _read(path: Path, known: dict[str, str]) -> tuple[bool, tuple[Standing, ...]]:
    content = read_regular(str(path), LARGEST)
    if content is None:
        raise ShapeError(f"it is no file of at most {LARGEST >> 20} MiB that can be read")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ShapeError("it is no JSON") from None
    if not isinstance(values, dict) or not isinstance(values.get("host"), dict):
        raise ShapeError("it is neither a status nor a record")
    host = path.stem[:LONGEST]
    instance = _text(values["host"].get("instance_type") or "unknown", known)
    if "decision" in values:
        return True, (_of_record(values, host, instance, known),)
    units = values.get("units")
    if not isinstance(units, list) or len(units) > MOST_UNITS:
        raise ShapeError("it has no list of units")
    return False, tuple(_of_status(unit, host, instance, known) for unit in units)


def _of_status(unit: Any, host: str, instance: str, known: dict[str, str]) -> Standing:
    values = _table(unit)
    state, sync = _STATES.get(values.get("state", "")), _SYNCS.get(values.get("sync", ""))
    if state is None:
        raise ShapeError(f"it has a unit in the state {str(values.get('state'))[:40]!r}")
    profile = values.get("profile")
    gain, torch = None, "unknown"
    if profile is not None:
        profile = _table(profile)
        torch = _text(profile.get("torch") or "unknown", known)
        if profile.get("environment"):
            gain = _gain(profile.get("gain_interval"))
    return Standing(host, instance, torch, _text(values.get("unit"), known), state, sync, gain)


def _of_record(values: Mapping[str, Any], host: str, instance: str, known: dict[str, str]) -> Standing:
    decision = _table(values["decision"])
    state = _OUTCOMES.get(str(decision.get("outcome")))
    if state is None:
        raise ShapeError("it has no outcome")
    torch = _text(_table(values.get("torch")).get("version"), known)
    gain = _gain(decision.get("gain_interval")) if state is State.APPLIED else None
    return Standing(host, instance, torch, "(a record)", state, None, gain)


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ShapeError("a table is expected where something else stands")
    return value


def _text(value: Any, known: dict[str, str]) -> str:
    if not isinstance(value, str):
        raise ShapeError("a name is expected where something else stands")
    text = value[:LONGEST]
    return known.setdefault(text, text)


def _gain(interval: Any) -> float:
    try:
        low = float(interval[0])
    except (TypeError, ValueError, LookupError):
        raise ShapeError("it has a gain without an interval") from None
    if not math.isfinite(low) or not 0 < low < 10_000:
        raise ShapeError("it has a gain that is none")
    return low
