"""A decision kept under the fingerprint of all that it depends on.

A profile may have come from another host, by a package or by a copy: what is read is trusted in nothing.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from graviton_agent import __version__
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.errors import StateError
from graviton_agent.profiles.fingerprint import INSIDE, LOCAL, LONGEST_FACT, MACHINE, SHARED, Fingerprint
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.units.environment_file import Variable
from graviton_agent.units.identity import FILE_FACT
from graviton_agent.units.names import is_service_name, is_template

FORMAT = 1
LARGEST = 256 * 1024
"""Bytes of a profile."""
MOST_FACTS = 200
LONGEST_TEXT = 2000
RETRY_AFTER = timedelta(days=1)
"""How long a calibration that came to nothing is left alone: the neighbours may have been noisy that day."""

MALFORMED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading JSON of another shape than expected raises."""

_REQUIRED = {*MACHINE, *INSIDE, "torch", "build", "workload", "settings", "catalogue", "held"}


@dataclass(frozen=True)
class Profile:
    """What a calibration of one unit found, and under which circumstances it holds."""

    unit: str
    fingerprint: Fingerprint
    outcome: Outcome
    """"keep" is a result like "change": the unit is not calibrated again while its fingerprint holds."""
    environment: Mapping[str, str]
    """The chosen variables in the catalogue's order; empty unless the outcome is "change"."""
    gain: float
    """Ratio of time, default over chosen; 1 where the default is kept."""
    gain_interval: tuple[float, float]
    """95 % interval of the gain; its lower end is promised."""
    reason: str
    """Why it came out so, a clause."""
    calibrated: datetime
    """When the calibration ended, in UTC and whole seconds."""
    record: str | None = None
    """Path of the record on the host that calibrated."""
    agent: str = field(default=__version__)
    """The version of graviton-agent that calibrated."""
    seconds: float | None = None
    """How long the calibration took; None where nobody has noted it."""
    origin: str | None = None
    """Path of the fleet profile that it was taken from; None if this host has calibrated."""

    def __post_init__(self) -> None:
        if not is_service_name(self.unit) or is_template(self.unit):
            raise StateError(f"{self.unit!r} is no name of a service")
        if (self.outcome is Outcome.CHANGE) != bool(self.environment):
            raise StateError(f"the profile of {self.unit} has variables, or none, against its outcome")
        low, high = self.gain_interval
        if not all(map(math.isfinite, (self.gain, low, high))) or not 0 < low <= self.gain <= high < 10_000:
            raise StateError(f"the profile of {self.unit} has no gain: {self.gain}, {low} to {high}")
        if not self.reason.isprintable() or len(self.reason) > LONGEST_TEXT:
            raise StateError(f"the profile of {self.unit} has no reason that could be shown")
        if self.seconds is not None and not 0 <= self.seconds < 1e7:
            raise StateError(f"the profile of {self.unit} took no time that could be: {self.seconds}")
        # Checks each name and value.
        _ = self.variables

    @property
    def promised(self) -> float:
        """The gain that is promised."""
        return self.gain_interval[0]

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The chosen variables as an environment file carries them. Raises StateError for any other's."""
        return tuple(
            Variable(name=name, value=value, gain=self.promised, measured=self.calibrated.date())
            for name, value in self.environment.items()
        )

    def is_due(self, now: datetime) -> bool:
        """Whether it came to nothing so long ago that another try is worth while.

        A date that is still to come was written by a clock that was wrong, and tells nothing.
        """
        return self.outcome is Outcome.INCONCLUSIVE and not (
            timedelta(0) <= now - self.calibrated < RETRY_AFTER
        )

    def to_json(self) -> str:
        """The profile as indented JSON."""
        values = {**dataclasses.asdict(self), "calibrated": self.calibrated.isoformat()}
        return json.dumps({"format": FORMAT, **values}, indent=1) + "\n"


def make_profile(
    unit: str,
    fingerprint: Fingerprint,
    *,
    outcome: Outcome,
    environment: Mapping[str, str],
    gain: float,
    gain_interval: tuple[float, float],
    reason: str,
    calibrated: datetime,
    record: str | None,
    seconds: float | None = None,
) -> Profile:
    """The profile of a calibration on this host."""
    order = [setting.variable for setting in CATALOGUE if setting.variable in environment]
    return Profile(
        unit=unit,
        fingerprint=fingerprint,
        outcome=outcome,
        environment={name: environment[name] for name in order},
        gain=gain,
        gain_interval=gain_interval,
        reason=reason[:LONGEST_TEXT],
        calibrated=calibrated.astimezone(UTC).replace(microsecond=0),
        record=record,
        seconds=seconds,
    )


def parse_profile(content: bytes) -> Profile:
    """Reads what `to_json` wrote. Raises StateError for anything else."""
    try:
        values = json.loads(content)
        if values.pop("format") != FORMAT:
            raise StateError("it has another version's format")
        fingerprint = values.pop("fingerprint")
        facts = Fingerprint(read_texts(fingerprint.pop("shared")), read_texts(fingerprint.pop("local")))
        low, high = values.pop("gain_interval")
        profile = Profile(
            fingerprint=facts,
            outcome=Outcome(values.pop("outcome")),
            environment=read_texts(values.pop("environment")),
            gain=float(values.pop("gain")),
            gain_interval=(float(low), float(high)),
            calibrated=read_time(values.pop("calibrated")),
            record=None if (record := values.pop("record")) is None else read_text(record),
            seconds=None if (seconds := values.pop("seconds", None)) is None else float(seconds),
            origin=None if (origin := values.pop("origin", None)) is None else read_text(origin),
            **{name: read_text(values.pop(name)) for name in ("unit", "reason", "agent")},
        )
    except MALFORMED as error:
        raise not_ours(error) from None
    if values or fingerprint:
        raise StateError(f"it says more than the agent writes: {next(iter({**values, **fingerprint}))!r}")
    _check_facts(profile.fingerprint)
    return profile


def not_ours(error: Exception) -> StateError:
    """What is told of a file on which reading failed."""
    what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
    return StateError(f"it is not as the agent writes it: {what}")


def read_text(value: Any) -> str:
    """A text that can be shown. Raises ValueError for anything else."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_FACT:
        raise ValueError("a text is expected")
    return value


def read_texts(value: Any) -> dict[str, str]:
    """A table of texts. Raises ValueError for anything else."""
    if not isinstance(value, dict) or len(value) > MOST_FACTS:
        raise ValueError("a table of texts is expected")
    return {read_text(name): read_text(text) for name, text in value.items()}


def read_time(value: Any) -> datetime:
    """A point in time. Raises ValueError for anything else."""
    time = datetime.fromisoformat(read_text(value))
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time


def check_shared(facts: Mapping[str, str]) -> None:
    """Refuses facts that nobody would compare, and the lack of those that decide. Raises StateError."""
    if unknown := set(facts) - set(SHARED):
        raise StateError(f"it depends on {min(unknown)!r}, which this version doesn't know")
    if missing := _REQUIRED - set(facts):
        raise StateError(f"it doesn't say for which {min(missing)} it was made")


def _check_facts(fingerprint: Fingerprint) -> None:
    check_shared(fingerprint.shared)
    local = set(fingerprint.local)
    if unknown := {name for name in local - set(LOCAL) if not name.startswith(FILE_FACT)}:
        raise StateError(f"it depends on {min(unknown)!r}, which this version doesn't know")
    if missing := set(LOCAL) - local:
        raise StateError(f"it doesn't say for which {min(missing)} it was made")
    try:
        int(fingerprint.local["cpus"], 16)
    except ValueError:
        raise StateError("its CPUs are no mask") from None
