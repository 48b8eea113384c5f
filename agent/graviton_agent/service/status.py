"""What `systemctl status graviton-agent` says of the daemon, in plain words. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from graviton_agent.configuration.compiled import Calibrate
from graviton_agent.profiles.application import State
from graviton_agent.service.upkeep import Overview, View

WITHOUT_VALUES = {
    State.DEFAULT: "best on default values",
    State.INCONCLUSIVE: "too noisy to say",
    State.HELD: "decided by the operator",
    State.REVERTED: "reverted",
    State.UNREAD: "waiting for systemctl daemon-reload",
    State.UNFIT: "can't be managed",
}
"""Why a unit gets nothing though it doesn't wait for a calibration; counts stand before these."""


@dataclass(frozen=True)
class Doing:
    """What the daemon does besides keeping the environment files."""

    calibrating: str | None = None
    """The unit that is calibrated now, because the host is quiet."""
    next: str | None = None
    """The unit whose turn it is when the host is quiet."""
    busy: str | None = None
    """Why the host isn't quiet."""
    failed: int = 0
    """Units whose calibration has failed, and which wait for another try."""
    stopped: int = 0
    """Units whose calibration was stopped because others needed the host, and which wait likewise."""
    problem: str | None = None
    """What keeps the daemon from its work altogether."""


def status(overview: Overview | None, doing: Doing) -> str:
    """One line."""
    if doing.problem:
        return f"{doing.problem}; environment files stay as they are"
    if overview is None:
        return "looking at the units"
    if not overview.configuration.enabled:
        return "switched off (enabled = false): writing nothing"
    if overview.not_graviton:
        return f"not known to be a Graviton, so watching and writing nothing: {overview.not_graviton}"
    units = overview.units.values()
    having = sum(unit.has_file for unit in units)
    total = f"{len(units)} unit{'' if len(units) == 1 else 's'}"
    parts = [f"measured values for {having} of {total}"]
    if not units:
        parts = ["no unit is managed"]
    if overview.problem:
        parts.insert(0, overview.problem)
    count = Counter(unit.state for unit in units if not unit.hangs)
    parts += [f"{count[state]} {words}" for state, words in WITHOUT_VALUES.items() if count[state]]
    parts += _silent(units)
    parts += _waiting(units, doing)
    if wrong := len(overview.configuration.problems):
        plural = "" if wrong == 1 else "s"
        parts.append(f"{wrong} error{plural} in the configuration: graviton-agent config check")
    return "; ".join(parts)


def _silent(units: Iterable[View]) -> list[str]:
    """Units that get nothing because their files don't answer."""
    names = sorted(unit.name for unit in units if unit.hangs)
    if not names:
        return []
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"the files of {names[0]}{others} don't answer, so nothing is given"]


def _waiting(units: Iterable[View], doing: Doing) -> list[str]:
    """What is calibrated, what is next, and why not now."""
    wanting = [unit for unit in units if unit.wants_calibration]
    parts = []
    if doing.calibrating:
        parts.append(f"calibrating {doing.calibrating}")
    elif doing.next:
        parts.append(f"next {doing.next}, when the host is quiet" + (f": {doing.busy}" if doing.busy else ""))
    manual = sum(unit.policy is Calibrate.MANUAL for unit in wanting)
    starting = sum(unit.policy is Calibrate.BEFORE_START and not unit.is_running for unit in wanting)
    if manual:
        parts.append(f"{manual} to be calibrated by hand")
    if starting:
        parts.append(f"{starting} to be calibrated before the next start")
    if doing.failed:
        parts.append(f"{doing.failed} failed to calibrate, to be tried again later")
    if doing.stopped:
        parts.append(f"{doing.stopped} stopped calibrating for others, to be tried again later")
    return parts
