"""What a fleet comes to: hosts of the same instance type and torch build side by side. Pure."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from graviton_agent.control.fleet_files import Standing
from graviton_agent.profiles.application import State
from graviton_agent.units.verify import Sync

SMALLEST_GROUP = 5
"""Of fewer units nobody can say which one is unlike the others."""
OUTLYING = 3.5
"""Robust standard deviations from the group's median, beyond which a gain is one of another kind
[Iglewicz and Hoaglin 1993: the modified z-score]."""
LEAST = 0.05
"""Differences of less than that, in logarithms, are nobody's worry, however alike the others are."""
_MAD_TO_SD = 1.4826

WITHOUT = {State.UNCALIBRATED, State.UNREAD}


@dataclass(frozen=True)
class Group:
    """All units on one instance type with one torch that have the same name."""

    instance: str
    torch: str
    unit: str
    hosts: int
    applied: int
    default: int
    """Units for which the default is best, or what is found is held or reverted by the operator."""
    stale: int
    drift: int
    """Units for which somebody else decides on a variable."""
    restart: int
    uncalibrated: int
    unfit: int
    gains: tuple[float, float, float] | None
    """The smallest promised gain, the median, and the largest; None where there is none."""
    outliers: tuple[Standing, ...]
    """The units whose gain is unlike the others', the farthest first."""


def group(standings: Sequence[Standing]) -> tuple[Group, ...]:
    """All groups, by instance type, torch and unit."""
    found: dict[tuple[str, str, str], list[Standing]] = defaultdict(list)
    for one in standings:
        found[one.instance, one.torch, one.unit].append(one)
    return tuple(_group(*key, found[key]) for key in sorted(found))


def _group(instance: str, torch: str, unit: str, members: Sequence[Standing]) -> Group:
    states = [one.state for one in members]
    gains = sorted(one.gain for one in members if one.gain is not None)
    counted = {State.DEFAULT, State.INCONCLUSIVE, State.HELD, State.REVERTED}
    return Group(
        instance=instance,
        torch=torch,
        unit=unit,
        hosts=len({one.host for one in members}),
        applied=states.count(State.APPLIED),
        default=sum(state in counted for state in states),
        stale=states.count(State.STALE),
        drift=sum(one.sync is Sync.OVERRIDDEN for one in members),
        restart=sum(one.sync is Sync.RESTART_NEEDED for one in members),
        uncalibrated=sum(state in WITHOUT for state in states),
        unfit=states.count(State.UNFIT),
        gains=(gains[0], median(gains), gains[-1]) if gains else None,
        outliers=_outliers(members),
    )


def _outliers(members: Sequence[Standing]) -> tuple[Standing, ...]:
    known = [(one, math.log(one.gain)) for one in members if one.gain is not None]
    if len(known) < SMALLEST_GROUP:
        return ()
    middle = median(value for _, value in known)
    spread = _MAD_TO_SD * median(abs(value - middle) for _, value in known)
    bound = max(OUTLYING * spread, LEAST)
    far = [(abs(value - middle), one) for one, value in known if abs(value - middle) > bound]
    return tuple(one for _, one in sorted(far, key=lambda pair: (-pair[0], pair[1].host)))
