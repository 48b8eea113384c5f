"""How PID 1 is asked to run a calibration, and what is made of its end."""

import asyncio
from typing import Any, cast

import pytest

from graviton_agent.errors import ExitCode
from graviton_agent.installed import GATE
from graviton_agent.service.calibrations import Calibrations, service_for, unit_for
from graviton_agent.units.bus import BusError, Call
from graviton_agent.units.manager import unit_path
from graviton_agent.units.watch import Watch

UNIT = r"llm@a-b\x20c.service"
SERVICE = rf"graviton-agent-quiet@{UNIT}.service"


class FakeWatch:
    """PID 1 as it answers: each answer is what the service's state is at that moment."""

    def __init__(self, *states: str, result: str = "success", status: int = 0) -> None:
        self.states = list(states)
        self.result, self.status = result, status
        self.called: list[str] = []
        self.lost = False

    async def call(self, call: Call) -> tuple[Any, ...]:
        """Answers."""
        await asyncio.sleep(0)
        if self.lost:
            raise BusError("gone")
        self.called.append(call.member)
        if call.member != "Get":
            return ("/job",)
        assert call.path == unit_path(SERVICE)
        state = self.states[0]
        name = call.arguments[1]
        if name == "ActiveState" and len(self.states) > 1:
            self.states.pop(0)
        return (
            {
                "Job": ("(uo)", (7, "/job/7") if state == "queued" else (0, "/")),
                "ActiveState": ("s", "inactive" if state == "queued" else state),
                "Result": ("s", self.result),
                "ExecMainStatus": ("i", self.status),
            }[name],
        )


def run(*watches: FakeWatch, seconds: float = 30.0) -> ExitCode | None:
    """Calibrates over these connections, of which each takes the place of the one before."""

    async def calibrate() -> ExitCode | None:
        calibrations = Calibrations()
        calibrations.connected(cast(Watch, watches[0]))
        task = asyncio.create_task(calibrations.run(UNIT, seconds))
        for watch in watches[1:]:
            await asyncio.sleep(0.02)
            calibrations.connected(None)
            calibrations.connected(cast(Watch, watch))
        while not task.done():
            calibrations.stirred()
            await asyncio.sleep(0.005)
        return await task

    return asyncio.run(calibrate())


def test_the_service_has_the_units_name() -> None:
    assert service_for(UNIT) == SERVICE
    assert unit_for(SERVICE) == UNIT
    assert unit_for("llm.service") is None
    assert unit_for(GATE.replace("@", f"@{UNIT}"), GATE) == UNIT


def test_its_exit_code_is_what_came_of_it() -> None:
    watch = FakeWatch("queued", "activating", "inactive")
    assert run(watch) is ExitCode.OK
    assert watch.called[0] == "StartUnit"


@pytest.mark.parametrize(
    ("status", "code"), [(1, ExitCode.FAILED), (6, ExitCode.BUSY), (99, ExitCode.FAILED)]
)
def test_a_failure_has_its_exit_code_and_is_forgotten_by_systemd(status: int, code: ExitCode) -> None:
    watch = FakeWatch("activating", "failed", result="exit-code", status=status)
    assert run(watch) is code
    assert watch.called[-1] == "ResetFailedUnit"


def test_what_did_not_end_by_itself_has_none() -> None:
    assert run(FakeWatch("activating", "failed", result="signal", status=15)) is None


def test_it_goes_on_over_a_new_connection() -> None:
    first, second = FakeWatch("activating"), FakeWatch("activating", "inactive")
    first.lost = False
    assert run(first, second) is ExitCode.OK
    assert "StartUnit" not in second.called


def test_what_takes_too_long_is_stopped() -> None:
    watch = FakeWatch("activating")
    assert run(watch, seconds=0.1) is None
    assert watch.called[-1] == "StopUnit"


def test_without_a_connection_nothing_is_started() -> None:
    assert asyncio.run(Calibrations().run(UNIT, 1.0)) is None


def test_a_bus_that_refuses_is_no_result() -> None:
    watch = FakeWatch("inactive")
    watch.lost = True
    assert run(watch) is None
