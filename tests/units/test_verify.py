"""Whether a unit's processes have what they should, key by key."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from graviton_agent.units.held import UnitEnvironment
from graviton_agent.units.processes import LARGEST_ENVIRONMENT
from graviton_agent.units.unit import EnvironmentSource, Unit
from graviton_agent.units.verify import MORE_LOOKS, Expectation, KeyCheck, Sync, Verification, verify
from tests.units.services import service
from tests.units.test_processes import INVOCATION, process

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
    blocks: Mapping[int, str] | None = None,
    again: Callable[[], Unit] | None = None,
) -> Verification:
    """Verifies a service with these processes, the first of which is the main one.

    Each has the INVOCATION_ID of the unit, unless `blocks` gives its whole environment by its place.
    """
    group = folder / "sys/fs/cgroup/system.slice/llm.service"
    group.mkdir(parents=True)
    numbers = range(100, 100 + len(processes))
    (group / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in numbers))
    root = process(folder, 1)
    for at, environment in enumerate(processes):
        process(folder, numbers[at], environment=(blocks or {}).get(at, block(**environment)))
    unit = unit or service(environment_files=OURS, invocation=INVOCATION)
    expectation = Expectation(expected, changed)
    return verify(unit, expectation, held, [NAME, OTHER], root, again=again, settle_seconds=0)


def block(**environment: str) -> str:
    """The environment of a process that systemd has started, as Linux shows it."""
    given = {"INVOCATION_ID": INVOCATION, **environment}
    return "".join(f"{key}={value}\0" for key, value in given.items())


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
    found = check(tmp_path, {NAME: "BF16"}, {}, unit=service(environment_files=(), invocation=INVOCATION))
    assert found.sync is Sync.OVERRIDDEN
    assert found.keys[0].source == "the unit's own files, which drop the agent's EnvironmentFile="


def test_a_program_that_was_started_with_the_file_and_has_not_its_value_overrides_it(tmp_path: Path) -> None:
    unit = service(environment_files=OURS, invocation=INVOCATION, started=AFTER)
    found = check(tmp_path, {NAME: "BF16"}, {}, unit=unit, changed=BEFORE)
    assert found.sync is Sync.OVERRIDDEN
    assert found.keys[0].source == "what starts the program, such as a script"


def test_a_program_that_was_started_before_the_file_changed_needs_a_restart(tmp_path: Path) -> None:
    unit = service(environment_files=OURS, invocation=INVOCATION, started=BEFORE)
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


@pytest.mark.parametrize(
    "environment",
    [
        "",
        "\0" * 400,
        "serving\0\0\0\0",
        "PATH=/bin\0",
        block(A="x" * LARGEST_ENVIRONMENT, **{NAME: "STRICT"}),
    ],
    ids=["empty", "overwritten", "a title", "not systemd's", "too large"],
)
def test_what_a_main_process_hides_can_not_be_told_and_is_no_drift(tmp_path: Path, environment: str) -> None:
    found = check(tmp_path, {NAME: "BF16"}, {}, blocks={0: environment}, changed=BEFORE)
    assert found == Verification(
        "llm.service", Sync.UNTOLD, (KeyCheck(NAME, "BF16", None, Sync.UNTOLD),), processes=1, untold=1
    )


@pytest.mark.parametrize("environment", ["", "\0" * 400, "x" * (LARGEST_ENVIRONMENT + 1)])
def test_a_child_that_hides_it_is_counted_and_nothing_else(tmp_path: Path, environment: str) -> None:
    found = check(tmp_path, {NAME: "BF16"}, {NAME: "BF16"}, {}, {NAME: "BF16"}, blocks={1: environment})
    assert (found.sync, found.processes, found.untold) == (Sync.IN_SYNC, 3, 1)


def test_a_child_that_a_wrapper_gave_another_environment_is_still_named(tmp_path: Path) -> None:
    found = check(tmp_path, {NAME: "BF16"}, {NAME: "BF16"}, {}, blocks={1: "PATH=/bin\0"})
    assert (found.sync, found.keys[0].process) == (Sync.OVERRIDDEN, 101)


def test_a_unit_that_was_restarted_since_is_read_anew(tmp_path: Path) -> None:
    before = service(environment_files=OURS, invocation="0" * 32)
    after = service(environment_files=OURS, invocation=INVOCATION)
    assert (
        check(tmp_path, {NAME: "BF16"}, {NAME: "BF16"}, unit=before, again=lambda: after).sync is Sync.IN_SYNC
    )


def test_so_is_one_whose_main_process_is_gone(tmp_path: Path) -> None:
    before = service(environment_files=OURS, main_pid=99)
    after = service(environment_files=OURS, invocation=INVOCATION)
    assert (
        check(tmp_path, {NAME: "BF16"}, {NAME: "BF16"}, unit=before, again=lambda: after).sync is Sync.IN_SYNC
    )


def test_one_that_ends_meanwhile_is_not_running(tmp_path: Path) -> None:
    before = service(environment_files=OURS, main_pid=99)
    after = service(active_state="inactive", main_pid=None, control_group=None)
    assert check(tmp_path, {NAME: "BF16"}, unit=before, again=lambda: after).sync is Sync.NOT_RUNNING


def test_one_that_never_agrees_with_its_process_is_given_up(tmp_path: Path) -> None:
    asked = []

    def again() -> Unit:
        asked.append(1)
        return service(environment_files=OURS, invocation="0" * 32)

    assert check(tmp_path, {NAME: "BF16"}, {}, unit=again(), again=again).sync is Sync.UNTOLD
    assert len(asked) == 1 + MORE_LOOKS


def test_of_very_many_processes_it_is_said_that_there_are_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graviton_agent.units.processes.MOST_PROCESSES", 2)
    found = check(tmp_path, {NAME: "BF16"}, *[{NAME: "BF16"}] * 3)
    assert (found.sync, found.processes, found.is_all) == (Sync.IN_SYNC, 2, False)
