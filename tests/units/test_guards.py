"""Which files, besides torch's, an environment file depends on."""

from typing import Any

import pytest

from graviton_agent.units.guards import guards
from graviton_agent.units.unit import EnvironmentSource
from tests.units.services import service

PYTHON = "/opt/app/venv/bin/python"


def guarded(**facts: Any) -> set[str]:
    """The paths."""
    return {name.removeprefix("file ") for name in guards(service(**facts), PYTHON)}


def test_the_units_file_its_drop_ins_and_its_interpreter_are() -> None:
    drop_in = "/etc/systemd/system/llm.service.d/10-a.conf"
    assert {"/etc/systemd/system/llm.service", drop_in, PYTHON} <= guarded(drop_in_paths=(drop_in,))


def test_so_are_the_folders_where_a_drop_in_may_appear() -> None:
    assert {
        "/etc/systemd/system/llm.service.d",
        "/run/systemd/system/llm.service.d",
        "/etc/systemd/system.control/llm.service.d",
        "/run/systemd/system.control/llm.service.d",
    } <= guarded()


def test_for_an_instance_those_of_its_template_too() -> None:
    assert {"/etc/systemd/system/llm@.service.d", "/etc/systemd/system/llm@1.service.d"} <= guarded(
        name="llm@1.service"
    )


def test_what_a_reload_writes_anew_is_not() -> None:
    ours = "/run/systemd/generator/llm.service.d/50-graviton-agent.conf"
    assert ours not in guarded(drop_in_paths=(ours,))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/etc/default/llm", "/etc/default/llm"),
        ("/etc/llm/*.env", "/etc/llm"),
        ("/*.env", "/"),
        ("/etc/llm/a[12].env", "/etc/llm"),
    ],
)
def test_its_environment_files_are_and_the_folders_of_patterns(pattern: str, expected: str) -> None:
    assert expected in guarded(environment_files=(EnvironmentSource(pattern, True),))


@pytest.mark.parametrize(
    "pattern", ["/run/llm/env", "/tmp/env", "/run/graviton-agent/environment/llm.service.env"]
)
def test_what_is_written_at_each_start_is_not(pattern: str) -> None:
    assert guarded(environment_files=(EnvironmentSource(pattern, True),)) == guarded()


def test_a_path_that_no_line_can_carry_is_left_out() -> None:
    assert "/etc/a\nb" not in guarded(environment_files=(EnvironmentSource("/etc/a\nb", True),))
