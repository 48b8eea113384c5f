"""What follows from a profile for a unit now: an environment file, or the reason why there is none.

Pure: the daemon, `plan` and `apply` all draw their conclusions here, so that what one foretells the others
do. `assessment.assess` is the way to it for one unit; a template's file follows from its instances'.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.errors import AgentError
from graviton_agent.profiles.facts import Present
from graviton_agent.profiles.profile import Profile
from graviton_agent.settings.catalogue import setting_of
from graviton_agent.units.environment_file import EnvironmentFile
from graviton_agent.units.held import Held, UnitEnvironment
from graviton_agent.units.identity import FILE_FACT
from graviton_agent.units.names import instance_of, template_of
from graviton_agent.units.unit import Unit

NO_PROFILE = "it has no profile"


class State(StrEnum):
    """Where a unit stands."""

    APPLIED = "applied"
    """It has a profile that holds, and an environment file by it."""
    DEFAULT = "default"
    """It was calibrated, and the default won."""
    INCONCLUSIVE = "inconclusive"
    """It was calibrated, and noise or time left it open."""
    HELD = "held"
    """All that its profile would set, the operator has set by now."""
    REVERTED = "reverted"
    """The operator wants none of it, whatever is found meanwhile."""
    STALE = "stale"
    UNCALIBRATED = "not calibrated"
    NOT_GRAVITON = "not a Graviton"
    UNREAD = "to be reloaded"
    """Its profile holds for the unit that systemd knows, and its files have changed since."""
    UNMANAGED = "not managed"
    UNFIT = "unfit"
    """It can't be managed as it is: its Python can't be told, its file is missing, its profile is broken."""


@dataclass(frozen=True)
class Application:
    """What a unit gets, and why."""

    unit: str
    state: State
    reason: str
    """A clause without a full stop, for people."""
    file: EnvironmentFile | None = None
    """What its environment file must be; None: it must have none."""
    held: tuple[Held, ...] = ()
    """What the profile would set and the operator decides."""
    differences: tuple[str, ...] = ()
    """What makes the profile stale."""
    hint: str | None = None
    """What to do about it, where that is known."""
    is_exception: bool = False
    """Whether it gets this although its template is reverted, so that nothing follows for its siblings."""

    @property
    def variables(self) -> Mapping[str, str]:
        """What the unit's processes get by it."""
        return {} if self.file is None else self.file.environment


def decide(present: Present, profile: Profile, *, is_exception: bool = False) -> Application:
    """What a managed unit gets now by a profile.

    Args:
        present: the unit as it is, seen with the profile's fingerprint.
        profile: its own, or another instance's of its template.
        is_exception: whether its template is reverted, and this instance was taken up all the same.
    """
    name = present.subject.name
    if differences := profile.fingerprint.differences(present.fingerprint):
        return Application(name, State.STALE, "; ".join(differences), differences=differences)
    where = "" if profile.origin is None else f" elsewhere, by {profile.origin}"
    when = f"calibrated on {profile.calibrated.date()}{where}"
    if profile.outcome is Outcome.KEEP:
        return Application(name, State.DEFAULT, f"{when}: {profile.reason}")
    if profile.outcome is Outcome.INCONCLUSIVE:
        return Application(name, State.INCONCLUSIVE, f"{when}: {profile.reason}")
    held = {
        variable.name: by
        for variable in profile.variables
        if (by := holder(present.subject.environment, variable.name)) is not None
    }
    free = tuple(variable for variable in profile.variables if variable.name not in held)
    if not free:
        sources = ", ".join(dict.fromkeys(by.source for by in held.values()))
        return Application(name, State.HELD, f"decided by {sources}", held=tuple(held.values()))
    if present.is_unread:
        hint = "systemctl daemon-reload"
        return Application(name, State.UNREAD, "systemd has not read its changed files", hint=hint)
    reason = f"at least {profile.promised:.2f}x as fast, {when}"
    file = EnvironmentFile(name, present.made_for, free)
    return Application(
        name, State.APPLIED, reason, file, held=tuple(held.values()), is_exception=is_exception
    )


