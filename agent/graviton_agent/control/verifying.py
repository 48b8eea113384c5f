"""Compares what runs with what is in place."""

from collections.abc import Iterable
from functools import partial

from graviton_agent.control.scene import Outlook, Scene
from graviton_agent.errors import ExitCode
from graviton_agent.profiles.application import State
from graviton_agent.units import environment_file
from graviton_agent.units.environment_file import NAMES
from graviton_agent.units.held import UnitEnvironment, unit_environment
from graviton_agent.units.manager import list_units
from graviton_agent.units.names import is_template
from graviton_agent.units.unit import Unit, read_unit
from graviton_agent.units.verify import Expectation, Sync, Verification, verify


def verify_unit(scene: Scene, outlook: Outlook) -> Verification:
    """Looks at the processes of a unit. Raises AgentError if they can't be looked at."""
    unit, subject = outlook.unit, outlook.assessment.subject
    if unit is None:
        return Verification(outlook.name, Sync.NOT_RUNNING, ())
    environment = subject.environment if subject else unit_environment(unit, scene.manager, scene.root)
    expected = Expectation(outlook.before, environment_file.changed(scene.folder, outlook.name))
    return _verify(scene, unit, expected, environment)


def still_changed(scene: Scene, unit: str) -> list[str]:
    """Which of a unit, or a template's running instances, have variables that nobody gives them any more."""
    names = [unit]
    if is_template(unit):
        pattern = unit.replace("\\", "\\\\").replace("@.service", "@*.service")
        (listed,) = scene.bus.call(list_units([pattern]))
        names = [entry[0] for entry in listed]
    return [name for name in names if _restart_helps(scene, read_unit(scene.bus, name))]


def _restart_helps(scene: Scene, unit: Unit) -> bool:
    environment = unit_environment(unit, scene.manager, scene.root)
    expected = Expectation({}, environment_file.changed(scene.folder, unit.name))
    return _verify(scene, unit, expected, environment).sync is Sync.RESTART_NEEDED


def _verify(scene: Scene, unit: Unit, expected: Expectation, environment: UnitEnvironment) -> Verification:
    again = partial(read_unit, scene.bus, unit.name)
    return verify(unit, expected, environment, NAMES, scene.root, again=again)


def exit_code(verified: Iterable[tuple[Outlook, Verification]]) -> ExitCode:
    """What it comes to for scripts: the first of these that any unit has."""
    pairs = list(verified)
    syncs, states = {found.sync for _, found in pairs}, {outlook.state for outlook, _ in pairs}
    if Sync.OVERRIDDEN in syncs:
        return ExitCode.DRIFT
    if Sync.RESTART_NEEDED in syncs:
        return ExitCode.RESTART_NEEDED
    return ExitCode.STALE if State.STALE in states else ExitCode.OK
