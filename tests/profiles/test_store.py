"""Profiles on disk: one file for each unit, and one that is broken costs no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graviton_agent.errors import BusyError, StateError
from graviton_agent.profiles.profile import LARGEST
from graviton_agent.profiles.store import ProfileStore, unit_of
from tests.profiles.host import AgentHost, unit

ESCAPED = r"llm@a\x2db.service"


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "state")


def test_what_was_written_is_read(store: ProfileStore, host: AgentHost) -> None:
    store.write(host.profile())
    assert store.read("llm.service") == host.profile()


def test_a_unit_without_a_profile_has_none(store: ProfileStore) -> None:
    assert store.read("llm.service") is None
    assert store.units() == ()


def test_an_escaped_name_is_its_file(store: ProfileStore, host: AgentHost) -> None:
    host.unit = unit(name=ESCAPED)
    store.write(host.profile())
    assert store.units() == (ESCAPED,)
    assert store.read(ESCAPED) == host.profile()


def test_a_profile_is_replaced_in_one_step(store: ProfileStore, host: AgentHost) -> None:
    store.write(host.profile())
    inode = store.path("llm.service").stat().st_ino
    store.write(host.profile(gain=1.32))
    assert store.path("llm.service").stat().st_ino != inode
    assert [path.name for path in store.folder.iterdir()] == ["llm.service.json"]


def test_a_removed_profile_is_gone(store: ProfileStore, host: AgentHost) -> None:
    store.write(host.profile())
    assert store.remove("llm.service")
    assert not store.remove("llm.service")
    assert store.read("llm.service") is None


def spoil(store: ProfileStore, name: str, kind: str) -> None:
    path = store.folder / name
    if kind == "text":
        path.write_text("{}")
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b" " * (LARGEST + 1))
    else:
        path.symlink_to("/nonexistent")


@pytest.mark.parametrize("kind", ["text", "folder", "fifo", "large", "link"])
def test_a_broken_file_costs_its_own_unit_alone(store: ProfileStore, host: AgentHost, kind: str) -> None:
    store.write(host.profile())
    spoil(store, "broken.service.json", kind)
    found, broken = store.read_all()
    assert list(found) == ["llm.service"]
    assert list(broken) == ["broken.service"]
    assert broken["broken.service"].hint == "graviton-agent calibrate broken.service makes another"


def test_the_profile_of_another_unit_is_not_taken(store: ProfileStore, host: AgentHost) -> None:
    store.write(host.profile())
    store.path("llm.service").rename(store.path("other.service"))
    with pytest.raises(StateError, match=r"is the profile of llm\.service"):
        store.read("other.service")


@pytest.mark.parametrize(
    "name", ["llm.service", ".llm.service.json.x7", "llm@.service.json", "llm.socket.json", "lock", ".json"]
)
def test_other_files_belong_to_no_unit(name: str) -> None:
    assert unit_of(name) is None


def test_only_one_process_has_the_lock(store: ProfileStore) -> None:
    script = (
        "import sys; from pathlib import Path; from graviton_agent.profiles.store import ProfileStore\n"
        "with ProfileStore(Path(sys.argv[1])).locked():\n    print('taken', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, store.state], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BusyError, match="another process has held"), store.locked(wait_seconds=0.0):
            pass
        other.communicate()
    with store.locked(wait_seconds=0.0):
        pass


def test_the_lock_is_free_again_after_a_failure(store: ProfileStore) -> None:
    with pytest.raises(ZeroDivisionError), store.locked():
        raise ZeroDivisionError
    with store.locked(wait_seconds=0.0):
        pass


def test_a_state_directory_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = ProfileStore(tmp_path / "file" / "state")
    with pytest.raises(StateError, match=r"can't make .*: Not a directory"), store.locked():
        pass


def test_the_daemon_needs_nothing_heavy_for_all_this() -> None:
    script = (
        "import sys; import graviton_agent.profiles.assessment, graviton_agent.profiles.store\n"
        "import graviton_agent.profiles.survey\n"
        "heavy = {'pydantic', 'typer', 'rich', 'torch', 'graviton_agent.calibration.session', 'tomllib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
