"""Reading the processes of a unit from /proc, also in the moment when they aren't the unit's yet."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graviton_agent.root import Root
from graviton_agent.units.processes import (
    DEEPEST,
    LARGEST_ENVIRONMENT,
    MOST_PROCESSES,
    Members,
    Process,
    own_unit,
    processes_of,
    read_process,
)
from tests.units.services import tree

PYTHON = "/opt/venv/bin/python3"
INVOCATION = "5d0a7a53" * 4

# Fields 50 and 51 of stat say where Linux finds the environment; a title is written there by setproctitle.
OVERWRITES = """
import ctypes, pathlib, sys, time
fields = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
start, end = int(fields[47]), int(fields[48])
ctypes.memset(start, 0, end - start)
ctypes.memmove(start, b"serving" if sys.argv[1] == "title" else b"", 7 if sys.argv[1] == "title" else 0)
print("done", flush=True)
time.sleep(60)
"""


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


def look(root: Root, *, settle_seconds: float = 2.0) -> Process | None:
    return read_process(7, ["A", "UNITS"], root, settle_seconds=settle_seconds)


def test_a_process_has_what_it_was_started_with(tmp_path: Path) -> None:
    root = process(tmp_path, 7, environment=f"A=1\0INVOCATION_ID={INVOCATION}\0")
    assert look(root) == Process(7, {"A": "1"}, INVOCATION, is_legible=True)


def test_only_the_variables_that_are_asked_for_are_kept(tmp_path: Path) -> None:
    found = look(process(tmp_path, 7, environment="B=A=2\0A=1\0AA=3\0"))
    assert found == Process(7, {"A": "1"}, None, is_legible=True)


@pytest.mark.parametrize(
    "environment", ["", "\0" * 100, "serving\0\0\0", "A=1\0" + "x" * LARGEST_ENVIRONMENT]
)
def test_what_is_empty_overwritten_or_too_large_is_not_legible(tmp_path: Path, environment: str) -> None:
    found = look(process(tmp_path, 7, environment=environment), settle_seconds=0.01)
    assert found is not None
    assert not found.is_legible


def test_as_much_as_is_read_is_legible(tmp_path: Path) -> None:
    padding = "x" * (LARGEST_ENVIRONMENT - len("A=1\0B=\0"))
    found = look(process(tmp_path, 7, environment=f"A=1\0B={padding}\0"))
    assert found == Process(7, {"A": "1"}, None, is_legible=True)


@pytest.mark.parametrize("how", ["title", "zeros"])
def test_a_real_program_that_writes_over_its_environment_is_not_legible(how: str) -> None:
    command = [sys.executable, "-c", OVERWRITES, how]
    environment = {**os.environ, "A": "1", "INVOCATION_ID": INVOCATION}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"done\n"
        found = read_process(program.pid, ["A"], Root())
        program.kill()
    assert found == Process(program.pid, {}, None, is_legible=False)


def test_a_process_that_has_ended_is_none(tmp_path: Path) -> None:
    assert look(Root(tmp_path)) is None


@pytest.mark.parametrize("program", ["/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-executor"])
def test_a_process_that_stays_systemds_is_none(tmp_path: Path, program: str) -> None:
    assert look(process(tmp_path, 7, program=program), settle_seconds=0.01) is None


def test_a_process_is_read_again_once_it_runs_the_units_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = process(tmp_path, 7, program="/usr/lib/systemd/systemd-executor", environment="EXECUTORS=1\0")

    def become_the_units(_seconds: float) -> None:
        (tmp_path / "proc/7/exe").unlink()
        (tmp_path / "proc/7/environ").unlink()
        process(tmp_path, 7, environment="UNITS=1\0")

    monkeypatch.setattr(time, "sleep", become_the_units)
    found = look(root)
    assert found is not None
    assert found.variables == {"UNITS": "1"}


def test_an_environment_that_is_not_set_up_yet_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = process(tmp_path, 7, environment="")
    monkeypatch.setattr(time, "sleep", lambda _seconds: (tmp_path / "proc/7/environ").write_text("A=1\0"))
    found = look(root)
    assert found is not None
    assert found.variables == {"A": "1"}


def test_a_program_that_was_replaced_by_an_upgrade_is_still_systemds(tmp_path: Path) -> None:
    root = process(tmp_path, 7, program="/usr/lib/systemd/systemd-executor (deleted)")
    assert look(root, settle_seconds=0.01) is None


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
    assert processes_of("/system.slice/llm.service", root) == Members((7, 9, 12), is_all=True)


def test_a_unit_without_a_group_has_no_processes(tmp_path: Path) -> None:
    assert processes_of("/system.slice/llm.service", Root(tmp_path)) == Members((), is_all=True)


def groups(folder: Path, processes: dict[str, str]) -> Root:
    """A unit's control groups, by their places below its own."""
    unit = "/sys/fs/cgroup/system.slice/llm.service"
    return tree(folder, {f"{unit}/{group}cgroup.procs": text for group, text in processes.items()})


def test_a_tree_of_groups_is_followed_down_to_a_bound(tmp_path: Path) -> None:
    chain = {"a/" * depth: f"{depth + 1}\n" for depth in range(DEEPEST + 3)}
    found = processes_of("/system.slice/llm.service", groups(tmp_path, chain))
    assert found == Members(tuple(range(1, DEEPEST + 2)), is_all=False)


def test_a_tree_that_is_just_as_deep_is_seen_whole(tmp_path: Path) -> None:
    chain = {"a/" * depth: f"{depth + 1}\n" for depth in range(DEEPEST + 1)}
    assert processes_of("/system.slice/llm.service", groups(tmp_path, chain)).is_all


def test_only_so_many_groups_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graviton_agent.units.processes.MOST_GROUPS", 5)
    many = {"": "1\n", **{f"{name}/": f"{ord(name)}\n" for name in "abcdef"}, "a/x/": "2\n"}
    found = processes_of("/system.slice/llm.service", groups(tmp_path, many))
    assert (len(found.pids), found.is_all) == (5, False)
    few = groups(tmp_path / "few", {"": "1\n", **{f"{name}/": f"{ord(name)}\n" for name in "abcd"}})
    assert processes_of("/system.slice/llm.service", few) == Members((1, 97, 98, 99, 100), is_all=True)


@pytest.mark.parametrize(("more", "is_all"), [(0, True), (1, False), (100_000, False)])
def test_only_so_many_processes_are_looked_at(tmp_path: Path, more: int, *, is_all: bool) -> None:
    text = "".join(f"{pid}\n" for pid in range(1, MOST_PROCESSES + more + 1))
    found = processes_of("/system.slice/llm.service", groups(tmp_path, {"": text}))
    assert found == Members(tuple(range(1, MOST_PROCESSES + 1)), is_all=is_all)


def test_half_a_number_at_the_end_of_what_is_read_is_no_process(tmp_path: Path) -> None:
    root = groups(tmp_path, {"": "7\n12"})
    assert processes_of("/system.slice/llm.service", root).pids == (7,)


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
