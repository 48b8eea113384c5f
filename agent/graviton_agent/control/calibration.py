"""Calibrates a managed unit: its workload and bounds, its own Python in its cage, its profile at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from graviton_agent.calibration.environment import MANAGER_PREFIXES, steers
from graviton_agent.calibration.memory import check_memory
from graviton_agent.calibration.probe import probe
from graviton_agent.calibration.session import Request, run_session
from graviton_agent.control.scene import Scene
from graviton_agent.errors import AgentError
from graviton_agent.host import Host
from graviton_agent.installed import STATE
from graviton_agent.profiles.application import holder
from graviton_agent.profiles.facts import Present, observe_calibrated, observe_host
from graviton_agent.profiles.profile import Profile, make_profile
from graviton_agent.profiles.subject import Subject, make_subject
from graviton_agent.record import Record, record_path
from graviton_agent.settings.catalogue import CATALOGUE, markers
from graviton_agent.settings.threads import Threads
from graviton_agent.torch_build import TorchBuild
from graviton_agent.units.cage import Cage
from graviton_agent.units.identity import ABSENT, PROCESS_FACTS, UNSEEN
from graviton_agent.units.unit import Unit, UnitError, read_unit

Narrator = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for beyond the configuration."""

    seed: int
    budget_seconds: float | None = None
    memory_limit: int | None = None
    operators: bool = False
    unasked: bool = False
    """It is the agent that wants it, and the operator may have reverted the unit since it last looked."""


@dataclass(frozen=True)
class Calibrated:
    """What came of it."""

    record: Record
    profile: Profile
    reverted: datetime | None
    """Since when the unit was, as this began. What the operator has said since, this doesn't overrule."""


def calibrate_unit(scene: Scene, name: str, wishes: Wishes, narrate: Narrator) -> Calibrated:
    """Measures, and keeps the record; the profile is returned, and neither kept nor applied.

    Args:
        scene: of this machine.
        name: a unit that is managed.
        wishes: what was asked for.
        narrate: told what goes on.

    Raises AgentError.
    """
    unit = scene.require_managed(name)
    reverted = scene.reverts.read().of(unit.name)
    if reverted is not None and wishes.unasked:
        raise AgentError(f"{unit.name} was reverted", hint=f"graviton-agent calibrate {unit.name}")
    managed = scene.configuration.unit(unit.name)
    assert managed is not None  # noqa: S101 - it was just required
    subject = make_subject(unit, managed, scene.manager, scene.root)
    limits = process_limits(unit)
    # Nothing has been started yet, and of the host what concerns the unit alone is not known.
    outside = replace(scene.host, memory_limit=None)
    check_memory(managed.workload, outside, asked=wishes.memory_limit, each=limits)
    with Cage(
        scene.bus,
        unit.name,
        subject.interpreter,
        timeout_seconds=managed.timeout_seconds,
        root=scene.root,
    ) as cage:
        narrate(f"{unit.name}: looking at its environment and limits")
        given = given_environment(subject, cage.environment())
        inside = cage.observe(PROCESS_FACTS)
        host = host_inside(scene.host, inside)
        request = make_request(subject, wishes, given)
        check_memory(request.workload, host, asked=request.memory_limit, each=request.process_limits)
        narrate(f"{unit.name}: asking {subject.interpreter.path} about its torch")
        torch = probe(
            subject.interpreter.path,
            markers(),
            environment=given,
            seconds=managed.timeout_seconds,
            launcher=cage,
        )
        before = _observe(scene, subject, torch, inside)
        state = scene.root.path / STATE.lstrip("/")
        record = run_session(request, host, torch, given, narrate, launcher=cage, state=state)
        after = _observe(scene, _again(scene, subject), torch, inside)
    if differences := before.fingerprint.differences(after.fingerprint):
        raise AgentError(
            f"{unit.name} changed while it was calibrated: {'; '.join(differences)}",
            hint=f"calibrate it again: graviton-agent calibrate {unit.name}",
        )
    decision = record.decision
    profile = make_profile(
        unit.name,
        after.fingerprint,
        outcome=decision.outcome,
        environment=decision.environment,
        gain=decision.gain,
        gain_interval=decision.gain_interval,
        reason=decision.reason,
        calibrated=record.created,
        record=str(record_path(record, state)),
        seconds=round(record.seconds, 1),
    )
    return Calibrated(record, profile, reverted)


def given_environment(subject: Subject, seen: Mapping[str, str]) -> dict[str, str]:
    """The variables that a trial starts with.

    Over what a process in the unit's place was given lies what an `env` before the program sets, and pins.
    """
    given = dict(seen)
    overlaid = {**subject.interpreter.variables, **subject.managed.pin}
    for name, value in overlaid.items():
        if value is None:
            given.pop(name, None)
        else:
            given[name] = value
    return given


def make_request(subject: Subject, wishes: Wishes, given: Mapping[str, str]) -> Request:
    """What is asked of the calibration: the configuration's word, and the command line's."""
    managed = subject.managed
    held = {
        name: value for name, value in given.items() if steers(name) and not name.startswith(MANAGER_PREFIXES)
    }
    # UnsetEnvironment= and PAM leave no trace in what was given, and decide all the same.
    decided = {
        setting.name
        for setting in CATALOGUE
        if holder(subject.environment, setting.variable)
        and held.keys().isdisjoint({setting.variable, *setting.aliases})
    }
    threads = held.get(Threads.variable, "")
    rules = managed.rules
    if wishes.budget_seconds is not None:
        rules = replace(rules, budget_seconds=wishes.budget_seconds)
    return Request(
        workload=managed.workload,
        rules=rules,
        only=None if managed.settings is None else frozenset(managed.settings),
        forbidden=frozenset(managed.forbid) | decided,
        unconsented=managed.forbidden - set(managed.forbid),
        threads=managed.threads or (int(threads) if threads.isdecimal() and int(threads) else None),
        memory_limit=wishes.memory_limit,
        process_limits=process_limits(subject.unit),
        operators=wishes.operators,
        seed=wishes.seed,
        timeout_seconds=managed.timeout_seconds,
        held=held,
    )


def process_limits(unit: Unit) -> dict[str, int]:
    """What each worker may take, for the cage gives every one the unit's own limits."""
    limits = {"MemoryMax=": unit.memory_max, "MemoryHigh=": unit.memory_high}
    return {f"{key} of {unit.name}": limit for key, limit in limits.items() if limit is not None}


def host_inside(host: Host, inside: Mapping[str, str]) -> Host:
    """The host as the unit's processes may use it."""
    cpus = int(inside["cpus"], 16)
    quota, memory = inside["quota"], inside["memory"]
    return replace(
        host,
        usable_cpus=tuple(cpu for cpu in range(cpus.bit_length()) if cpus >> cpu & 1),
        cpu_quota=None if quota == UNSEEN else int(quota) / 1000,
        memory_limit=None if memory == UNSEEN else int(memory),
    )


def _again(scene: Scene, subject: Subject) -> Subject:
    """The unit as it is by now."""
    return make_subject(read_unit(scene.bus, subject.name), subject.managed, scene.manager, scene.root)


def _observe(scene: Scene, subject: Subject, torch: TorchBuild, inside: Mapping[str, str]) -> Present:
    """What the result depends on. Raises UnitError if the agent can't see it."""
    present = observe_calibrated(subject, observe_host(scene.root), torch, inside, scene.root)
    if present.fingerprint.shared["torch"] == ABSENT:
        raise UnitError(
            f"the torch of {subject.name} is in {torch.location}, where only the unit sees it",
            hint="a calibration holds for one torch, and the agent could not tell if it was another one",
        )
    return present
