"""What `systemctl status graviton-agent` says of the daemon, in plain words. Pure."""

from dataclasses import dataclass

from graviton_agent.configuration.compiled import Calibrate
from graviton_agent.service.upkeep import Overview, View


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
    problem: str | None = None
    """What keeps the daemon from its work."""


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
    if not units:
        return _wrong(overview) or "no unit is managed: see graviton-agent.toml, [units]"
    having = sum(unit.has_file for unit in units)
    parts = [f"{having} of {_count(len(units))} get measured values"]
    done = sum(not unit.has_file and not unit.wants_calibration for unit in units)
    if done:
        parts.append(f"{done} best on default values")
    parts += [*_waiting(list(units), doing), *filter(None, [_wrong(overview)])]
    return "; ".join(parts)


def _waiting(units: list[View], doing: Doing) -> list[str]:
    """What is calibrated, what is next, and why not now."""
    wanting = [unit for unit in units if unit.wants_calibration]
    parts = []
    if doing.calibrating:
        parts.append(f"calibrating {doing.calibrating}")
    elif doing.next:
        why = f", which it is not: {doing.busy}" if doing.busy else ""
        parts.append(f"next {doing.next}, when the host is quiet{why}")
    manual = sum(unit.policy is Calibrate.MANUAL for unit in wanting)
    starting = sum(unit.policy is Calibrate.BEFORE_START and not unit.is_running for unit in wanting)
    if manual:
        parts.append(f"{manual} to be calibrated by hand")
    if starting:
        parts.append(f"{starting} to be calibrated before the next start")
    if doing.failed:
        parts.append(f"{doing.failed} failed to calibrate, to be tried again later")
    return parts


def _wrong(overview: Overview) -> str | None:
    problems = len(overview.configuration.problems)
    if not problems:
        return None
    return f"{problems} error{'s' if problems > 1 else ''} in the configuration: graviton-agent config check"


def _count(number: int) -> str:
    return f"{number} unit{'' if number == 1 else 's'}"