def without_profile(unit: str, *, not_graviton: str | None, reverted: datetime | None) -> Application | None:
    """What a managed unit gets whatever its profile says; None if that counts.

    Args:
        unit: its name.
        not_graviton: why this host is not known to be a Graviton; None if it is.
        reverted: since when the operator wants none of it, whatever is found meanwhile; None if not.
    """
    if not_graviton is not None:
        return Application(unit, State.NOT_GRAVITON, not_graviton)
    if reverted is not None:
        return Application(unit, State.REVERTED, f"reverted on {reverted.date()}")
    return None


def uncalibrated(unit: str) -> Application:
    """What a managed unit without a profile gets: nothing."""
    return Application(unit, State.UNCALIBRATED, NO_PROFILE)


def unmanaged(unit: str, reason: str) -> Application:
    """What a unit gets that the configuration doesn't name, or disables."""
    return Application(unit, State.UNMANAGED, reason)


def unfit(unit: str, error: AgentError) -> Application:
    """What a unit gets that can't be managed as it is."""
    return Application(unit, State.UNFIT, error.message, hint=error.hint)


def holder(environment: UnitEnvironment, variable: str) -> Held | None:
    """Who decides on a variable in the agent's place, by its own name or by one that decides the same."""
    names = (variable, *setting_of(variable).aliases)
    return next((held for name in names if (held := environment.of(name)) is not None), None)


def candidates(unit: str, profiles: Mapping[str, Profile], sections: Collection[str]) -> tuple[Profile, ...]:
    """The profiles that may count for a unit, the best first: its own, then those of its sibling instances.

    Siblings share their template's section, and what was found for one holds for another with the same facts.
    An instance with a section of its own is on its own.

    Args:
        unit: its name.
        profiles: all that there are.
        sections: the names of all units and templates that have a section.
    """
    own = [profiles[unit]] if unit in profiles else []
    template = template_of(unit)
    if template is None or unit in sections:
        return tuple(own)
    siblings = [
        profile
        for name, profile in profiles.items()
        if name != unit and name not in sections and template_of(name) == template
    ]
    return (*own, *sorted(siblings, key=lambda profile: (profile.calibrated, profile.unit), reverse=True))


def best(applications: Sequence[Application], unit: str) -> Application:
    """Of what would follow from each of a unit's candidates: the first that holds, else what its own says."""
    if not applications:
        return uncalibrated(unit)
    return next((found for found in applications if found.state is not State.STALE), applications[0])


def template_file(template: str, instances: Iterable[tuple[Unit, Application]]) -> EnvironmentFile | None:
    """The file of a template, which instances read that nobody has heard of yet; None if there must be none.

    The check of one instance that differs would withdraw it for all: so there is one only where all known
    instances get the same by the same facts. What is about one instance's own files is left out.
    """
    # An instance that is taken up although the template is reverted is on its own.
    files = [(unit, None if found.is_exception else found.file) for unit, found in instances]
    made = {_without_instance(unit, file) for unit, file in files if file is not None}
    if len(made) != 1 or any(file is None for _, file in files):
        return None
    first = next(file for _, file in files if file is not None)
    facts, _ = next(iter(made))
    return EnvironmentFile(template, dict(facts), first.variables)


def _without_instance(
    unit: Unit, file: EnvironmentFile
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """The facts and variables that don't name the instance."""
    own = {unit.name, instance_of(unit.name)}
    facts = (
        (name, text)
        for name, text in file.made_for.items()
        if not name.startswith(FILE_FACT) or not own & _parts(name)
    )
    return tuple(facts), tuple(sorted(file.environment.items()))


def _parts(fact: str) -> set[str]:
    """What the path of a fact about a file is made of, the names of drop-in folders as their units'."""
    return {part.removesuffix(".d") for part in fact.removeprefix(FILE_FACT).split("/")}
