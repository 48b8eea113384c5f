"""What others need of the host while a unit is calibrated, so that the calibration can be stopped for them.

The bounds are those of a quiet host. But a calibration fills the host itself: its own CPU time is taken out
of the host's, and in place of the pressure of all tasks counts that of the units that serve. Totals are
compared, so that nothing between two readings is missed.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graviton_agent.configuration.compiled import Quiet
from graviton_agent.root import Root
from graviton_agent.service.quiet import Reading, read, total_waited
from graviton_agent.units.processes import group_folder

MICROSECONDS = 1_000_000
MOST_SECONDS_BETWEEN = 15.0
LEAST_SECONDS_BETWEEN = 0.5
_OWN = "graviton_agent_"
"""What the slices of calibrations have in their names."""


@dataclass(frozen=True)
class Use:
    """What the kernel says at one moment, of all since boot."""

    host: Reading
    own: float
    """Seconds of CPU time that calibrations used."""
    waited: Mapping[str, int]
    """Microseconds for which some task of a serving unit waited for a CPU, by unit."""


def read_use(
    root: Root, at: float, *, slice_name: str, own: Iterable[str], serving: Mapping[str, str]
) -> Use:
    """Reads what everybody used.

    Args:
        root: of this machine.
        at: seconds of a monotonic clock.
        slice_name: of the unit that is calibrated; its workers are in slices below.
        own: control groups of the agent's besides.
        serving: the control groups of units that serve, by unit.
    """
    waited = {}
    for unit, group in serving.items():
        total = total_waited(_read(root, group, "cpu.pressure"))
        if total is not None:
            waited[unit] = total
    groups = [*own, *_own_slices(root, slice_name)]
    return Use(read(root, at), sum(_used(root, group) for group in groups), waited)


def why_stop(before: Use, now: Use, bounds: Quiet, cpus: int) -> str | None:
    """What others needed between two readings beyond the bounds, in words; None if nothing."""
    elapsed = now.host.at - before.host.at
    if elapsed <= 0:
        return None
    for unit, waited in now.waited.items():
        pressure = (waited - before.waited.get(unit, waited)) / (elapsed * MICROSECONDS) * 100
        if pressure > bounds.pressure:
            return f"{unit} waited for a CPU for {pressure:.1f} % of the time, above {bounds.pressure:g} %"
    own = now.own - before.own
    load = ((now.host.busy - before.host.busy) / os.sysconf("SC_CLK_TCK") - own) / elapsed / cpus
    # Of workers that have just ended nobody knows any more what they used.
    if own >= 0 and load > bounds.load:
        return f"other work took {load:.2f} of each CPU, above {bounds.load:g}"
    ticks = now.host.ticks - before.host.ticks
    steal = (now.host.steal - before.host.steal) / ticks * 100 if ticks > 0 else 0.0
    if steal > bounds.steal:
        return f"steal {steal:.1f} %, above {bounds.steal:g} %"
    return None


def seconds_between(bounds: Quiet) -> float:
    """How long to wait for the next reading."""
    return min(MOST_SECONDS_BETWEEN, max(LEAST_SECONDS_BETWEEN, bounds.duration / 4))


def _own_slices(root: Root, name: str) -> list[str]:
    """The control groups of calibrations' slices below a slice, whose names tell its place in the tree."""
    parts = [] if name == "-.slice" else name.removesuffix(".slice").split("-")
    group = "".join(f"/{'-'.join(parts[:depth])}.slice" for depth in range(1, len(parts) + 1))
    folder = group_folder(group or "/", root)
    names = root.entries(folder) if folder is not None else ()
    return [f"{group}/{found}" for found in names if _OWN in found and found.endswith(".slice")]


def _used(root: Root, group: str) -> float:
    """Seconds of CPU time that a control group has used, those of groups in it that are gone included."""
    for line in _read(root, group, "cpu.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec" and value.isdecimal():
            return int(value) / MICROSECONDS
    return 0.0


def _read(root: Root, group: str, name: str) -> str:
    folder = group_folder(group, root)
    return (root.read_text(f"{folder}/{name}") or "") if folder is not None else ""
