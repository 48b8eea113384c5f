"""Looks at one unit and says what it gets: the one way from what there is to what is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graviton_agent.configuration.compiled import Configuration
from graviton_agent.errors import AgentError, StateError
from graviton_agent.profiles.adoption import Adoption, adopt, is_withdrawn
from graviton_agent.profiles.application import (
    Application,
    State,
    best,
    candidates,
    decide,
    uncalibrated,
    unfit,
    unmanaged,
    without_profile,
)
from graviton_agent.profiles.facts import HostFacts, observe_present
from graviton_agent.profiles.fleet_folders import FleetFolders
from graviton_agent.profiles.profile import Profile
from graviton_agent.profiles.reverts import Reverts
from graviton_agent.profiles.subject import Subject, make_subject
from graviton_agent.root import Root
from graviton_agent.units.names import template_of
from graviton_agent.units.unit import Unit, UnitError

SILENT = "its files don't answer"
SILENT_HINT = "a file system that they are on may be dead: the unit is looked at again as soon as they answer"

OPEN = {State.UNCALIBRATED, State.STALE, State.INCONCLUSIVE}
"""Where this host has no answer of its own, so that the fleet's counts."""


@dataclass(frozen=True)
class Circumstances:
    """What is the same for all units. Nothing here is read again while they are assessed."""

    configuration: Configuration
    host: HostFacts
    not_graviton: str | None
    """Why this host is not known to be a Graviton; None if it is."""
    manager: Mapping[str, str]
    """The variables that PID 1 gives to every service."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    broken: Mapping[str, StateError] = field(default_factory=dict)
    """The units whose profile can't be read."""
    reverts: Reverts = field(default_factory=Reverts)
    """What the operator has taken back."""
    root: Root = field(default_factory=Root)
    fleet: FleetFolders | None = None
    """Where fleet profiles are looked for; None if they aren't."""

    @property
    def sections(self) -> frozenset[str]:
        """The units and templates that have a section."""
        return frozenset(self.configuration.units) | frozenset(self.configuration.unmanaged)


@dataclass(frozen=True)
class Assessment:
    """One unit, what it gets, and what that follows from."""

    application: Application
    subject: Subject | None = None
    """None where it isn't managed, or can't be."""
    profile: Profile | None = None
    """The profile that counts for it: its own, another instance's of its template, or the fleet's."""
    is_new: bool = False
    """Whether the profile was taken from the fleet's by this look, and is to be kept."""

    @property
    def wants_calibration(self) -> bool:
        """Whether there is nothing that holds for it; the unit's policy says when it is calibrated."""
        return self.application.state in {State.UNCALIBRATED, State.STALE}


def assess(unit: Unit, given: Circumstances) -> Assessment:
    """What a unit gets now. Nothing is started, and nothing raised for what a unit may be like.

    Args:
        unit: the service as PID 1 has loaded it.
        given: everything else.
    """
    managed = given.configuration.unit(unit.name)
    if managed is None:
        return Assessment(unmanaged(unit.name, why_unmanaged(unit.name, given.configuration)))
    try:
        subject = make_subject(unit, managed, given.manager, given.root)
    except AgentError as error:
        return Assessment(unfit(unit.name, error))
    unless = without_profile(unit.name, not_graviton=given.not_graviton, reverted=given.reverts.of(unit.name))
    found = [
        (_decide(subject, profile, given), profile)
        for profile in candidates(unit.name, given.profiles, given.sections)
        if not is_withdrawn(profile, given.root)
    ]
    application = best([application for application, _ in found], unit.name)
    if unless is None and application.state in OPEN:
        adoptions = () if given.fleet is None else adopt(subject, given.host, given.fleet, given.root)
        taken = next((adoption.profile for adoption in adoptions if adoption.profile is not None), None)
        if taken is not None:
            return Assessment(_decide(subject, taken, given), subject, taken, is_new=True)
        if not found:
            application = _uncalibrated(unit.name, given, adoptions)
    profile = next((profile for known, profile in found if known is application), None)
    return Assessment(unless or application, subject, profile)


def _decide(subject: Subject, profile: Profile, given: Circumstances) -> Application:
    present = observe_present(subject, given.host, profile.fingerprint, given.root)
    return decide(present, profile, is_exception=given.reverts.is_exception(subject.name))


def silent(unit: str) -> Assessment:
    """What a unit gets whose files nobody could look at: nothing, for nobody knows what they have become."""
    return Assessment(unfit(unit, UnitError(SILENT, hint=SILENT_HINT)))


def _uncalibrated(unit: str, given: Circumstances, adoptions: Sequence[Adoption]) -> Application:
    if unit in given.broken:
        return Application(unit, State.UNCALIBRATED, given.broken[unit].message)
    for adoption in adoptions:
        reason = f"{adoption.path} doesn't hold here: {'; '.join(adoption.differences)}"
        return Application(unit, State.UNCALIBRATED, reason, differences=adoption.differences)
    return uncalibrated(unit)


def why_unmanaged(unit: str, configuration: Configuration) -> str:
    """Why the configuration leaves a unit alone."""
    if not configuration.enabled:
        return "the agent is switched off (enabled = false)"
    for name in (unit, template_of(unit) or ""):
        if name in configuration.unmanaged:
            return configuration.unmanaged[name]
    return "it has no section in the configuration"
