"""Whether a unit's processes have what they should, key by key."""

from datetime import UTC, datetime
from pathlib import Path

from graviton_agent.units.held import UnitEnvironment
from graviton_agent.units.unit import EnvironmentSource, Unit
from graviton_agent.units.verify import Expectation, KeyCheck, Sync, Verification, verify
from tests.units.services import service
from tests.units.test_processes import process

NAME = "DNNL_DEFAULT_FPMATH_MODE"
OTHER = "TORCH_MKLDNN_MATMUL_MIN_DIM"
OURS = (EnvironmentSource("/run/graviton-agent/environment/llm.service.env", optional=True),)
BEFORE = datetime(2026, 11, 23, 8, tzinfo=UTC)
AFTER = datetime(2026, 11, 23, 9, tzinfo=UTC)
NOBODY = UnitEnvironment()


def check(
    folder: Path,
    expected: dict[str, str],
    *processes: dict[str, str],
    unit: Unit | None = None,
    held: UnitEnvironment = NOBODY,
    changed: datetime | None = None,
) -> Verification:
    """Verifies a service with these processes, the first of which is the main one."""
    group = folder / "sys/fs/cgroup/system.slice/llm.service"
    group.mkdir(parents=True)
    numbers = range(100, 100 + len(processes))
    (group / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in numbers))
    root = process(folder, 1)
    for pid, environment in zip(numbers, processes, strict=True):
        process(folder, pid, environment="".join(f"{name}={value}\0" for name, value in environment.items()))
    unit = unit or service(environment_files=OURS)
    return verify(unit, Expectation(expected, changed), held, [NAME, OTHER], root)


def test_a_unit_whose_processes_have_all_is_in_sync(tmp_path: Path) -> None:
    found = check(tmp_path, {NAME: "BF16"}, {NAME: "BF16"}, {NAME: "BF16"})
    assert found == Verification(
        "llm.service", Sync.IN_SYNC, (KeyCheck(NAME, "BF16", "BF16", Sync.IN_SYNC),), processes=2
    )


def test_a_unit_without_expectations_and_variables_is_in_sync(tmp_path: Path) -> None:
    assert check(tmp_path, {}, {"HOME": "/"}) == Verification("llm.service", Sync.IN_SYNC, (), processes=1)


def test_a_unit_that_does_not_run_says_so(tmp_path: Path) -> None:
    unit = service(active_state="inactive", main_pid=None, control_group=None)
    assert check(tmp_path, {NAME: "BF16"}, unit=unit).sync is Sync.NOT_RUNNING


def test_a_process_that_was_started_before_the_file_needs_a_restart(tmp_path: Path) -> None:
    found = check(tmp_path, {NAME: "BF16"}, {})
    assert found.keys == (KeyCheck(NAME, "BF16", None, Sync.RESTART_NEEDED),)
    assert found.sync is Sync.RESTART_NEEDED


def test_a_value_that_is_no_longer_wanted_needs_a_restart(tmp_path: Path) -> None:
    assert check(tmp_path, {}, {NAME: "BF16"}).keys == (KeyCheck(NAME, None, "BF16", Sync.RESTART_NEEDED),)


def test_an_operators_value_in_place_of_ours_is_named(tmp_path: Path) -> None:
    held = NOBODY.overlaid({NAME: "STRICT"}, "/etc/default/llm")
    found = check(tmp_path, {NAME: "BF16"}, {NAME: "STRICT"}, held=held)
    assert found.keys == (KeyCheck(NAME, "BF16", "STRICT", Sync.OVERRIDDEN, "/etc/default/llm"),)
    assert found.sync is Sync.OVERRIDDEN


def test_an_operators_value_where_we_want_nothing_is_as_it_should_be(tmp_path: Path) -> None:
    held = NOBODY.overlaid({NAME: "STRICT"}, "Environment=")
    found = check(tmp_path, {}, {NAME: "STRICT"}, held=held)
    assert found.keys == (KeyCheck(NAME, None, "STRICT", Sync.IN_SYNC, "Environment="),)


def test_a_former_value_that_the_operator_has_changed_since_needs_a_restart(tmp_path: Path) -> None:
    held = NOBODY.overlaid({NAME: None}, "UnsetEnvironment=")
    assert check(tmp_path, {}, {NAME: "BF16"}, held=held).sync is Sync.RESTART_NEEDED


def test_a_unit_that_drops_our_file_overrides_it(tmp_path: Path) -> None:
    found = check(tmp_path, {NAME: "BF16"}, {}, unit=service(environment_files=()))
    assert found.sync is Sync.OVERRIDDEN
    assert found.keys[0].source == "the unit's own files, which drop the agent's EnvironmentFile="


def test_a_program_that_was_started_with_the_file_and_has_not_its_value_overrides_it(tmp_path: Path) -> None:
    unit = service(environment_files=OURS, started=AFTER)
    found = check(tmp_path, {NAME: "BF16"}, {}, unit=unit, changed=BEFORE)
    assert found.sync is Sync.OVERRIDDEN
    assert found.keys[0].source == "what starts the program, such as a script"


def test_a_program_that_was_started_before_the_file_changed_needs_a_restart(tmp_path: Path) -> None:
    unit = service(environment_files=OURS, started=BEFORE)
    assert check(tmp_path, {NAME: "BF16"}, {}, unit=unit, changed=AFTER).sync is Sync.RESTART_NEEDED


def test_a_child_that_was_started_with_another_environment_is_named(tmp_path: Path) -> None:
    found = check(tmp_path, {NAME: "BF16"}, {NAME: "BF16"}, {})
    source = "process 101, which was started with another environment"
    assert found.keys == (KeyCheck(NAME, "BF16", None, Sync.OVERRIDDEN, source, process=101),)


def test_a_child_with_a_variable_that_nobody_wants_is_its_programs_affair(tmp_path: Path) -> None:
    assert check(tmp_path, {}, {}, {NAME: "BF16"}).sync is Sync.IN_SYNC


def test_the_need_to_restart_is_said_before_an_override(tmp_path: Path) -> None:
    held = NOBODY.overlaid({NAME: "STRICT"}, "Environment=")
    found = check(tmp_path, {NAME: "BF16", OTHER: "64"}, {NAME: "STRICT"}, held=held)
    assert [key.sync for key in found.keys] == [Sync.OVERRIDDEN, Sync.RESTART_NEEDED]
    assert found.sync is Sync.RESTART_NEEDED
