"""What tests ask of PID 1 and the agent never does: it restarts nobody's units."""

from graviton_agent.units.bus import Call
from graviton_agent.units.manager import MANAGER, MANAGER_PATH


def restart_unit(name: str) -> Call:
    """Restarts a unit, or starts it; the answer's first value is the path of the job."""
    return Call(MANAGER_PATH, MANAGER, "RestartUnit", "ss", (name, "replace"))
