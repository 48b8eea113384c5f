"""Makes the environment files what they must be. This is the daemon's purpose, in one pass over the units."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from graviton_agent.configuration.compiled import Calibrate, Configuration
from graviton_agent.errors import StateError
from graviton_agent.host import Verdict, read_host
from graviton_agent.installed import CALIBRATED, ENVIRONMENT, SERVICE, STATE
from graviton_agent.patience import Patience
from graviton_agent.profiles.application import State, unfit
from graviton_agent.profiles.assessment import Assessment, Circumstances, assess, silent
from graviton_agent.profiles.facts import observe_host
from graviton_agent.profiles.fleet_folders import FleetFolders
from graviton_agent.profiles.reverts import RevertStore
from graviton_agent.profiles.store import ProfileStore
from graviton_agent.profiles.survey import managed_units, patterns, template_files
from graviton_agent.root import Root
from graviton_agent.service.configured import RECORD, Configured
from graviton_agent.service.marks import Mark, Marks
from graviton_agent.units.bus import Bus
from graviton_agent.units.environment_file import EnvironmentFile
from graviton_agent.units.identity import FILE_FACT
from graviton_agent.units.manager import list_units, manager_environment, read_properties_of_all
from graviton_agent.units.names import environment_file_name, is_service_name, template_of
from graviton_agent.units.placing import Placed, place
from graviton_agent.units.unit import PROPERTIES, Unit, UnitError, unit_of
from graviton_agent.units.unit_files import UnitFiles

if TYPE_CHECKING:
    from graviton_agent.service.publication import Publication

Say = Callable[[str], object]
"""Takes a line for the journal."""

RUNNING = {"active", "reloading", "activating"}
SUFFIX = environment_file_name("")


@dataclass(frozen=True)
class View:
    """One managed unit as a pass found it."""

    name: str
    state: State
    reason: str
    policy: Calibrate
    budget_seconds: float
    """How long its calibration may take."""
    is_running: bool
    is_settled: bool
    """Whether there is a result that holds for it, if only that the default is best, or can't be one."""
    wants_calibration: bool
    """Whether it isn't settled, or by so poor a result that another try is worth while in a quiet time."""
    has_file: bool
    files: frozenset[str] = frozenset()
    """Paths on which what it gets depends."""
    slice: str = "system.slice"
    control_group: str | None = None
    """None while nothing runs."""
    hangs: bool = False
    """Whether its files didn't answer, so that it gets nothing until they do."""


@dataclass(frozen=True)
class Overview:
    """What a pass over all units came to."""

    configuration: Configuration
    not_graviton: str | None
    """Why nothing is written at all; None where something is."""
    units: Mapping[str, View] = field(default_factory=dict)
    problem: str | None = None
    """What could not be done for some units, such as to write a file on a full disk; a clause."""
    is_up: bool = True
    """Whether the agent is up; if not, nothing was put in place."""


@dataclass(frozen=True)
class _Seen:
    """A unit as PID 1 described it, and what that came to."""

    unit: Unit
    assessment: Assessment
    hangs: bool = False


