"""The state directory, and files that are never half there."""

import errno
import multiprocessing
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from graviton_agent.errors import StateError
from graviton_agent.state import state_directory, write_atomically


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, without any variable that says otherwise."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_systemds_state_directory_comes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/graviton-agent:/var/lib/other")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    assert state_directory() == Path("/var/lib/graviton-agent")


def test_then_comes_the_users_state_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert state_directory() == home / "state" / "graviton-agent"


@pytest.mark.parametrize("given", [None, "", "relative/path"])
def test_without_a_usable_one_it_is_under_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    if given is not None:
        monkeypatch.setenv("XDG_STATE_HOME", given)
    assert state_directory() == home / ".local" / "state" / "graviton-agent"


def test_a_file_is_written_with_its_folders_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.json"
    write_atomically(path, b"content", mode=0o600)
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for content in (b"old and long", b"new"):
        write_atomically(path, content)
    assert path.read_bytes() == b"new"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file that must survive."""
    path = tmp_path / "file.json"
    path.write_bytes(b"old")
    return path


def left_alone(path: Path) -> bool:
    """Whether the old file stands, and nothing beside it."""
    return path.read_bytes() == b"old" and [entry.name for entry in path.parent.iterdir()] == [path.name]


def _write_beyond_a_limit(path: Path) -> None:
    """As on a full disk: the kernel refuses what goes beyond the limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        write_atomically(path, b"x" * 100_000)
    except StateError as error:
        os._exit(0 if f"can't write {path}: File too large" == error.message else 2)
    os._exit(1)


def test_a_disk_that_is_full_leaves_the_old_file_and_no_other(kept: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_write_beyond_a_limit, args=(kept,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert left_alone(kept)


@pytest.mark.parametrize("function", ["fsync", "fchmod"])
def test_a_disk_that_fails_late_leaves_the_old_file_and_no_other(
    kept: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(StateError, match="Input/output error"):
        write_atomically(kept, b"new")
    assert left_alone(kept)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_the_old_file_and_no_other(
    kept: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def interrupted(_descriptor: int) -> None:
        raise interruption

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(interruption):
        write_atomically(kept, b"new")
    assert left_alone(kept)


def _write_forever(path: Path, started: str) -> None:
    Path(started).touch()
    for number in range(10**9):
        write_atomically(path, b"%d" % (number % 10) * 200_000)


def test_a_writer_that_is_killed_leaves_a_whole_file(kept: Path) -> None:
    """Killed by SIGKILL in the middle of its writes, it never leaves a file of two contents."""
    context = multiprocessing.get_context("spawn")
    started = kept.parent / "started"
    process = context.Process(target=_write_forever, args=(kept, str(started)))
    process.start()
    try:
        while not started.exists() or kept.read_bytes() == b"old":
            assert process.is_alive()
        for _ in range(200):
            content = kept.read_bytes()
            assert len(set(content)) == 1
            assert len(content) == 200_000
    finally:
        process.kill()
        process.join()
    assert len(set(kept.read_bytes())) == 1


def test_a_folder_that_is_a_file_is_named(kept: Path) -> None:
    with pytest.raises(StateError) as raised:
        write_atomically(kept / "below" / "file.json", b"new")
    assert raised.value.message == f"can't write {kept / 'below' / 'file.json'}: Not a directory"
    assert raised.value.hint is not None


def test_a_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.json" / "full").mkdir(parents=True)
    with pytest.raises(StateError, match="Is a directory"):
        write_atomically(tmp_path / "file.json", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]
