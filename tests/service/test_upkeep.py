"""What a pass over the units leaves behind."""

import errno
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.configuration.compiled import Calibrate
from graviton_agent.errors import StateError
from graviton_agent.installed import CALIBRATED, ENVIRONMENT, METRICS, SERVICE, STATE
from graviton_agent.patience import Patience
from graviton_agent.profiles.application import State
from graviton_agent.profiles.fleet_folders import PACKAGED
from graviton_agent.profiles.fleet_profile import leave_host
from graviton_agent.root import Root
from graviton_agent.service.marks import Mark, Marks
from graviton_agent.service.upkeep import Upkeep
from graviton_agent.units import environment_file
from tests.control.machine import UNIT, Managed
from tests.control.systemd import missing, properties, running
from tests.profiles.fleet import limited
from tests.profiles.host import TORCH, install_torch
from tests.service.daemon import files_below, make_upkeep

KEPT: dict[str, Any] = {"outcome": Outcome.KEEP, "environment": {}, "gain": 1.0, "gain_interval": (1.0, 1.0)}
OPEN = {**KEPT, "outcome": Outcome.INCONCLUSIVE}
GATED = '[units."{}"]\nallow_bf16 = true\ncalibrate = "before-start"\n'


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def upkeep(machine: Managed, said: list[str]) -> Upkeep:
    return make_upkeep(machine, said.append)


def test_a_unit_with_a_profile_that_holds_gets_its_file(
    machine: Managed, upkeep: Upkeep, said: list[str]
) -> None:
    machine.calibrated()
    view = upkeep.look().units[UNIT]
    assert machine.variables() == ["DNNL_DEFAULT_FPMATH_MODE=BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM=64"]
    assert (view.state, view.has_file, view.wants_calibration) == (State.APPLIED, True, False)
    assert said == [f"{UNIT} gets DNNL_DEFAULT_FPMATH_MODE=BF16 TORCH_MKLDNN_MATMUL_MIN_DIM=64"]


def test_a_second_pass_changes_and_says_nothing(machine: Managed, upkeep: Upkeep, said: list[str]) -> None:
    machine.calibrated()
    upkeep.look()
    said.clear()
    upkeep.look()
    assert said == []


def test_a_unit_without_a_profile_wants_one(upkeep: Upkeep, machine: Managed) -> None:
    view = upkeep.look().units[UNIT]
    assert (view.state, view.has_file, view.wants_calibration) == (State.UNCALIBRATED, False, True)
    assert machine.environment() is None


def test_the_file_of_a_stale_profile_is_withdrawn_with_the_reason(
    machine: Managed, upkeep: Upkeep, said: list[str]
) -> None:
    machine.calibrated()
    upkeep.look()
    install_torch(machine.host.tree, "2.10.0")
    view = upkeep.look(frozenset({UNIT})).units[UNIT]
    assert machine.environment() is None
    assert (view.state, view.wants_calibration) == (State.STALE, True)
    assert said[-1].startswith(f"{UNIT} gets nothing any more: torch was 2.9.1, is 2.10.0")


def test_a_result_that_keeps_the_default_wants_no_other(machine: Managed, upkeep: Upkeep) -> None:
    machine.calibrated(**KEPT)
    view = upkeep.look().units[UNIT]
    assert (view.state, view.wants_calibration) == (State.DEFAULT, False)


@pytest.mark.parametrize(("age", "wants"), [(timedelta(hours=1), False), (timedelta(days=2), True)])
def test_a_result_that_says_nothing_wants_another_only_after_a_day(
    machine: Managed, upkeep: Upkeep, age: timedelta, wants: bool
) -> None:
    machine.calibrated(**OPEN, calibrated=datetime.now(UTC) - age)
    assert upkeep.look().units[UNIT].wants_calibration is wants


def test_what_follows_of_a_profile_depends_on_torchs_files(machine: Managed, upkeep: Upkeep) -> None:
    machine.calibrated()
    files = upkeep.look().units[UNIT].files
    assert {f"{TORCH}/version.py", f"{TORCH}/lib/libtorch_cpu.so"} <= files


def test_a_stale_unit_still_listens_to_torchs_files(machine: Managed, upkeep: Upkeep) -> None:
    machine.calibrated()
    install_torch(machine.host.tree, "2.10.0")
    assert f"{TORCH}/version.py" in upkeep.look().units[UNIT].files


def test_files_that_nobody_wants_are_removed(machine: Managed, upkeep: Upkeep) -> None:
    machine.host.tree.write(f"{ENVIRONMENT[1:]}/gone.service.env", "A=1\n")
    upkeep.look()
    assert files_below(machine.root.path / ENVIRONMENT[1:]) == set()


