"""Reading the processes of a unit from /proc, also in the moment when they aren't the unit's yet."""

import time
from pathlib import Path

import pytest

from graviton_agent.root import Root
from graviton_agent.units.processes import own_unit, processes_of, read_process
from tests.units.services import tree

PYTHON = "/opt/venv/bin/python3"


def process(
    folder: Path, pid: int, *, program: str = PYTHON, started: int = 5000, environment: str = "A=1\0"
) -> Root:
    stat = f"{pid} (odd ) name) S 1 " + " ".join(["0"] * 17) + f" {started} 0 0"
    files: dict[str, str | bytes] = {
        f"/proc/{pid}/stat": stat,
        f"/proc/{pid}/exe": f"-> {program}",
        f"/proc/{pid}/environ": environment,
    }
    return tree(folder, files)


def test_a_process_is_known_by_its_number_and_start(tmp_path: Path) -> None:
    found = read_process(7, process(tmp_path, 7))
    assert found is not None
    assert (found.pid, found.started, found.environment) == (7, 5000, {"A": "1"})


def test_a_process_that_has_ended_is_none(tmp_path: Path) -> None:
    assert read_process(7, Root(tmp_path)) is None


@pytest.mark.parametrize("program", ["/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-executor"])
def test_a_process_that_stays_systemds_is_none(tmp_path: Path, program: str) -> None:
    assert read_process(7, process(tmp_path, 7, program=program), settle_seconds=0.01) is None


def test_a_process_is_read_again_once_it_runs_the_units_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = process(tmp_path, 7, program="/usr/lib/systemd/systemd-executor", environment="EXECUTORS=1\0")

    def become_the_units(_seconds: float) -> None:
        (tmp_path / "proc/7/exe").unlink()
        (tmp_path / "proc/7/environ").unlink()
        process(tmp_path, 7, environment="UNITS=1\0")

    monkeypatch.setattr(time, "sleep", become_the_units)
    found = read_process(7, root)
    assert found is not None
    assert found.environment == {"UNITS": "1"}


def test_an_environment_that_is_not_set_up_yet_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = process(tmp_path, 7, environment="")
    monkeypatch.setattr(time, "sleep", lambda _seconds: (tmp_path / "proc/7/environ").write_text("A=1\0"))
    found = read_process(7, root)
    assert found is not None
    assert found.environment == {"A": "1"}


def test_an_environment_that_stays_empty_is_empty(tmp_path: Path) -> None:
    found = read_process(7, process(tmp_path, 7, environment=""), settle_seconds=0.01)
    assert found is not None
    assert found.environment == {}


def test_a_program_that_was_replaced_by_an_upgrade_is_still_systemds(tmp_path: Path) -> None:
    root = process(tmp_path, 7, program="/usr/lib/systemd/systemd-executor (deleted)")
    assert read_process(7, root, settle_seconds=0.01) is None


@pytest.mark.parametrize("mount", ["sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/fs/cgroup/systemd"])
def test_the_processes_of_a_unit_are_those_of_its_group_and_below(tmp_path: Path, mount: str) -> None:
    group = f"/{mount}/system.slice/llm.service"
    root = tree(
        tmp_path,
        {
            f"{group}/cgroup.procs": "9\n7\n0\n",
            f"{group}/workers/cgroup.procs": "12\n",
            f"{group}/cpu.stat": "",
        },
    )
    assert processes_of("/system.slice/llm.service", root) == (7, 9, 12)


def test_a_unit_without_a_group_has_no_processes(tmp_path: Path) -> None:
    assert processes_of("/system.slice/llm.service", Root(tmp_path)) == ()


@pytest.mark.parametrize(
    ("groups", "unit"),
    [
        ("0::/system.slice/graviton-agent.service\n", "graviton-agent.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
        ("0::/user.slice/user-1.slice/user@1.service/app.slice/x.scope\n", "user@1.service"),
        ("5:cpu:/\n1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service"),
        ("0::/../..\n", None),
        ("", None),
    ],
)
def test_the_unit_that_this_process_belongs_to(tmp_path: Path, groups: str, unit: str | None) -> None:
    assert own_unit(tree(tmp_path, {"/proc/self/cgroup": groups})) == unit
