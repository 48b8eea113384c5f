"""What systemd knows of the daemon."""

from dataclasses import dataclass
from datetime import UTC, datetime

from graviton_agent.installed import SERVICE
from graviton_agent.units.bus import Bus
from graviton_agent.units.manager import read_properties

MICROSECONDS = 1_000_000
_UP = {"active", "activating", "reloading", "deactivating"}
_NOT_THERE = {"not-found": "not installed", "masked": "masked"}


@dataclass(frozen=True)
class Daemon:
    """The agent's service."""

    state: str
    """"active", "activating", "failed", "inactive", "not installed", "masked"."""
    since: datetime | None
    """Since when it is so."""
    says: str
    """What it tells systemd of itself, in a line; empty if nothing."""


def read_daemon(bus: Bus) -> Daemon:
    """Asks PID 1. Raises BusError."""
    properties = read_properties(bus, SERVICE)
    state: str = properties["ActiveState"][1]
    load_state = properties["LoadState"][1]
    if load_state in _NOT_THERE:
        return Daemon(_NOT_THERE[load_state], None, "")
    changed = properties["StateChangeTimestamp"][1]
    return Daemon(
        state=state,
        since=datetime.fromtimestamp(changed / MICROSECONDS, UTC) if changed else None,
        # systemd keeps the last words of a service that has ended.
        says=properties["StatusText"][1] if state in _UP else "",
    )
