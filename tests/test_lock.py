"""One calibration at a time, between real processes, and nobody who could keep root from it."""

import fcntl
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graviton_agent.errors import BusyError, ExitCode, StateError
from graviton_agent.installed import LOCKS
from graviton_agent.lock import lock_path, only_calibration

_HOLDER = """
import sys
from pathlib import Path
from graviton_agent.lock import only_calibration
def tell(words):
    print(words, flush=True)
with only_calibration(wait_seconds=60, tell=tell, path=Path(sys.argv[1])):
    tell("held")
    sys.stdin.read()
"""
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A lock of this test's own."""
    return tmp_path / "locks" / "calibration"


def silent(words: str) -> None:
    raise AssertionError(words)


@contextmanager
def process(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another calibration, which holds the lock, or waits for it, until its stdin ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def line(started: "subprocess.Popen[str]") -> str:
    """The next line that it prints."""
    assert started.stdout is not None
    return started.stdout.readline().strip()


def let_go(started: "subprocess.Popen[str]") -> None:
    """Has it end."""
    assert started.stdin is not None
    started.stdin.close()


def test_a_free_lock_is_taken_without_a_word(path: Path) -> None:
    with only_calibration(wait_seconds=0, tell=silent, path=path):
        pass


def test_a_second_calibration_says_who_holds_the_lock(path: Path) -> None:
    with process(path) as other:
        assert line(other) == "held"
        told: list[str] = []
        with (
            pytest.raises(BusyError) as raised,
            only_calibration(wait_seconds=0.05, tell=told.append, path=path),
        ):
            pass
    assert told == [
        f"another calibration (process {other.pid}) is running on this host; waiting for it to end"
    ]
    assert raised.value.message == f"another calibration (process {other.pid}) is running on this host"
    assert raised.value.exit_code == ExitCode.BUSY


def test_a_second_calibration_waits_for_the_first_to_end(path: Path) -> None:
    with process(path) as first:
        assert line(first) == "held"
        with process(path) as second:
            assert f"(process {first.pid}) is running" in line(second)
            let_go(first)
            assert line(second) == "held"


def test_all_that_wait_get_their_turn(path: Path) -> None:
    with process(path) as first:
        assert line(first) == "held"
        with process(path) as second, process(path) as third:
            for waiting in (second, third):
                assert f"(process {first.pid}) is running" in line(waiting)
            let_go(first)
            # Which of them comes first is not said.
            outputs = {started.stdout: started for started in (second, third) if started.stdout}
            (next_one, *_), _, _ = select.select(list(outputs), [], [])
            assert line(outputs[next_one]) == "held"
            let_go(outputs.pop(next_one))
            (last,) = outputs.values()
            assert line(last) == "held"


def test_a_killed_process_leaves_no_lock(path: Path) -> None:
    with process(path) as other:
        assert line(other) == "held"
        other.kill()
        other.wait()
        with only_calibration(wait_seconds=0, tell=silent, path=path):
            pass


def test_the_lock_is_free_after_a_failure(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), only_calibration(wait_seconds=0, tell=silent, path=path):
        raise KeyboardInterrupt
    with only_calibration(wait_seconds=0, tell=silent, path=path):
        pass


# Whose lock


def test_roots_lock_is_one_for_the_host_whatever_its_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("XDG_RUNTIME_DIR", "STATE_DIRECTORY", "HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, "/home/somebody")
    assert lock_path() == Path(LOCKS) / "calibration"


def test_a_users_lock_is_in_its_runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert lock_path() == tmp_path / "graviton-agent" / "calibration"


@pytest.mark.parametrize("runtime", ["", "relative", "/run/user/absent"])
def test_without_one_it_is_in_its_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert lock_path() == tmp_path / "calibration"


def test_nobody_else_can_open_the_lock_or_enter_its_folder(path: Path) -> None:
    with only_calibration(wait_seconds=0, tell=silent, path=path):
        modes = [stat.S_IMODE(found.stat().st_mode) for found in (path.parent, path)]
    assert modes == [0o700, 0o600]


@contextmanager
def another_user(path: Path) -> Iterator[str]:
    """Somebody who takes what can be taken of root's lock; what came of the attempt on its file."""
    receiver, sender = os.pipe()
    above = os.open(path.parents[1], os.O_PATH)
    path.parents[1].chmod(0o755)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        taken = socket.socket(socket.AF_UNIX)
        taken.bind("\0graviton-agent/calibration")
        taken.listen()
        try:
            lock = os.open(path.relative_to(path.parents[1]), os.O_RDONLY, dir_fd=above)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(sender, b"taken")
        except OSError as error:
            os.write(sender, os.strerror(error.errno or 0).encode())
        signal.pause()
    try:
        yield os.read(receiver, 100).decode()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for descriptor in (receiver, sender, above):
            os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_no_user_can_hold_up_root(path: Path) -> None:
    """Neither by the lock's file nor by an abstract socket, which belongs to whoever binds it first."""
    with only_calibration(wait_seconds=0, tell=silent, path=path):
        pass
    with another_user(path) as attempt, only_calibration(wait_seconds=0, tell=silent, path=path):
        assert attempt == "Permission denied"


def test_a_folder_that_is_somebody_elses_is_refused_with_a_hint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    if os.geteuid() == 0:
        os.chown(path.parent, NOBODY, NOBODY)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    with (
        pytest.raises(StateError, match="belongs to user") as raised,
        only_calibration(wait_seconds=0, tell=silent, path=path),
    ):
        pass
    assert raised.value.hint is not None


def test_a_user_who_can_write_nowhere_is_told_and_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.write_text("a file in the place of the folder")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told: list[str] = []
    with only_calibration(wait_seconds=0, tell=told.append, path=path):
        told.append("measured")
    assert told == [
        f"nothing keeps another calibration of yours from starting meanwhile: {path.parent} is no folder",
        "measured",
    ]


def test_a_disk_that_is_full_takes_nothing_but_the_holders_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with only_calibration(wait_seconds=0, tell=silent, path=path):
        pass