def test_a_unit_that_is_not_managed_any_more_loses_its_file(machine: Managed, upkeep: Upkeep) -> None:
    machine.calibrated()
    upkeep.look()
    machine.manage(UNIT, f'[units."{UNIT}"]\nenabled = false\n')
    assert UNIT not in upkeep.look().units
    assert machine.environment() is None


def test_switched_off_nothing_is_managed(machine: Managed, upkeep: Upkeep) -> None:
    machine.calibrated()
    upkeep.look()
    machine.host.tree.write("etc/graviton-agent/graviton-agent.toml", "enabled = false\n")
    overview = upkeep.look()
    assert (overview.units, overview.configuration.enabled) == ({}, False)
    assert machine.environment() is None


def test_on_another_machine_nothing_is_written_and_nothing_wanted(machine: Managed) -> None:
    machine.calibrated()
    machine.host.tree.write("sys/class/dmi/id/sys_vendor", "QEMU\n")
    overview = make_upkeep(machine).look()
    assert overview.not_graviton is not None
    assert not overview.units[UNIT].wants_calibration
    assert machine.environment() is None


def test_an_instance_that_is_loaded_is_managed_by_its_template(machine: Managed, upkeep: Upkeep) -> None:
    machine.manage("embed@1.service")
    machine.calibrated("embed@1.service")
    assert "embed@1.service" in upkeep.look().units
    assert machine.variables("embed@1.service") == machine.variables("embed@.service") != []


def test_a_new_instance_is_looked_at_by_itself(machine: Managed, upkeep: Upkeep) -> None:
    machine.manage("embed@1.service")
    machine.calibrated("embed@1.service")
    upkeep.look()
    machine.manage("embed@2.service")
    assert upkeep.look(frozenset({"embed@2.service"})).units["embed@2.service"].state is State.APPLIED
    assert machine.environment("embed@2.service") is not None


def test_what_a_command_has_just_written_for_others_is_left_alone(machine: Managed, upkeep: Upkeep) -> None:
    machine.manage("app.service")
    machine.calibrated("app.service")
    upkeep.look()
    written = machine.root.path / ENVIRONMENT[1:] / "app.service.env"
    written.write_text("by a command\n")
    upkeep.look(frozenset({UNIT}))
    assert written.read_text() == "by a command\n"


def test_another_name_of_a_unit_is_not_managed(machine: Managed, upkeep: Upkeep) -> None:
    # PID 1 answers for the alias with the unit's own name.
    machine.manage("alias.service")
    machine.bus.units["alias.service"] = properties("real.service")
    view = upkeep.look().units["alias.service"]
    assert (view.state, view.reason) == (State.UNFIT, "it is another name of real.service")


def test_a_unit_that_is_not_installed_is_unfit_and_harmless(machine: Managed, upkeep: Upkeep) -> None:
    machine.bus.units[UNIT] = missing(UNIT)
    assert upkeep.look().units[UNIT].state is State.UNFIT


def test_a_unit_that_starts_counts_as_running(machine: Managed, upkeep: Upkeep) -> None:
    assert not upkeep.look().units[UNIT].is_running
    machine.start()
    assert upkeep.look(frozenset({UNIT})).units[UNIT].is_running
    machine.bus.add({**properties(UNIT), **running(1), "ActiveState": ("s", "activating")})
    assert upkeep.look(frozenset({UNIT})).units[UNIT].is_running


def test_a_unit_that_waits_before_its_start_gets_a_mark_when_it_is_settled(
    machine: Managed, upkeep: Upkeep
) -> None:
    machine.manage(UNIT, GATED.format(UNIT))
    marks = Marks(machine.root.path / CALIBRATED[1:])
    assert upkeep.look().units[UNIT].policy is Calibrate.BEFORE_START
    assert marks.read(UNIT) is None
    machine.calibrated()
    upkeep.look()
    assert marks.read(UNIT) is Mark.SETTLED
    install_torch(machine.host.tree, "2.10.0")
    upkeep.look()
    assert marks.read(UNIT) is None


def test_a_result_that_says_nothing_holds_no_start_up(machine: Managed, upkeep: Upkeep) -> None:
    machine.manage(UNIT, GATED.format(UNIT))
    machine.calibrated(**OPEN, calibrated=datetime.now(UTC) - timedelta(days=2))
    assert upkeep.look().units[UNIT].is_settled
    assert upkeep.mark(UNIT) is Mark.SETTLED


def test_other_units_get_no_marks(machine: Managed, upkeep: Upkeep) -> None:
    machine.calibrated()
    upkeep.look()
    assert files_below(machine.root.path / CALIBRATED[1:]) == set()


def test_where_the_configuration_can_not_be_had_nothing_is_given(machine: Managed, upkeep: Upkeep) -> None:
    machine.calibrated()
    upkeep.look()
    machine.manage("app.service")
    upkeep._configured._run = lambda _: "no space left"
    with pytest.raises(StateError, match="no space left"):
        upkeep.look()
    assert machine.environment() is None


