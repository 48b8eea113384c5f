"""A managed unit with what the operator has decided for it: what a calibration and a profile are for."""

from collections.abc import Mapping
from dataclasses import dataclass

from graviton_agent.configuration.compiled import ManagedUnit
from graviton_agent.root import Root
from graviton_agent.settings.threads import Threads
from graviton_agent.units.held import UnitEnvironment, unit_environment
from graviton_agent.units.interpreter import Interpreter, find_interpreter
from graviton_agent.units.unit import Unit, UnitError, require_loaded


@dataclass(frozen=True)
class Subject:
    """A unit, how it is to be managed, its Python, and every variable that is not the agent's to set."""

    unit: Unit
    managed: ManagedUnit
    interpreter: Interpreter
    environment: UnitEnvironment
    """Everything that the unit gets from elsewhere, an `env` before its program and pins included."""

    @property
    def name(self) -> str:
        """The unit's name."""
        return self.unit.name

    def on_host(self, path: str) -> str:
        """Where a path of the unit is found on the host."""
        root = (self.unit.root_directory or "").rstrip("/")
        return root + path


def make_subject(unit: Unit, managed: ManagedUnit, manager: Mapping[str, str], root: Root) -> Subject:
    """Finds out about a unit without starting anything.

    Args:
        unit: the service as PID 1 has loaded it.
        managed: what the configuration comes to for it.
        manager: the variables that PID 1 gives to every service.
        root: of this machine.

    Raises UnitError or InterpreterError, whose text is fit for a status line.
    """
    require_loaded(unit)
    if unit.root_image:
        raise UnitError(f"{unit.name} runs from a disk image (RootImage=), where the agent doesn't look")
    environment = unit_environment(unit, manager, root)
    if managed.python is None:
        interpreter = find_interpreter(unit, environment, root)
    else:
        interpreter = Interpreter(managed.python)
    environment = environment.overlaid(interpreter.variables, "the env before its program")
    environment = environment.overlaid(dict(managed.pin), "`pin` in the configuration")
    if managed.threads is not None:
        threads = {Threads.variable: str(managed.threads)}
        environment = environment.overlaid(threads, "`threads` in the configuration")
    return Subject(unit, managed, interpreter, environment)
