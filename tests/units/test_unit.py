"""What PID 1 says of a service, in our words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from graviton_agent.errors import UsageError
from graviton_agent.units.bus import Bus, BusError
from graviton_agent.units.command_line import CommandLine
from graviton_agent.units.manager import Properties, changes_of, unit_path
from graviton_agent.units.unit import (
    INFINITY,
    EnvironmentSource,
    UnitError,
    cpus_of,
    read_unit,
    require_loaded,
    unit_of,
)
from tests.units.services import OLD, service


def properties(**changes: tuple[str, Any]) -> Properties:
    return {**OLD, **changes}


def test_what_an_old_systemd_does_not_say_is_not_set() -> None:
    unit = unit_of(OLD)
    assert (unit.search_path, unit.commands, unit.main_pid, unit.memory_max) == ((), (), None, None)


def test_infinite_limits_are_none() -> None:
    unit = unit_of(properties(MemoryMax=("t", INFINITY), CPUQuotaPerSecUSec=("t", INFINITY)))
    assert (unit.memory_max, unit.cpu_quota) == (None, None)


def test_a_quota_is_a_number_of_cpus() -> None:
    assert unit_of(properties(CPUQuotaPerSecUSec=("t", 1_500_000))).cpu_quota == 1.5


def test_a_command_has_its_prefixes() -> None:
    line = ("/usr/bin/python3", ["python3", "serve.py"], ["privileged"], 0, 0, 0, 0, 0, 0, 0)
    unit = unit_of(properties(ExecStartEx=("a(sasasttttuii)", [line])))
    expected = CommandLine("/usr/bin/python3", ("python3", "serve.py"), frozenset({"privileged"}))
    assert unit.commands == (expected,)


def test_environment_files_keep_their_order() -> None:
    unit = unit_of(properties(EnvironmentFiles=("a(sb)", [("/b", True), ("/a", False)])))
    assert unit.environment_files == (EnvironmentSource("/b", True), EnvironmentSource("/a", False))


def test_a_value_may_hold_an_equals_sign() -> None:
    assert unit_of(properties(Environment=("as", ["A=x=y"]))).environment == (("A", "x=y"),)


def test_times_are_in_microseconds() -> None:
    unit = unit_of(properties(ExecMainStartTimestamp=("t", 1_763_856_000_500_000)))
    assert unit.started == datetime(2025, 11, 23, 0, 0, 0, 500_000, tzinfo=UTC)


def test_a_working_folder_that_may_be_missing_loses_its_mark() -> None:
    assert unit_of(properties(WorkingDirectory=("s", "!/opt/llm"))).working_directory == "/opt/llm"


@pytest.mark.parametrize(
    ("mask", "cpus"), [(b"", None), (b"\x00", None), (b"\x05", (0, 2)), (b"\x00\x81", (8, 15))]
)
def test_a_set_of_cpus_begins_with_the_lowest_bit(mask: bytes, cpus: tuple[int, ...] | None) -> None:
    assert cpus_of(mask) == cpus


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llm.service", "llm_2eservice"),
        (r"a-b\x2dc@1.service", "a_2db_5cx2dc_401_2eservice"),
        ("1.service", "_31_2eservice"),
        ("é.service", "_c3_a9_2eservice"),
    ],
)
def test_the_path_of_a_unit_is_escaped_byte_by_byte(name: str, path: str) -> None:
    assert unit_path(name) == f"/org/freedesktop/systemd1/unit/{path}"


def test_the_changes_of_one_unit_are_asked_for_by_its_path() -> None:
    assert "path='/org/freedesktop/systemd1/unit/llm_2eservice'" in changes_of("llm.service")


def test_a_unit_that_is_loaded_is_given_back() -> None:
    assert require_loaded(service()) == service()


def test_a_unit_that_is_not_there_is_named() -> None:
    with pytest.raises(UnitError, match=r"llm\.service can't be started: there is no such unit"):
        require_loaded(service(load_state="not-found"))


def test_without_a_bus_one_line_says_what_is_needed() -> None:
    with pytest.raises(BusError) as caught:
        Bus.connect("unix:path=/nowhere/bus")
    assert caught.value.message == "the system bus can't be reached (No such file or directory)"
    assert caught.value.hint is not None
    assert "needs a running systemd and D-Bus" in caught.value.hint


class NoBus(Bus):
    def __init__(self) -> None:
        pass


def test_a_template_is_refused_before_systemd_is_asked() -> None:
    with pytest.raises(UnitError) as caught:
        read_unit(NoBus(), "llm@.service")
    assert caught.value.hint == "name one of its instances, such as llm@1.service"


def test_a_name_that_no_unit_can_have_is_refused_before_systemd_is_asked() -> None:
    with pytest.raises(UsageError):
        read_unit(NoBus(), "../etc/passwd")