def test_a_masked_agent_leaves_nothing_behind(machine: Managed, upkeep: Upkeep) -> None:
    machine.calibrated()
    upkeep.look()
    upkeep.leave()
    assert machine.environment() is not None
    machine.host.tree.link(f"run/systemd/system/{SERVICE}", "/dev/null")
    upkeep.leave()
    assert machine.environment() is None


def test_a_fleets_profile_is_taken_and_kept_once(machine: Managed, upkeep: Upkeep, said: list[str]) -> None:
    limited(machine.host.tree)
    found = leave_host(machine.calibrated())
    machine.store.remove(UNIT)
    machine.host.tree.write(f"{PACKAGED[1:]}/{found.name}", found.to_json())
    upkeep.look()
    assert said[0] == f"llm.service takes {PACKAGED}/{found.name}"
    assert machine.environment() is not None
    said.clear()
    upkeep.look()
    upkeep.look(frozenset({UNIT}))
    assert said == []


def test_a_fleets_profile_that_is_withdrawn_takes_its_file_away(machine: Managed, upkeep: Upkeep) -> None:
    limited(machine.host.tree)
    found = leave_host(machine.calibrated())
    machine.store.remove(UNIT)
    path = machine.host.tree.write(f"{PACKAGED[1:]}/{found.name}", found.to_json())
    upkeep.look()
    path.unlink()
    upkeep.look()
    assert machine.environment() is None


def test_the_metrics_say_what_runs(machine: Managed, upkeep: Upkeep) -> None:
    folder = machine.root.path / METRICS[1:]
    folder.mkdir(parents=True)
    machine.calibrated()
    machine.start()
    upkeep.look()
    upkeep.publish()
    text = (folder / "graviton-agent.prom").read_text()
    assert 'graviton_agent_unit_restart_needed{unit="llm.service"} 1\n' in text
    assert 'graviton_agent_unit_in_sync{unit="llm.service"} 0\n' in text


def test_a_unit_whose_files_never_answer_costs_the_others_nothing_and_gets_nothing(
    machine: Managed, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.manage("dead.service", None, "/mnt/dead/python")
    machine.host.tree.write("mnt/dead/python", "")
    machine.calibrated()
    machine.calibrated("dead.service")
    patience = Patience(seconds=0.3)
    upkeep = make_upkeep(machine, said.append, patience=patience)
    upkeep.look()
    assert machine.environment("dead.service") is not None
    released, back, read = threading.Event(), threading.Event(), Root.read_bytes

    def hang(root: Root, name: str, *, limit: int = 64 * 1024) -> bytes | None:
        if name.startswith("mnt/dead"):
            released.wait()
        return read(root, name, limit=limit)

    monkeypatch.setattr(Root, "read_bytes", hang)
    patience.came_back = lambda _: back.set()
    overview = upkeep.look()
    assert overview.units["dead.service"].hangs
    assert overview.units[UNIT].has_file
    assert machine.environment("dead.service") is None
    assert said[-1] == "dead.service gets nothing any more: its files don't answer"
    released.set()
    assert back.wait(20)
    assert not upkeep.look(frozenset({"dead.service"})).units["dead.service"].hangs
    assert machine.environment("dead.service") is not None


def test_on_a_full_disk_nothing_stale_stays_and_the_daemon_goes_on(
    machine: Managed, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.calibrated()
    upkeep.look()
    machine.calibrated(environment={"DNNL_DEFAULT_FPMATH_MODE": "BF16"})

    def refuse(*_: object, **__: object) -> bool:
        raise StateError("can't write: No space left on device")

    monkeypatch.setattr(environment_file, "write_atomically", refuse)
    overview = upkeep.look()
    assert overview.problem == "can't write: No space left on device"
    assert not overview.units[UNIT].has_file
    assert machine.environment() is None


def test_a_state_directory_that_can_not_be_written_holds_nobody_from_its_values(
    machine: Managed, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.calibrated()
    upkeep.look()
    machine.host.tree.root.joinpath(ENVIRONMENT[1:], f"{UNIT}.env").unlink()
    real = os.open

    def read_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if STATE[1:] in os.fspath(path) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", read_only)
    assert upkeep.look().units[UNIT].has_file


@pytest.mark.parametrize("content", [b"A=1\n" * 300_000, b"\xff\0" * 100, b"A=" + b"x" * 10**6])
def test_whatever_a_units_user_writes_into_its_file_the_look_ends(
    machine: Managed, upkeep: Upkeep, content: bytes
) -> None:
    machine.manage(UNIT, EnvironmentFiles=("a(sb)", [("/home/app/env", True)]))
    machine.calibrated()
    path = machine.host.tree.root / "home/app/env"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert UNIT in upkeep.look().units
