"""What a command about units sees: the configuration, the host, systemd and the profiles, each read once."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from graviton_agent.configuration.compiled import Configuration, digest_of, read_compiled
from graviton_agent.configuration.problem import unit_meant
from graviton_agent.errors import AgentError, ExitCode, StateError, UsageError
from graviton_agent.host import Verdict, read_host
from graviton_agent.installed import ENVIRONMENT, STATE
from graviton_agent.patience import Patience
from graviton_agent.profiles.application import Application, State, unfit
from graviton_agent.profiles.assessment import Assessment, Circumstances, assess, silent, why_unmanaged
from graviton_agent.profiles.facts import observe_host
from graviton_agent.profiles.fleet_folders import FleetFolders
from graviton_agent.profiles.reverts import RevertStore
from graviton_agent.profiles.store import ProfileStore
from graviton_agent.profiles.survey import managed_units, patterns, template_files
from graviton_agent.root import Root
from graviton_agent.service.configured import RECORD
from graviton_agent.state import refuse_foreign
from graviton_agent.units import environment_file
from graviton_agent.units.bus import Bus
from graviton_agent.units.environment_file import EnvironmentFile
from graviton_agent.units.manager import list_units, manager_environment
from graviton_agent.units.names import is_service_name, is_template, template_of
from graviton_agent.units.placing import agent_is_up
from graviton_agent.units.unit import Unit, UnitError, read_unit
from graviton_agent.units.unit_files import UnitFiles

NOT_THERE = "not-found"


@dataclass(frozen=True)
class Outlook:
    """One unit: what it gets, and what is in place for it."""

    name: str
    unit: Unit | None
    """None where systemd can't say anything of it."""
    assessment: Assessment
    file: EnvironmentFile | None
    """Its own environment file as it is in place; None also where that is none of the agent's."""
    before: Mapping[str, str]
    """What its processes are given now, its template's file included."""
    after: Mapping[str, str]
    """What they would be given if everything were put in place that may be."""
    is_agent_up: bool = True
    """Whether the agent runs; without it nothing is put in place."""

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.assessment.application.state

    @property
    def application(self) -> Application:
        """What it gets, and why."""
        return self.assessment.application

    @property
    def is_active(self) -> bool:
        """Whether its main process is up."""
        return self.unit is not None and self.unit.is_active

    @property
    def changes(self) -> bool:
        """Whether it would be given something else."""
        return self.before != self.after

    @property
    def renews(self) -> bool:
        """Whether its file says what it is to say, but was made for other files: the next start drops it."""
        wanted, found = self.application.file, self.file
        if self.changes or wanted is None or found is None:
            return False
        return environment_file.render(wanted) != environment_file.render(found)


@dataclass(frozen=True)
class Survey:
    """All units that concern the agent, and the files of templates."""

    outlooks: Mapping[str, Outlook]
    templates: Mapping[str, EnvironmentFile | None]
    """What the file of each managed template must be."""


