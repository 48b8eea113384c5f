"""What the daemon does with what it hears. Units, bus and clock are stand-ins; the loop is asyncio's own."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import cast

import pytest

from graviton_agent.configuration.compiled import Calibrate, Quiet
from graviton_agent.errors import AgentError, ExitCode
from graviton_agent.installed import GATE
from graviton_agent.patience import Patience
from graviton_agent.profiles.application import State
from graviton_agent.service import serving
from graviton_agent.service.calibrations import Calibrations, service_for
from graviton_agent.service.looks import Looks
from graviton_agent.service.marks import Mark
from graviton_agent.service.notify import Notifier
from graviton_agent.service.serving import Service
from graviton_agent.service.signals import EarlySignals
from graviton_agent.service.upkeep import Overview, Upkeep, View
from graviton_agent.service.worker import Worker
from graviton_agent.units.bus import Signal
from graviton_agent.units.watch import Watch
from tests.profiles.host import configuration, managed

UNIT, OTHER = "llm.service", "other.service"
AT_ONCE = Quiet(duration=0.0, load=100.0, pressure=100.0, steal=100.0)
NEVER = Quiet(duration=3600.0, load=0.0, pressure=0.0, steal=0.0)
DONE_SECONDS = 20.0


class FakeUpkeep:
    """Units that want calibrations, until they have had one that left something."""

    def __init__(
        self, *wanting: str, policy: Calibrate = Calibrate.WHEN_QUIET, quiet: Quiet = AT_ONCE
    ) -> None:
        self.wanting = set(wanting)
        self.policy, self.quiet = policy, quiet
        self.looks: list[frozenset[str] | None] = []
        self.error: AgentError | None = None
        self.marks: dict[str, Mark] = {}
        self.problem: str | None = None
        self.patience = Patience()

    def publish(self) -> None:
        """Writes no metrics."""

    def look(self, names: frozenset[str] | None = None) -> Overview:
        """Notes for whom it was."""
        self.looks.append(names)
        if self.error:
            raise self.error
        units = [managed(name=name, calibrate=self.policy) for name in (UNIT, OTHER)]
        views = {
            unit.name: View(
                name=unit.name,
                state=State.UNCALIBRATED if unit.name in self.wanting else State.APPLIED,
                reason="",
                policy=self.policy,
                budget_seconds=90.0,
                is_running=True,
                is_settled=unit.name not in self.wanting,
                wants_calibration=unit.name in self.wanting,
                has_file=unit.name not in self.wanting,
            )
            for unit in units
        }
        return Overview(replace(configuration(*units), quiet=self.quiet), None, views, self.problem)

    def mark(self, unit: str) -> Mark | None:
        """What its gate said."""
        return self.marks.get(unit)


class Daemon:
    """A daemon that runs until a condition holds."""

    def __init__(self, upkeep: FakeUpkeep, monkeypatch: pytest.MonkeyPatch) -> None:
        self.upkeep = upkeep
        self.told: list[str] = []
        self.said: list[str] = []
        self.heard: list[Signal] = []
        self.calibrated: list[str] = []
        self.code: ExitCode | None = ExitCode.OK
        self.leaves_something = True
        self.left_running: str | None = None
        self.stopped: list[str] = []
        self.ends = asyncio.Event()
        self.ends.set()
        self.early = EarlySignals()
        monkeypatch.setattr(serving, "watches", self._watches)
        monkeypatch.setattr(serving, "Looks", lambda: Looks(settle_seconds=0.0, pause_seconds=0.0))
        monkeypatch.setattr(serving, "ways", lambda _: {})
        monkeypatch.setattr(Calibrations, "run", self._calibrate)
        monkeypatch.setattr(Calibrations, "stop", self._stop)
        monkeypatch.setattr(Calibrations, "under_way", self._under_way)
        monkeypatch.setattr(Calibrations, "control_group", self._control_group)

    def run(self, until: Callable[[], bool], *, then: Callable[[], object] | None = None) -> None:
        """Serves until the condition holds, and ends it as systemd does.

        What is to happen `then` happens as soon as the daemon has said how things stand.
        """
        asyncio.run(self._serve(until, then))

    async def _serve(self, until: Callable[[], bool], then: Callable[[], object] | None) -> None:
        upkeep = cast(Upkeep, self.upkeep)
        service = Service(upkeep, Worker(), Notifier(self.told.append), self.said.append, None)
        task = asyncio.create_task(service.run(self.early))
        deadline = time.monotonic() + DONE_SECONDS
        while not until() and not task.done():
            assert time.monotonic() < deadline, (self.told, self.said, self.upkeep.looks)
            if then is not None and self.status not in {"", "STATUS=looking at the units"}:
                then()
                then = None
            await asyncio.sleep(0.005)
        if not task.done():
            signal.raise_signal(signal.SIGTERM)
        await task

    @property
    def status(self) -> str:
        """What it says of itself."""
        return next((line for line in reversed(self.told) if line.startswith("STATUS=")), "")

    async def _watches(self, rules: list[str]) -> AsyncIterator[Watch]:
        del rules
        yield cast(Watch, self)
        await asyncio.Event().wait()

    async def signals(self) -> AsyncIterator[Signal]:
        """What PID 1 announces."""
        while True:
            while self.heard:
                yield self.heard.pop(0)
            await asyncio.sleep(0.005)

    async def _calibrate(self, unit: str, seconds: float) -> ExitCode | None:
        assert seconds > 90.0
        self.calibrated.append(unit)
        await asyncio.sleep(0.01)
        await self.ends.wait()
        if self.leaves_something and unit not in self.stopped:
            self.upkeep.wanting.discard(unit)
        return None if unit in self.stopped else self.code

    async def _stop(self, unit: str) -> None:
        self.stopped.append(unit)
        self.ends.set()

    async def _under_way(self) -> str | None:
        return self.left_running

    async def _control_group(self, unit: str) -> str | None:
        del unit
        return None


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def job_ended(unit: str) -> Signal:
    return Signal("/org/freedesktop/systemd1", "Manager", "JobRemoved", (1, "/job/1", unit, "done"))


def test_it_looks_at_everything_once_it_hears_pid_1_and_says_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon(FakeUpkeep(), monkeypatch)
    daemon.run(lambda: daemon.status == "STATUS=measured values for 2 of 2 units")
    assert daemon.upkeep.looks == [None]
    assert daemon.told[-1] == "STOPPING=1"


def test_a_managed_unit_whose_job_has_ended_is_looked_at_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon(FakeUpkeep(), monkeypatch)

    def announce() -> None:
        daemon.heard += [job_ended("cron.service"), job_ended(UNIT)]

    daemon.run(lambda: len(daemon.upkeep.looks) > 1, then=announce)
    assert daemon.upkeep.looks == [None, frozenset({UNIT})]


def test_after_a_daemon_reload_everything_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(), monkeypatch)

    def announce() -> None:
        daemon.heard += [Signal("/", "Manager", "Reloading", (begins,)) for begins in (True, False)]

    daemon.run(lambda: len(daemon.upkeep.looks) > 1, then=announce)
    assert daemon.upkeep.looks == [None, None]


def test_a_reload_is_done_when_everything_has_been_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(), monkeypatch)

    daemon.run(lambda: "READY=1" in daemon.told, then=lambda: signal.raise_signal(signal.SIGHUP))
    kinds = [line.partition("=")[0] for line in daemon.told if not line.startswith(("STATUS", "WATCHDOG"))]
    assert kinds == ["RELOADING", "READY", "STOPPING"]
    assert daemon.upkeep.looks == [None, None]


def test_a_reload_that_was_asked_for_before_the_loop_began_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(), monkeypatch)
    signal.raise_signal(signal.SIGHUP)
    daemon.run(lambda: "READY=1" in daemon.told)
    kinds = [line.partition("=")[0] for line in daemon.told if not line.startswith(("STATUS", "WATCHDOG"))]
    assert kinds == ["RELOADING", "READY", "STOPPING"]


def test_units_are_calibrated_one_after_the_other_when_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(UNIT, OTHER), monkeypatch)
    daemon.run(lambda: daemon.status == "STATUS=measured values for 2 of 2 units")
    assert daemon.calibrated == [UNIT, OTHER]
    assert any("calibrating llm.service" in line for line in daemon.told)


def test_nothing_is_calibrated_as_long_as_it_is_not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(UNIT, quiet=NEVER), monkeypatch)
    daemon.run(lambda: "next llm.service, when the host is quiet" in daemon.status)
    assert daemon.calibrated == []


def test_a_unit_that_somebody_has_dealt_with_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(UNIT), monkeypatch)
    look = daemon.upkeep.look

    def look_again(names: frozenset[str] | None = None) -> Overview:
        if names == frozenset({UNIT}):
            daemon.upkeep.wanting.clear()
        return look(names)

    monkeypatch.setattr(daemon.upkeep, "look", look_again)
    daemon.run(lambda: daemon.status == "STATUS=measured values for 2 of 2 units")
    assert daemon.calibrated == []


def test_a_failure_is_told_and_not_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(UNIT), monkeypatch)
    daemon.leaves_something, daemon.code = False, ExitCode.FAILED
    daemon.run(lambda: "1 failed to calibrate" in daemon.status)
    assert daemon.calibrated == [UNIT]
    assert f"journalctl --unit='{service_for(UNIT)}'" in daemon.said[-1]
    assert "the next try is in 1 h at the earliest" in daemon.said[-1]


def test_a_calibration_that_another_held_up_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(UNIT), monkeypatch)
    daemon.leaves_something, daemon.code = False, ExitCode.BUSY
    daemon.run(lambda: len(daemon.calibrated) > 1)
    assert "failed" not in daemon.status


def test_a_calibration_is_stopped_when_others_need_the_host_and_tried_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "seconds_between", lambda _: 0.01)
    monkeypatch.setattr(serving, "why_stop", lambda *_: "llm.service waited for a CPU")
    daemon = Daemon(FakeUpkeep(UNIT), monkeypatch)
    daemon.ends.clear()
    daemon.run(lambda: "1 stopped calibrating for others, to be tried again later" in daemon.status)
    assert (daemon.calibrated, daemon.stopped) == ([UNIT], [UNIT])
    assert daemon.said[-1] == (
        "llm.service is not calibrated on, for llm.service waited for a CPU; what was measured is not used; "
        "the next try is in 1 h at the earliest"
    )


def test_a_calibration_is_let_alone_as_long_as_nobody_needs_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []

    def nobody(*use: object) -> None:
        looks.append(use)
        if len(looks) > 3:
            daemon.ends.set()

    monkeypatch.setattr(serving, "seconds_between", lambda _: 0.01)
    monkeypatch.setattr(serving, "why_stop", nobody)
    daemon = Daemon(FakeUpkeep(UNIT), monkeypatch)
    daemon.ends.clear()
    daemon.run(lambda: daemon.status == "STATUS=measured values for 2 of 2 units")
    assert daemon.stopped == []


def test_a_calibration_that_an_earlier_daemon_has_begun_is_watched_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon(FakeUpkeep(UNIT, quiet=NEVER), monkeypatch)
    daemon.left_running = UNIT
    daemon.run(lambda: daemon.status == "STATUS=measured values for 2 of 2 units")
    assert daemon.calibrated == [UNIT]


def test_a_calibration_that_failed_at_a_gate_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    upkeep = FakeUpkeep(UNIT, policy=Calibrate.BEFORE_START, quiet=NEVER)
    daemon = Daemon(upkeep, monkeypatch)

    def announce() -> None:
        upkeep.marks[UNIT] = Mark.FAILED
        daemon.heard.append(job_ended(GATE.replace("@", f"@{UNIT}")))

    daemon.run(lambda: "1 failed to calibrate" in daemon.status, then=announce)
    assert upkeep.looks[-1] == frozenset({UNIT})


def test_what_keeps_it_from_looking_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "FIRST_RETRY_SECONDS", 0.05)
    daemon = Daemon(FakeUpkeep(), monkeypatch)
    daemon.upkeep.error = AgentError("the system bus can't be reached (gone)")

    def mended() -> bool:
        if daemon.said:
            daemon.upkeep.error = None
        return daemon.status == "STATUS=measured values for 2 of 2 units"

    daemon.run(mended)
    assert daemon.said == ["the system bus can't be reached (gone)"]


def test_what_could_not_be_done_for_some_units_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "FIRST_RETRY_SECONDS", 0.01)
    upkeep = FakeUpkeep()
    upkeep.problem = "can't write a file: No space left on device"
    daemon = Daemon(upkeep, monkeypatch)
    daemon.run(lambda: len(upkeep.looks) > 2)
    assert daemon.said == [upkeep.problem]
    assert daemon.status == f"STATUS={upkeep.problem}; measured values for 2 of 2 units"


def test_a_unit_whose_files_answer_again_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    upkeep = FakeUpkeep()
    daemon = Daemon(upkeep, monkeypatch)
    daemon.run(lambda: len(upkeep.looks) > 1, then=lambda: upkeep.patience.came_back(UNIT))
    assert upkeep.looks == [None, frozenset({UNIT})]


def test_what_nobody_foresaw_ends_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(FakeUpkeep(), monkeypatch)
    daemon.upkeep.error = cast(AgentError, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        daemon.run(lambda: False)


def test_the_watchdog_is_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    daemon = Daemon(FakeUpkeep(), monkeypatch)
    daemon.run(lambda: daemon.told.count("WATCHDOG=1") > 3)
