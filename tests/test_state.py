"""The state directory, and files that are never half there."""

import errno
import multiprocessing
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from graviton_agent.errors import StateError
from graviton_agent.installed import STATE
from graviton_agent.state import (
    private_folder,
    refuse_foreign,
    remove_file,
    state_directory,
    write_atomically,
    write_private,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home of its own, without any variable that says otherwise."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
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


def test_roots_is_the_hosts_whatever_its_home_is_said_to_be(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_directory() == Path(STATE)


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


class _FailsAtItsEnd:
    """A file of a disk that says only when it is closed that it is full, as network file systems do."""

    def __init__(self, descriptor: int, mode: str) -> None:
        self._file = open(descriptor, mode)  # noqa: SIM115 - it is closed by its context

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_a_disk_that_fails_at_the_close_leaves_the_old_file_and_no_other(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdopen", _FailsAtItsEnd)
    with pytest.raises(StateError, match="No space left on device"):
        write_atomically(kept, b"new")
    assert left_alone(kept)


def test_a_file_system_that_can_not_sync_folders_is_good_enough(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def files_alone(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", files_alone)
    write_atomically(kept, b"new")
    assert kept.read_bytes() == b"new"


def test_a_file_that_can_not_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateError, match=r"can't remove .*folder: Is a directory") as raised:
        remove_file(tmp_path / "folder")
    assert raised.value.hint is not None
    assert remove_file(tmp_path / "absent") is False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB with one file on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system, and not in every container")
    try:
        (folder / "file.json").write_bytes(b"old")
        yield folder
    finally:
        subprocess.run(("umount", str(folder)), check=True)


def test_on_a_full_disk_the_old_file_stays_and_the_message_says_so(disk: Path) -> None:
    with pytest.raises(StateError, match="No space left on device") as raised:
        write_private(disk, "file.json", b"x" * 100_000)
    assert raised.value.message == f"can't write {disk / 'file.json'}: No space left on device"
    assert left_alone(disk / "file.json")


def test_on_a_read_only_disk_too(disk: Path) -> None:
    private_folder(disk)
    subprocess.run(("mount", "-o", "remount,ro", str(disk)), check=True)
    with pytest.raises(StateError, match="Read-only file system"):
        write_private(disk, "file.json", b"new")
    with pytest.raises(StateError, match="Read-only file system"):
        remove_file(disk / "file.json")
    assert left_alone(disk / "file.json")


# What is nobody else's business


def modes(*paths: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


def test_a_private_file_and_its_folders_are_for_nobody_elses_eyes(tmp_path: Path) -> None:
    base = tmp_path / "state"
    path = write_private(base, "profiles/llm.service.json", b"content")
    assert path == base / "profiles" / "llm.service.json"
    assert modes(base, path.parent, path) == [0o700, 0o700, 0o600]


def test_a_folder_that_others_can_enter_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    private_folder(folder)
    assert modes(folder) == [0o700]


@pytest.mark.parametrize("name", ["state", "state/profiles"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(elsewhere)
    with pytest.raises(StateError, match="is a link, which the agent doesn't follow") as raised:
        write_private(tmp_path / "state", "profiles/llm.service.json", b"content")
    assert raised.value.hint is not None
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "file.json").symlink_to(victim)
    path = write_private(tmp_path / "state", "file.json", b"content")
    assert victim.read_text() == "untouched"
    assert path.read_bytes() == b"content"
    assert not path.is_symlink()


def test_a_folder_of_somebody_else_is_refused_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    for attempt in (private_folder, refuse_foreign):
        with pytest.raises(StateError) as raised:
            attempt(folder)
        assert raised.value.message == (
            f"{folder} belongs to user {owner}, and not to user {owner + 1}, who runs this"
        )
        assert f"chown --recursive {owner + 1} {folder}" in str(raised.value.hint)


def test_a_folder_that_is_not_there_is_nobodys(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "absent")