class Upkeep:
    """Looks at units and keeps their environment files. It waits for PID 1 and for disks."""

    def __init__(
        self,
        root: Root,
        *,
        say: Say,
        connect: Callable[[], Bus] | None = None,
        configured: Configured | None = None,
        patience: Patience | None = None,
        is_up: Callable[[Bus], bool] = lambda _: True,
    ) -> None:
        """Takes where to look, and what tests and gates do otherwise.

        Args:
            root: of this machine.
            say: takes what is worth a line in the journal.
            connect: makes a connection to the bus.
            configured: reads the configuration.
            patience: waits for units' files.
            is_up: whether the agent is up, for a process that may outlive it: then nothing is put in place.
        """
        self._root = root
        self._say = say
        self._is_up = is_up
        self.patience = patience or Patience()
        self._connect = connect or (lambda: Bus.connect(wanted=PROPERTIES))
        self._environment = root.path / ENVIRONMENT.lstrip("/")
        self._marks = Marks(root.path / CALIBRATED.lstrip("/"))
        self._store = ProfileStore.below(root)
        self._prefix = "" if root.is_this_machine else str(root.path)
        self._configured = configured or Configured(root.path / STATE.lstrip("/") / RECORD)
        self._configuration: Configuration | None = None
        self._enabled_instances: list[str] = []
        self._host = read_host(root)
        self._not_graviton = None if self._host.verdict is Verdict.GRAVITON else self._host.reason
        self._publication: Publication | None = None
        self._seen: dict[str, _Seen] = {}

    def look(self, names: frozenset[str] | None = None) -> Overview:
        """Looks at these units, or at the configuration and all units, and does what follows.

        Raises AgentError if PID 1, the configuration or the lock can't be had; what is written then stays.
        """
        configuration = self._read_configuration() if names is None else self._configuration
        if configuration is None:
            return self.look()
        with self._connect() as bus:
            manager = manager_environment(bus)
            wanted = self._managed(bus, configuration) if names is None else sorted(names)
            found = read_properties_of_all(bus, wanted)
            units = {name: unit_of(properties) for name, properties in found.items()}
            with self._store.locked():
                profiles, broken = self._store.read_all()
                given = Circumstances(
                    configuration=configuration,
                    host=observe_host(self._root),
                    not_graviton=self._not_graviton,
                    manager=manager,
                    profiles=profiles,
                    broken=broken,
                    reverts=RevertStore(self._store.state).read(),
                    fleet=FleetFolders(self._root),
                    root=self._root,
                )
                if names is None:
                    self._seen = {}
                self._seen |= self._assess_all(units, given)
                placed = self._write(bus, configuration, names)
        problems = [error.message for error in placed.failures.values()]
        problems += self._mark(configuration)
        having = set(self._files())
        views = {
            name: view
            for name, seen in self._seen.items()
            if (view := _view(name, seen, configuration, has_file=name in having)) is not None
        }
        return Overview(
            configuration, self._not_graviton, views, problems[0] if problems else None, placed.is_up
        )

    def publish(self) -> None:
        """Writes the metrics, where they have changed since."""
        # Units wait for READY, and READY for no module of this.
        from graviton_agent.service.publication import Publication  # noqa: PLC0415

        if self._configuration is None:
            return
        self._publication = self._publication or Publication(self._root, self._host)
        seen = {name: (seen.unit, seen.assessment) for name, seen in self._seen.items()}
        try:
            self._publication.publish(self._configuration, seen)
        except StateError as error:
            self._say(error.message)

    def leave(self) -> None:
        """Sees to it that nothing is left where the agent isn't wanted any more.

        systemd removes a service's runtime directories when it stops it, but not if it was masked first, as
        by `systemctl mask --now`: then it has forgotten them [seen with systemd 252 and 257].
        """
        if UnitFiles(self._prefix).is_masked(SERVICE):
            self._remove_all()

    def mark(self, unit: str) -> Mark | None:
        """What has become of a unit that waits before its start."""
        return self._marks.read(unit)

    def _read_configuration(self) -> Configuration:
        files = UnitFiles(self._prefix)
        self._enabled_instances = files.wanted_instances()
        self._configuration = None
        try:
            self._configuration = self._configured.read(files)
        except StateError:
            # What has changed may have been meant to hold the agent back.
            self._remove_all()
            raise
        return self._configuration

    def _managed(self, bus: Bus, configuration: Configuration) -> tuple[str, ...]:
        asked = patterns(configuration)
        (loaded,) = bus.call(list_units(asked)) if asked else ((),)
        known = {*(entry[0] for entry in loaded), *self._enabled_instances, *self._store.units()}
        return managed_units(configuration, known)

    def _assess_all(self, units: Mapping[str, Unit], given: Circumstances) -> dict[str, _Seen]:
        """What becomes of each; one whose files don't answer costs the others nothing."""
        tasks = {name: partial(_assess, name, unit, given) for name, unit in units.items()}
        assessed = self.patience.each(tasks)
        return {
            name: _Seen(unit, assessed.get(name) or silent(name), hangs=name not in assessed)
            for name, unit in units.items()
        }

    def _write(self, bus: Bus, configuration: Configuration, names: frozenset[str] | None) -> Placed:
        """Removes what must not be there, and writes what differs, for these units and their templates.

        What was seen of others may be out of date: a command may have changed their profiles since.
        """

        def is_meant(name: str) -> bool:
            return names is None or name in names or name in map(template_of, names)

        for name, seen in self._seen.items():
            if is_meant(name):
                self._keep(seen.assessment)
        found = {name: (seen.unit, seen.assessment.application) for name, seen in self._seen.items()}
        wanted = {
            **dict.fromkeys(self._files()),
            **{name: application.file for name, (_, application) in found.items()},
            **template_files(configuration, found),
        }
        placed = place(
            self._environment,
            {name: file for name, file in wanted.items() if is_meant(name)},
            is_up=partial(self._is_up, bus),
        )
        for name in placed.written:
            self._say(f"{name} gets {_in_words(wanted[name])}")
        for name in placed.removed:
            reason = found[name][1].reason if name in found else "nothing holds for all its instances"
            self._say(f"{name} gets nothing any more: {reason if placed.is_up else 'the agent is not up'}")
        return placed

    def _mark(self, configuration: Configuration) -> list[str]:
        """Opens the gates of units that are dealt with, and closes others. Returns what could not be done."""
        try:
            for name, seen in self._seen.items():
                managed = configuration.unit(name)
                if managed and managed.calibrate is Calibrate.BEFORE_START:
                    self._marks.update(name, is_settled=not seen.assessment.wants_calibration)
        except StateError as error:
            return [error.message]
        return []

    def _keep(self, assessment: Assessment) -> None:
        """Keeps what was taken from the fleet's profiles, so that it isn't looked for at every look."""
        profile = assessment.profile
        if profile is None or not assessment.is_new:
            return
        try:
            self._store.write(profile)
        except StateError as error:
            # It holds all the same, and is taken again at the next look.
            self._say(error.message)
        else:
            self._say(f"{profile.unit} takes {profile.origin}")

    def _remove_all(self) -> None:
        """Sees to it that no unit gets anything. Raises StateError for the first file that stays."""
        place(self._environment, dict.fromkeys(self._files()), is_up=lambda: True).raise_first()

    def _files(self) -> Iterable[str]:
        """The units that have an environment file."""
        names = Root(self._environment).entries("")
        units = (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
        return [unit for unit in units if is_service_name(unit)]


def _assess(name: str, unit: Unit, given: Circumstances) -> Assessment:
    if unit.name != name:
        return Assessment(unfit(name, UnitError(f"it is another name of {unit.name}")))
    return assess(unit, given)


def _is_due(assessment: Assessment) -> bool:
    """Whether its calibration said nothing, and that long enough ago."""
    profile = assessment.profile
    inconclusive = assessment.application.state is State.INCONCLUSIVE
    return inconclusive and profile is not None and profile.is_due(datetime.now(UTC))


def _view(name: str, seen: _Seen, configuration: Configuration, *, has_file: bool) -> View | None:
    managed = configuration.unit(name)
    if managed is None:
        return None
    application, profile = seen.assessment.application, seen.assessment.profile
    facts = {
        *(application.file.made_for if application.file else ()),
        *(profile.fingerprint.files if profile else ()),
    }
    return View(
        name=name,
        state=application.state,
        reason=application.reason,
        policy=managed.calibrate,
        budget_seconds=managed.budget_seconds,
        is_running=seen.unit.active_state in RUNNING,
        is_settled=not seen.assessment.wants_calibration,
        wants_calibration=seen.assessment.wants_calibration or _is_due(seen.assessment),
        has_file=has_file,
        files=frozenset(fact.removeprefix(FILE_FACT) for fact in facts if fact.startswith(FILE_FACT)),
        slice=seen.unit.slice,
        control_group=seen.unit.control_group,
        hangs=seen.hangs,
    )


def _in_words(file: EnvironmentFile | None) -> str:
    return " ".join(f"{name}={value}" for name, value in file.environment.items()) if file else "nothing"
