"""A fleet at a glance, as text and as JSON's types."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from graviton_agent.control.fleet_files import Fleet, Standing
from graviton_agent.control.fleet_groups import Group
from graviton_agent.profiles.application import State
from graviton_agent.report.columns import INDENT, definitions, paragraph, table
from graviton_agent.units.verify import Sync

MOST_NAMED = 20
"""Hosts that are named for one matter; the rest is counted."""
HEADER = (
    "instance", "torch", "unit", "hosts", "applied", "default", "stale", "drift", "restart",
    "uncalibrated", "unfit",
    "gain: least", "median", "most",
)  # fmt: skip
NUMBERS = frozenset(range(3, len(HEADER)))
MATTERS: tuple[tuple[str, Callable[[Standing], bool]], ...] = (
    ("stale: to be calibrated again, or given another profile", lambda one: one.state is State.STALE),
    ("drift: somebody else decides on a variable", lambda one: one.sync is Sync.OVERRIDDEN),
    ("restart needed: started with other values", lambda one: one.sync is Sync.RESTART_NEEDED),
    ("not calibrated", lambda one: one.state is State.UNCALIBRATED),
    ("unfit: can't be managed as it is", lambda one: one.state is State.UNFIT),
)


def headline(fleet: Fleet) -> str:
    """The fleet in a line."""
    words = [f"{_count(fleet.hosts, 'host')}, {_count(len(fleet.standings), 'managed unit')}"]
    if fleet.idle:
        words.append(f"{fleet.idle} without one")
    if fleet.broken:
        words.append(f"{_count(len(fleet.broken), 'file')} could not be read")
    return ", ".join(words)


def cells(one: Group) -> list[str]:
    """A group's row."""
    counts = (
        one.hosts,
        one.applied,
        one.default,
        one.stale,
        one.drift,
        one.restart,
        one.uncalibrated,
        one.unfit,
    )
    gains = ["-"] * 3 if one.gains is None else [f"{gain:.2f}x" for gain in one.gains]
    return [one.instance, one.torch, one.unit, *(str(count) if count else "-" for count in counts), *gains]


def named(fleet: Fleet, groups: Sequence[Group]) -> dict[str, list[str]]:
    """For each matter that somebody may have to see to, the units and hosts that it is about."""
    found = {words: [_name(one) for one in fleet.standings if concerns(one)] for words, concerns in MATTERS}
    outliers = [f"{_name(one)}: {one.gain:.2f}x" for group in groups for one in group.outliers]
    found["outliers: a gain unlike that of the others of their kind"] = outliers
    found["could not be read"] = [f"{path}: {why}" for path, why in fleet.broken.items()]
    return {words: names for words, names in found.items() if names}


def shown(names: Sequence[str], most: int = MOST_NAMED) -> list[str]:
    """The first names, and how many more there are."""
    more = len(names) - most
    return [*names[:most], *([f"and {more} more"] if more > 0 else [])]


def render_fleet(fleet: Fleet, groups: Sequence[Group]) -> str:
    """The fleet by instance type, torch and unit; below, what somebody may have to see to."""
    parts = [INDENT + headline(fleet)]
    if groups:
        parts.append(table(HEADER, [cells(one) for one in groups], right=NUMBERS))
    for words, names in named(fleet, groups).items():
        parts.append(paragraph(words, indent=INDENT) + "\n" + _list(shown(names)))
    return "\n\n".join(parts)


def _list(names: Iterable[str]) -> str:
    return definitions([(name, "") for name in names], indent=2 * INDENT)


def fleet_to_json(fleet: Fleet, groups: Sequence[Group]) -> Mapping[str, Any]:
    """The same as JSON's types, all names included."""
    return {
        "hosts": fleet.hosts,
        "units": len(fleet.standings),
        "idle": fleet.idle,
        "groups": [
            {
                **{
                    name: getattr(one, name)
                    for name in (
                        "instance", "torch", "unit", "hosts", "applied", "default", "stale", "drift",
                        "restart", "uncalibrated", "unfit", "gains",
                    )
                },
                "outliers": [{"host": far.host, "gain": far.gain} for far in one.outliers],
            }
            for one in groups
        ],
        "matters": named(fleet, groups),
        "broken": fleet.broken,
    }  # fmt: skip


def _name(one: Standing) -> str:
    return f"{one.host} {one.unit}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
