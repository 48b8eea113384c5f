"""The gate: a unit's start waits for this, and starts whatever comes of it.

A process for each unit that is calibrated before its start. It ends at once where there is nothing to do, and
when its share of the host's gate time is over.
"""

import contextlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from graviton_agent.configuration.compiled import Calibrate
from graviton_agent.errors import AgentError, ExitCode
from graviton_agent.installed import CALIBRATED, GATES
from graviton_agent.root import Root
from graviton_agent.service.gate_time import GateTime, NoTimeLeftError
from graviton_agent.service.marks import Mark, Marks
from graviton_agent.service.notify import Notifier
from graviton_agent.service.upkeep import Upkeep, View
from graviton_agent.terminal import say
from graviton_agent.units.names import require_service_name
from graviton_agent.units.placing import agent_is_up

STOP_SECONDS = 5.0
MARGIN_SECONDS = 30.0
"""What systemd grants beyond the time that the calibration may take."""

NOT_UP = "the agent isn't running"

Calibration = Callable[[str, float, float], int | None]
"""Calibrates a unit for so many seconds at most, of which it may wait so many for another calibration to end;
returns how the command ended, None if it took too long."""


def main(unit: str) -> int:
    """Calibrates the unit if it has to wait for that. The journal says what came of it; it never fails."""
    # So that what a gate has used is written down when systemd stops it.
    signal.signal(signal.SIGTERM, _end)
    notifier = Notifier()

    try:
        require_service_name(unit)
        told = open_gate(unit, Root(), run_calibration, extend_start=notifier.extend_start)
    except AgentError as error:
        told = error.message
    if told:
        say(f"{unit} starts on default values: {told}")
    return 0


def open_gate(
    unit: str,
    root: Root,
    calibrate: Calibration,
    *,
    upkeep: Upkeep | None = None,
    extend_start: Callable[[float], object] = lambda _: None,
) -> str | None:
    """Does what is to be done before the unit starts; returns why it starts without measured values.

    Args:
        unit: that waits.
        root: of this machine.
        calibrate: has it calibrated.
        upkeep: that of this machine.
        extend_start: tells systemd how many more seconds this may take.

    Raises AgentError.
    """
    upkeep = upkeep or Upkeep(root, say=say, is_up=agent_is_up)
    overview = upkeep.look()
    if not overview.is_up:
        return NOT_UP
    view = overview.units.get(unit)
    if view is None or view.policy is not Calibrate.BEFORE_START:
        return "it doesn't wait for its calibration"
    if view.is_settled:
        return None if view.has_file else view.reason
    marks = Marks(root.path / CALIBRATED.lstrip("/"))
    time = GateTime(root.path / GATES.lstrip("/"), overview.configuration.gates_seconds)
    # The gates before this one use up the same time as it does.
    extend_start(max(0.0, time.left()) + MARGIN_SECONDS)
    try:
        with time.turn(view.budget_seconds) as seconds:
            code = calibrate(unit, seconds, seconds - view.budget_seconds)
    except NoTimeLeftError as error:
        marks.write(unit, Mark.LATE)
        return (
            f"of the time that units may wait in one boot (`gates`) {error.message}; it is calibrated later"
        )
    overview = upkeep.look(frozenset({unit}))
    if not overview.is_up:
        return NOT_UP
    return _what_came_of_it(unit, overview.units.get(unit), marks, code)


def _what_came_of_it(unit: str, view: View | None, marks: Marks, code: int | None) -> str | None:
    if view is not None and view.is_settled:
        return None if view.has_file else view.reason
    if code == ExitCode.BUSY:
        marks.write(unit, Mark.LATE)
        return "another calibration was running for too long; it is calibrated later"
    marks.write(unit, Mark.FAILED)
    if code == ExitCode.OK:
        return "its calibration came to nothing"
    return "its calibration failed, or ran out of time"


def run_calibration(unit: str, seconds: float, wait_seconds: float) -> int | None:
    """Runs the command that calibrates; what it says goes to the journal."""
    import subprocess  # most gates open without it  # noqa: PLC0415

    from graviton_agent.service.configured import own_command  # noqa: PLC0415

    wait = f"--wait={wait_seconds:.0f}"
    process = subprocess.Popen([*own_command(), "calibrate", "--unasked", wait, unit])
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for end in (process.terminate, process.kill):
            if process.poll() is None:
                end()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)
