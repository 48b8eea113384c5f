"""Which files, besides torch's, an environment file depends on."""

from pathlib import Path
from typing import Any

import pytest

from graviton_agent.units.guards import guards, is_unread
from graviton_agent.units.unit import EnvironmentSource
from tests.units.services import service, tree

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
        "/run/systemd/transient/llm.service.d",
        "/etc/systemd/system/service.d",
    } <= guarded()
    assert "/etc/systemd/system/llm-.service.d" in guarded(name="llm-big.service")


def test_so_is_a_file_that_systemd_run_has_made() -> None:
    made = "/run/systemd/transient/llm.service"
    assert made in guarded(fragment_path=made)


def test_so_are_the_files_and_drop_ins_of_the_slices_around_it() -> None:
    found = guarded(slice="ml-big.slice")
    assert {
        "/etc/systemd/system/ml.slice",
        "/etc/systemd/system/ml-big.slice",
        "/etc/systemd/system.control/ml.slice.d",
        "/run/systemd/system.control/ml-big.slice.d",
    } <= found
    assert not [path for path in guarded(slice="-.slice") if ".slice" in path]


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


# What systemd has not read yet


DROP_IN = "/etc/systemd/system/llm.service.d/10-a.conf"


def unread(tmp_path: Path, *drop_ins: str, files: dict[str, str] | None = None, **facts: Any) -> bool:
    """Whether a unit of which systemd knows these drop-ins has others on disk."""
    tree(tmp_path, dict(files or {}))
    return is_unread(service(drop_in_paths=drop_ins, **facts), str(tmp_path))


def test_a_unit_whose_files_are_those_that_systemd_knows_is_read(tmp_path: Path) -> None:
    assert not unread(tmp_path)
    assert not unread(tmp_path, DROP_IN, files={DROP_IN: ""})


def test_what_systemd_itself_says_counts(tmp_path: Path) -> None:
    assert unread(tmp_path, needs_daemon_reload=True)


def test_a_drop_in_in_a_new_folder_is_unread(tmp_path: Path) -> None:
    assert unread(tmp_path, files={DROP_IN: ""})


def test_so_is_one_of_an_instances_template(tmp_path: Path) -> None:
    path = "/run/systemd/system/llm@.service.d/10-a.conf"
    assert unread(tmp_path, files={path: ""}, name="llm@1.service")


@pytest.mark.parametrize(
    "path", ["/etc/systemd/system/llm.service.d/notes.txt", "/etc/systemd/system/b.service.d/a.conf"]
)
def test_other_files_are_not(tmp_path: Path, path: str) -> None:
    assert not unread(tmp_path, files={path: ""})


def test_nor_is_a_mask_or_a_drop_in_that_another_folder_hides(tmp_path: Path) -> None:
    assert not unread(tmp_path, files={DROP_IN: "-> /dev/null"})
    hidden = "/run/systemd/system/llm.service.d/10-a.conf"
    assert not unread(tmp_path, "/etc/systemd/system.control/llm.service.d/10-a.conf", files={hidden: ""})