class Scene:
    """One look at this machine, or at a tree and a bus that stand for one."""

    def __init__(self, bus: Bus, root: Root) -> None:
        """Reads the configuration, the host and the manager's environment. Raises BusError, StateError."""
        self.bus = bus
        self.root = root
        self.prefix = "" if root.is_this_machine else str(root.path)
        self.files = UnitFiles(self.prefix)
        self.configuration = _configuration(root, self.files, self.prefix)
        self.host = read_host(root)
        self.facts = observe_host(root)
        self.manager = manager_environment(bus)
        self.store = ProfileStore.below(root)
        # What stands there is not to be believed if it is somebody else's.
        refuse_foreign(self.store.state)
        self.reverts = RevertStore(self.store.state)
        self.folder = root.path / ENVIRONMENT.lstrip("/")

    def again(self) -> "Scene":
        """Another look: much can have changed while a calibration ran, and consent been withdrawn."""
        return type(self)(self.bus, self.root)

    @property
    def agent_is_up(self) -> bool:
        """Whether the agent runs; nothing is put in place without it. Raises BusError."""
        return agent_is_up(self.bus)

    @property
    def not_graviton(self) -> str | None:
        """Why this host is not known to be a Graviton; None if it is."""
        return None if self.host.verdict is Verdict.GRAVITON else self.host.reason

    def require_managed(self, name: str) -> Unit:
        """A unit that the agent manages, by its name or another one. Raises AgentError with the way on."""
        unit = self.read_unit(name)
        if unit.load_state == NOT_THERE:
            near = unit_meant(name, self.files.names())
            raise UsageError(f"there is no unit {name}", hint=near or "systemctl list-unit-files lists them")
        if self.configuration.unit(unit.name) is None:
            raise self._not_managed(unit)
        return unit

    def select(self, named: Sequence[str]) -> tuple[Outlook, ...]:
        """The units that were named, or all. Raises AgentError for one that isn't managed."""
        names = [self.require_managed(name).name for name in named]
        outlooks = self.survey(names).outlooks
        return tuple(outlooks[name] for name in dict.fromkeys(names)) or tuple(outlooks.values())

    def require_group(self, named: Sequence[str]) -> tuple[str, ...]:
        """The units that were named, by their own names, and templates, which stand for all their instances.

        Raises AgentError for one that isn't managed.
        """
        return tuple(dict.fromkeys(map(self._require_one_or_all, named)))

    def _require_one_or_all(self, name: str) -> str:
        if not is_template(name):
            return self.require_managed(name).name
        if self.configuration.unit(name) is None:
            reason = why_unmanaged(name, self.configuration)
            raise UsageError(f"{name} is not managed: {reason}", hint=f"graviton-agent enable {name}")
        return name

    def read_unit(self, name: str) -> Unit:
        """A unit that was named on the command line, whether it exists or not. Raises AgentError."""
        if is_template(name):
            hint = f"name one of its instances, such as {name.replace('@.', '@1.')}"
            raise UsageError(f"{name} is a template", hint=hint)
        return read_unit(self.bus, name)

    def _not_managed(self, unit: Unit) -> UsageError:
        reason = why_unmanaged(unit.name, self.configuration)
        hint = f"graviton-agent enable {unit.name}"
        if not self.configuration.enabled:
            hint = "set enabled = true in /etc/graviton-agent/graviton-agent.toml"
        elif ": error: " in reason:
            hint = "graviton-agent config check says all that is wrong"
        return UsageError(f"{unit.name} is not managed: {reason}", hint=hint)

    def survey(self, named: Iterable[str] = ()) -> Survey:
        """All units that are managed, or for which a file is in place; profiles and files are read anew.

        Args:
            named: instances that must be among them though nothing else knows of them.
        """
        circumstances = self._circumstances()
        in_place = self._in_place()
        (listed,) = self.bus.call(list_units(asked)) if (asked := patterns(self.configuration)) else ((),)
        known = {
            *named,
            *(entry[0] for entry in listed),
            *self.files.wanted_instances(),
            *self.store.units(),
            *in_place,
        }
        names = {*managed_units(self.configuration, known), *filter(is_no_template, in_place)}
        found = self._look(sorted(names), circumstances)
        is_agent_up = self.agent_is_up
        templates = template_files(
            self.configuration,
            {name: (unit, seen.application) for name, (unit, seen) in found.items() if unit is not None},
        )
        # A template that is managed no more gets no file.
        templates = {**dict.fromkeys(filter(is_template, in_place)), **templates}
        outlooks = {}
        for name, (unit, seen) in found.items():
            # An instance with a section of its own doesn't read its template's file.
            template = "" if name in circumstances.sections else template_of(name) or ""
            after = templates.get(template)
            outlooks[name] = Outlook(
                name,
                unit,
                seen,
                in_place.get(name),
                {**_variables(in_place.get(template)), **_variables(in_place.get(name))},
                {**_variables(after), **seen.application.variables} if is_agent_up else {},
                is_agent_up,
            )
        return Survey(outlooks, templates)

    def _circumstances(self) -> Circumstances:
        profiles, broken = self.store.read_all()
        return Circumstances(
            configuration=self.configuration,
            host=self.facts,
            not_graviton=self.not_graviton,
            manager=self.manager,
            profiles=profiles,
            broken=broken,
            reverts=self.reverts.read(),
            fleet=FleetFolders(self.root),
            root=self.root,
        )

    def _look(
        self, names: Sequence[str], circumstances: Circumstances
    ) -> dict[str, tuple[Unit | None, Assessment]]:
        """Each unit, and what it gets; one whose files don't answer costs the others nothing."""
        found: dict[str, tuple[Unit | None, Assessment]] = {}
        units: dict[str, Unit] = {}
        for name in names:
            try:
                units[name] = self._own_unit(name)
            except UnitError as error:
                found[name] = None, Assessment(unfit(name, error))
        assessed = Patience().each(
            {name: partial(assess, unit, circumstances) for name, unit in units.items()}
        )
        found |= {name: (unit, assessed.get(name) or silent(name)) for name, unit in units.items()}
        return dict(sorted(found.items()))

    def _own_unit(self, name: str) -> Unit:
        """The unit whose own name this is. Raises UnitError for another name of it."""
        unit = read_unit(self.bus, name)
        if unit.name != name:
            hint = f"graviton-agent enable {unit.name}"
            raise UnitError(f"it is another name of {unit.name}", hint=hint)
        return unit

    def _in_place(self) -> dict[str, EnvironmentFile | None]:
        """The environment files that are there, by unit or template; None for one that isn't the agent's."""
        found: dict[str, EnvironmentFile | None] = {}
        for entry in Root(self.folder).entries("."):
            unit = entry.removesuffix(".env")
            if unit != entry and is_service_name(unit):
                try:
                    found[unit] = environment_file.read(self.folder, unit)
                except StateError:
                    found[unit] = None
        return found


def _configuration(root: Root, files: UnitFiles, prefix: str) -> Configuration:
    """The configuration as it stands now: by the daemon's record, where that is up to date."""
    try:
        record = read_compiled(root.path / STATE.lstrip("/") / RECORD)
    except StateError:
        record = None
    if record is not None and record.digest == digest_of(files, prefix):
        return record
    # Checking it takes pydantic, whose import takes longer than all else that a command does.
    from graviton_agent.configuration.load import compile_configuration  # noqa: PLC0415

    return compile_configuration(prefix)


def is_no_template(name: str) -> bool:
    """Whether it is the name of a unit that can run."""
    return not is_template(name)


def _variables(file: EnvironmentFile | None) -> dict[str, str]:
    return {} if file is None else file.environment


def require_root(root: Root) -> None:
    """Raises AgentError unless this may read and write what belongs to others."""
    if root.is_this_machine and os.geteuid() != 0:
        raise AgentError("this needs root: it reads what belongs to other users", hint="run it with sudo")


def exit_code(outlooks: Iterable[Outlook]) -> ExitCode:
    """What the states of units come to for scripts: the first of these that any unit has."""
    states = {outlook.state for outlook in outlooks}
    for state, code in (
        (State.NOT_GRAVITON, ExitCode.NOT_GRAVITON),
        (State.UNFIT, ExitCode.FAILED),
        (State.STALE, ExitCode.STALE),
    ):
        if state in states:
            return code
    return ExitCode.OK
