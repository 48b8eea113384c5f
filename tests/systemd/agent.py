"""Short ways to ask the agent, from inside a container."""

from graviton_agent.root import Root
from graviton_agent.units.bus import Bus
from graviton_agent.units.held import UnitEnvironment, unit_environment
from graviton_agent.units.interpreter import Interpreter, find_interpreter
from graviton_agent.units.manager import manager_environment
from graviton_agent.units.unit import Unit, read_unit


def unit_named(name: str) -> Unit:
    """What systemd knows of the unit."""
    with Bus.connect() as bus:
        return read_unit(bus, name)


def environment_of(name: str) -> UnitEnvironment:
    """What the unit gets from everybody but the agent."""
    with Bus.connect() as bus:
        return unit_environment(read_unit(bus, name), manager_environment(bus), Root())


def interpreter_of(name: str) -> Interpreter:
    """The unit's Python."""
    with Bus.connect() as bus:
        unit = read_unit(bus, name)
        return find_interpreter(unit, unit_environment(unit, manager_environment(bus), Root()), Root())
