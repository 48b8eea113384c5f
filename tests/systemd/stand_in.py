"""Stands in for the agent's commands in containers, to show what their units let them do.

Run by the container's own Python: standard library, jeepney and the agent's modules that need no more.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from graviton_agent.root import Root
from graviton_agent.state import write_atomically
from graviton_agent.units.bus import Bus
from graviton_agent.units.cage import Cage
from graviton_agent.units.held import unit_environment
from graviton_agent.units.interpreter import find_interpreter
from graviton_agent.units.manager import manager_environment
from graviton_agent.units.unit import read_unit
from graviton_agent.units.verify import Expectation, verify

RUN, STATE = Path("/run/graviton-agent"), Path("/var/lib/graviton-agent")
NAME = "DNNL_DEFAULT_FPMATH_MODE"


def notify(message: str) -> None:
    """Speaks to systemd [sd_notify(3)]."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.connect(os.environ["NOTIFY_SOCKET"])
        made.send(message.encode())


def attempt(action: Callable[[], object]) -> str:
    """What came of it, in a word."""
    try:
        return str(action() or "done")
    except OSError as error:
        return type(error).__name__


def do_the_job() -> dict[str, object]:
    """Everything that the daemon and a calibration do with a unit, and what they must not be able to do."""
    root = Root()
    with Bus.connect() as bus:
        unit = read_unit(bus, "app.service")
        environment = unit_environment(unit, manager_environment(bus), root)
        interpreter = find_interpreter(unit, environment, root)
        write_atomically(RUN / "environment" / "app.service.env", f"{NAME}=BF16\n".encode())
        write_atomically(Path(os.environ["STATE_DIRECTORY"]) / "profile.json", b"{}")
        with Cage(bus, unit.name, interpreter) as cage:
            caged = cage.environment()
        verified = verify(
            unit, Expectation({"FROM_FILE": "1"}, datetime.now(UTC)), environment, ["FROM_FILE"], root
        )
    job = {
        "interpreter": interpreter.path,
        "held": environment.values.get("FROM_FILE"),
        "in the cage": caged.get("FROM_FILE"),
        "user in the cage": caged.get("USER"),
        "key": [verified.keys[0].actual, verified.sync],
        "venv": Path("/home/app/venv/pyvenv.cfg").stat().st_size > 0,
    }
    more = {
        "write /etc": attempt(lambda: Path("/etc/new").write_text("")),
        "write a unit": attempt(lambda: Path("/run/systemd/system/new.service").write_text("")),
        "write the unit's home": attempt(lambda: Path("/home/app/new").write_text("")),
        "overwrite the unit's file": attempt(lambda: Path("/home/app/secret.env").write_text("")),
        "network": attempt(lambda: socket.socket(socket.AF_INET).close()),
        "kill": attempt(lambda: os.kill(unit.main_pid or 0, signal.SIGTERM)),
        "become another": attempt(lambda: os.setuid(1)),
    }
    return {"job": job, "more": more}


def daemon() -> None:
    """Does the job once, says so, and stays; or keeps a worker, if a file asks for it."""
    STATE.joinpath("told.json").write_text(json.dumps(do_the_job()))
    notify("READY=1")
    if Path("/etc/graviton-agent/keep-a-worker").exists():
        with Bus.connect() as bus:
            unit = read_unit(bus, "app.service")
            environment = unit_environment(unit, {}, Root())
            cage = Cage(bus, unit.name, find_interpreter(unit, environment, Root()))
            child = cage.launch((cage.interpreter, "-c", "import time; time.sleep(3600)"), {})
            STATE.joinpath("worker").write_text(child.name)
            wait()
    wait()


def wait() -> None:
    """Lives on, and feeds the watchdog."""
    while True:
        notify("WATCHDOG=1")
        time.sleep(1)


def gate() -> None:
    """Hangs if a file asks for it."""
    if Path("/etc/graviton-agent/hang").exists():
        time.sleep(3600)


if __name__ == "__main__":
    if sys.argv[1] == "daemon":
        daemon()
    else:
        gate()
