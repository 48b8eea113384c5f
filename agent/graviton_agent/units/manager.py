"""What PID 1 offers over D-Bus, as far as the agent uses it [org.freedesktop.systemd1(5)]."""

from collections.abc import Mapping, Sequence
from typing import Any

from graviton_agent.units.bus import SYSTEMD, Bus, Call

MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = f"{SYSTEMD}.Manager"
UNIT = f"{SYSTEMD}.Unit"
SERVICE = f"{SYSTEMD}.Service"
PROPERTIES = "org.freedesktop.DBus.Properties"

Properties = Mapping[str, tuple[str, Any]]
"""Properties by name: the value's D-Bus signature, and the value."""

AT_ONCE = 50
"""Calls side by side: what their answers take waits in the memory of the bus."""

RELOAD = Call(MANAGER_PATH, MANAGER, "Reload")

_FROM_SYSTEMD = f"type='signal',sender='{SYSTEMD}'"
JOB_ENDS = f"{_FROM_SYSTEMD},interface='{MANAGER}',member='JobRemoved'"
RELOADS = f"{_FROM_SYSTEMD},interface='{MANAGER}',member='Reloading'"
"""Comes before and after each daemon-reload, with true and false. UnitNew and UnitRemoved come by hundreds
then, also for units that did not change, and are better not asked for."""


def changes_of(unit: str) -> str:
    """The rule for changes of one unit's properties. A new InvocationID among them means a new start."""
    return f"{_FROM_SYSTEMD},interface='{PROPERTIES}',member='PropertiesChanged',path='{unit_path(unit)}'"


def unit_path(name: str) -> str:
    """The object path of a unit, loaded or not: asking for its properties loads it.

    Every byte but letters and digits, and a digit at the beginning, is escaped
    [systemd src/basic/bus-label.c, bus_label_escape].
    """
    escaped = "".join(
        chr(byte)
        if chr(byte).isalnum() and byte < 128 and not (at == 0 and chr(byte).isdigit())
        else f"_{byte:02x}"
        for at, byte in enumerate(name.encode("utf-8", "surrogateescape"))
    )
    return f"{MANAGER_PATH}/unit/{escaped or '_'}"


def get_all(path: str, interface: str) -> Call:
    """All properties of one interface, or of all with ""; the answer's first value is a Properties."""
    return Call(path, PROPERTIES, "GetAll", "s", (interface,))


def get(path: str, interface: str, name: str) -> Call:
    """One property; the answer's first value is a pair of signature and value."""
    return Call(path, PROPERTIES, "Get", "ss", (interface, name))


def list_units(patterns: Sequence[str]) -> Call:
    """The units that PID 1 has loaded and whose names match; the first of each answered unit is its name."""
    return Call(MANAGER_PATH, MANAGER, "ListUnitsByPatterns", "asas", ([], list(patterns)))


def start_unit(name: str) -> Call:
    """Starts a unit; the answer's first value is the path of the job."""
    return Call(MANAGER_PATH, MANAGER, "StartUnit", "ss", (name, "replace"))


def stop_unit(name: str) -> Call:
    """Stops a unit; the answer's first value is the path of the job."""
    return Call(MANAGER_PATH, MANAGER, "StopUnit", "ss", (name, "replace"))


def kill_unit(name: str, signal: int) -> Call:
    """Sends a signal to every process of a unit."""
    return Call(MANAGER_PATH, MANAGER, "KillUnit", "ssi", (name, "all", signal))


def start_transient_unit(name: str, properties: Sequence[tuple[str, tuple[str, Any]]]) -> Call:
    """Makes a unit out of properties and starts it; the answer's first value is the path of the job."""
    signature = "ssa(sv)a(sa(sv))"
    return Call(MANAGER_PATH, MANAGER, "StartTransientUnit", signature, (name, "fail", list(properties), []))


def reset_failed(name: str) -> Call:
    """Forgets that a unit failed."""
    return Call(MANAGER_PATH, MANAGER, "ResetFailedUnit", "s", (name,))


def unref_unit(name: str) -> Call:
    """Lets go of the reference by which AddRef keeps a unit that has ended."""
    return Call(MANAGER_PATH, MANAGER, "UnrefUnit", "s", (name,))


def manager_environment(bus: Bus) -> dict[str, str]:
    """The variables that PID 1 gives to every service. They are in no unit's own properties.

    Raises BusError.
    """
    ((_, assignments),) = bus.call(get(MANAGER_PATH, MANAGER, "Environment"))
    return dict(assignment.partition("=")[::2] for assignment in assignments)


def read_properties(bus: Bus, name: str) -> Properties:
    """All that PID 1 knows of a service, whether it runs or not. Raises BusError."""
    # Without the name of an interface PID 1 tells the properties of all
    # [systemd src/libsystemd/sd-bus/bus-objects.c, process_get_all].
    (properties,) = bus.call(get_all(unit_path(name), ""))
    found: Properties = properties
    return found


def read_properties_of_all(bus: Bus, names: Sequence[str]) -> dict[str, Properties]:
    """The same of many services; those that PID 1 can't load are left out. Raises BusError."""
    found: dict[str, Properties] = {}
    for at in range(0, len(names), AT_ONCE):
        some = names[at : at + AT_ONCE]
        answers = bus.call_all([get_all(unit_path(name), "") for name in some])
        found |= {
            name: answer[0] for name, answer in zip(some, answers, strict=True) if isinstance(answer, tuple)
        }
    return found
