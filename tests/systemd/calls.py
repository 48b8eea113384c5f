"""What tests send over the bus and the agent never does: it restarts no unit, and forges no signal."""

from typing import Any

from jeepney import DBusAddress, HeaderFields, Message, new_signal

from graviton_agent.units.bus import Call
from graviton_agent.units.manager import MANAGER, MANAGER_PATH


def restart_unit(name: str) -> Call:
    """Restarts a unit, or starts it; the answer's first value is the path of the job."""
    return Call(MANAGER_PATH, MANAGER, "RestartUnit", "ss", (name, "replace"))


def forged(
    destination: str, member: str, signature: str | None = None, body: tuple[Any, ...] = ()
) -> Message:
    """A signal that looks like PID 1's, for one connection alone: no rule keeps that away."""
    signal = new_signal(DBusAddress(MANAGER_PATH, interface=MANAGER), member, signature, body)
    signal.header.fields[HeaderFields.destination] = destination
    return signal
