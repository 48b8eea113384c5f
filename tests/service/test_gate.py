"""What a gate does before a unit starts."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graviton_agent.errors import ExitCode
from graviton_agent.installed import CALIBRATED, ENVIRONMENT, GATES
from graviton_agent.service import configured, gate
from graviton_agent.service.gate import MARGIN_SECONDS, open_gate, run_calibration
from graviton_agent.service.gate_time import GateTime
from graviton_agent.service.marks import Mark, Marks
from graviton_agent.units.placing import agent_is_up
from tests.control.machine import UNIT, Managed
from tests.service.daemon import make_upkeep

GATED = '[units."{}"]\nallow_bf16 = true\ncalibrate = "before-start"\n'


class Calibrations:
    """Stand for the command, and remember for what it was run."""

    def __init__(
        self, result: Callable[[], object] = lambda: None, *, code: ExitCode | None = ExitCode.OK
    ) -> None:
        self.asked: list[tuple[str, float, float]] = []
        self._result, self._code = result, code

    def __call__(self, unit: str, seconds: float, wait_seconds: float) -> int | None:
        self.asked.append((unit, seconds, wait_seconds))
        self._result()
        return self._code


@pytest.fixture
def gated(machine: Managed) -> Managed:
    """A machine with a daemon that is up, and a unit that waits."""
    machine.manage(UNIT, GATED.format(UNIT))
    return machine


def opened(machine: Managed, calibrations: Calibrations) -> str | None:
    """What the gate says."""
    return open_gate(UNIT, machine.root, calibrations, upkeep=make_upkeep(machine, is_up=agent_is_up))


def mark(machine: Managed) -> Mark | None:
    return Marks(machine.root.path / CALIBRATED[1:]).read(UNIT)


def test_a_unit_is_calibrated_and_has_its_values_when_the_gate_opens(gated: Managed) -> None:
    calibrations = Calibrations(gated.calibrated)
    assert opened(gated, calibrations) is None
    assert gated.variables() != []
    assert mark(gated) is Mark.SETTLED
    (unit, seconds, wait_seconds) = calibrations.asked[0]
    assert (unit, round(seconds), round(wait_seconds)) == (UNIT, 180, 90)


def test_a_profile_that_holds_opens_it_at_once(gated: Managed) -> None:
    gated.calibrated()
    calibrations = Calibrations()
    assert opened(gated, calibrations) is None
    assert calibrations.asked == []
    assert gated.variables() != []


@pytest.mark.parametrize("code", [None, ExitCode.FAILED])
def test_a_calibration_that_fails_opens_it_and_leaves_a_mark(gated: Managed, code: ExitCode | None) -> None:
    said = opened(gated, Calibrations(code=code))
    assert said == "its calibration failed, or ran out of time"
    assert mark(gated) is Mark.FAILED


def test_behind_another_calibration_that_takes_too_long_it_opens_and_is_late(gated: Managed) -> None:
    said = opened(gated, Calibrations(code=ExitCode.BUSY))
    assert said == "another calibration was running for too long; it is calibrated later"
    assert mark(gated) is Mark.LATE


def test_systemd_hears_how_long_it_may_take_before_it_waits_for_its_turn(gated: Managed) -> None:
    told: list[float] = []
    calibrations = Calibrations(lambda: told.append(0.0))
    upkeep = make_upkeep(gated, is_up=agent_is_up)
    open_gate(UNIT, gated.root, calibrations, upkeep=upkeep, extend_start=told.append)
    assert told == [180.0 + MARGIN_SECONDS, 0.0]


def test_a_calibration_that_leaves_nothing_opens_it(gated: Managed) -> None:
    assert opened(gated, Calibrations()) == "its calibration came to nothing"
    assert mark(gated) is Mark.FAILED


def test_where_too_little_time_is_left_for_all_gates_it_opens_at_once(gated: Managed) -> None:
    folder = gated.root.path / GATES[1:]
    folder.mkdir(parents=True)
    folder.joinpath("used").write_text("100.0\n")
    calibrations = Calibrations()
    said = opened(gated, calibrations)
    assert said is not None
    assert "(`gates`) 80 of 180 s are left, and it may take 90 s" in said
    assert calibrations.asked == []
    assert mark(gated) is Mark.LATE


def test_what_a_gate_takes_is_gone_for_the_others(gated: Managed) -> None:
    opened(gated, Calibrations())
    assert GateTime(gated.root.path / GATES[1:], 180.0).left() < 180.0


def test_without_the_agent_it_opens_at_once_and_writes_nothing(gated: Managed) -> None:
    gated.agent("inactive")
    calibrations = Calibrations()
    assert opened(gated, calibrations) == "the agent isn't running"
    assert calibrations.asked == []
    assert not gated.root.path.joinpath(ENVIRONMENT[1:]).exists()


def test_of_an_agent_that_has_gone_meanwhile_nothing_is_put_in_place(gated: Managed) -> None:
    def calibrate() -> None:
        gated.calibrated()
        gated.agent("failed")

    assert opened(gated, Calibrations(calibrate)) == "the agent isn't running"
    assert not gated.root.path.joinpath(ENVIRONMENT[1:]).exists()
    assert mark(gated) is None


@pytest.mark.parametrize("option", ['calibrate = "when-quiet"', "enabled = false"])
def test_a_unit_that_does_not_wait_is_let_through(gated: Managed, option: str) -> None:
    gated.manage(UNIT, f'[units."{UNIT}"]\n{option}\n')
    calibrations = Calibrations()
    assert opened(gated, calibrations) == "it doesn't wait for its calibration"
    assert calibrations.asked == []


def test_on_another_machine_nothing_is_calibrated(gated: Managed) -> None:
    gated.host.tree.write("sys/class/dmi/id/sys_vendor", "QEMU\n")
    calibrations = Calibrations()
    assert opened(gated, calibrations) is not None
    assert calibrations.asked == []


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the command that calibrates."""
    path = tmp_path / "command.py"
    monkeypatch.setattr(configured, "own_command", lambda: [sys.executable, str(path)])
    return path


def test_the_command_gets_the_units_name(command: Path, tmp_path: Path) -> None:
    command.write_text(f"import sys; open('{tmp_path}/told', 'w').write(' '.join(sys.argv[1:]))")
    assert run_calibration(UNIT, 30.0, 12.4) == ExitCode.OK
    assert (tmp_path / "told").read_text() == f"calibrate --unasked --wait=12 {UNIT}"


def test_a_command_that_fails_has_failed(command: Path) -> None:
    command.write_text("import sys; sys.exit(1)")
    assert run_calibration(UNIT, 30.0, 0.0) == ExitCode.FAILED


def test_a_command_that_takes_too_long_is_ended(command: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "STOP_SECONDS", 0.2)
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
    command.write_text(ignoring)
    assert run_calibration(UNIT, 0.5, 0.0) is None
