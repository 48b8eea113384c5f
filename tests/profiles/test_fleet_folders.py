"""The folders of fleet profiles: which file counts, and which is not believed."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from graviton_agent.profiles import fleet_folders
from graviton_agent.profiles.fleet_folders import IMPORTED, OPERATORS, PACKAGED, FleetFolders
from graviton_agent.profiles.profile import LARGEST
from tests.profiles.fleet import Fleet, make_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path)


def found(fleet: Fleet) -> list[str]:
    return [one.path for one in FleetFolders(fleet.other.root).fitting(fleet.found().key)]


def broken(fleet: Fleet) -> str:
    folders = FleetFolders(fleet.other.root)
    assert folders.fitting(fleet.found().key) == ()
    (error,) = folders.broken.values()
    return error.message


def test_an_empty_host_has_none(fleet: Fleet) -> None:
    assert found(fleet) == []


def test_the_operators_count_before_imported_ones_and_those_before_packaged_ones(fleet: Fleet) -> None:
    key = fleet.found().key
    for folder, name in ((PACKAGED, "c"), (OPERATORS, "a"), (IMPORTED, "b")):
        fleet.bring(folder=folder, name=f"{name}--{key}.json")
    assert found(fleet) == [
        f"{folder}/{name}--{key}.json"
        for folder, name in ((OPERATORS, "a"), (IMPORTED, "b"), (PACKAGED, "c"))
    ]


def test_in_one_folder_the_newest_counts_first(fleet: Fleet) -> None:
    old = fleet.found()
    new = replace(old, profile=replace(old.profile, calibrated=old.profile.calibrated + timedelta(days=1)))
    fleet.bring(old, name=f"a--{old.key}.json")
    fleet.bring(new, name=f"b--{old.key}.json")
    assert [Path(path).name[0] for path in found(fleet)] == ["b", "a"]


def test_a_file_hides_that_of_its_name_in_a_later_folder(fleet: Fleet) -> None:
    fleet.bring(folder=OPERATORS)
    fleet.bring(folder=PACKAGED)
    assert found(fleet) == [f"{OPERATORS}/{fleet.found().name}"]


def test_a_link_to_dev_null_takes_a_packaged_profile_out_of_use(fleet: Fleet) -> None:
    fleet.bring(folder=PACKAGED)
    link = fleet.other.tree.root / OPERATORS[1:] / fleet.found().name
    link.parent.mkdir(parents=True)
    link.symlink_to("/dev/null")
    folders = FleetFolders(fleet.other.root)
    assert folders.fitting(fleet.found().key) == ()
    assert folders.broken == {}


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_not_believed(fleet: Fleet, mode: int) -> None:
    fleet.bring().chmod(mode)
    assert "other users may write to it" in broken(fleet)


def test_a_folder_that_others_may_write_is_not_believed(fleet: Fleet) -> None:
    fleet.bring().parent.chmod(0o777)
    assert "other users may write to it" in broken(fleet)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_users_is_not_believed(fleet: Fleet) -> None:
    os.chown(fleet.bring(), 1234, -1)
    assert "it belongs to user 1234" in broken(fleet)


def test_a_fifo_is_not_waited_for(fleet: Fleet) -> None:
    path = fleet.bring()
    path.unlink()
    os.mkfifo(path)
    assert "it is no file" in broken(fleet)


def test_a_large_file_is_not_read(fleet: Fleet) -> None:
    fleet.bring().write_bytes(b" " * (LARGEST + 1))
    assert "at most 256 KiB" in broken(fleet)


def test_a_name_that_belongs_to_another_is_told(fleet: Fleet) -> None:
    one = fleet.found()
    shared = {**one.shared, "instance": "c8g.large"}
    wrong = replace(
        one, profile=replace(one.profile, fingerprint=replace(one.profile.fingerprint, shared=shared))
    )
    fleet.bring(wrong, name=one.name)
    assert "its name belongs to another profile" in broken(fleet)


def test_only_files_with_the_key_are_read(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.bring()
    for number in range(500):
        fleet.other.tree.write(f"{PACKAGED[1:]}/x--{number:016x}.json", "{}")
    read: list[str] = []
    original = fleet_folders.read_trusted

    def watched(path: str, prefix: str) -> bytes:
        read.append(path)
        return original(path, prefix)

    monkeypatch.setattr(fleet_folders, "read_trusted", watched)
    assert len(found(fleet)) == len(read) == 1
