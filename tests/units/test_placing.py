"""What is put in place, and what never is."""

from dataclasses import replace
from pathlib import Path

import pytest

from graviton_agent.errors import StateError
from graviton_agent.units import environment_file
from graviton_agent.units.environment_file import EnvironmentFile
from graviton_agent.units.placing import Placed, place
from tests.units.test_environment_file import FILE

A, B = "a.service", "b.service"


def up() -> bool:
    return True


def example(unit: str) -> EnvironmentFile:
    return replace(FILE, unit=unit)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def put(folder: Path, *units: str) -> Placed:
    return place(folder, {unit: example(unit) for unit in units}, is_up=up)


def test_what_is_wanted_comes_and_what_is_not_goes(tmp_path: Path) -> None:
    put(tmp_path, A)
    placed = place(tmp_path, {A: None, B: example(B)}, is_up=up)
    assert (placed.written, placed.removed) == ([B], [A])
    assert files(tmp_path) == {f"{B}.env"}


def test_what_is_in_place_already_is_not_written_again(tmp_path: Path) -> None:
    put(tmp_path, A)
    assert put(tmp_path, A) == Placed()


def test_without_the_agent_nothing_comes_and_what_was_left_goes(tmp_path: Path) -> None:
    put(tmp_path, A)
    placed = place(tmp_path, {A: example(A), B: example(B)}, is_up=lambda: False)
    assert not placed.is_up
    assert files(tmp_path) == set()


def test_what_came_while_the_agent_went_is_taken_back(tmp_path: Path) -> None:
    answers = [True, False]
    placed = place(tmp_path, {A: example(A)}, is_up=lambda: answers.pop(0))
    assert (placed.is_up, placed.written) == (False, [])
    assert files(tmp_path) == set()


def test_the_folder_is_never_made(tmp_path: Path) -> None:
    placed = put(tmp_path / "gone", A)
    assert "No such file or directory" in placed.failures[A].message
    assert not (tmp_path / "gone").exists()


def test_what_fails_for_one_unit_is_done_for_the_others_and_leaves_nothing_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, A)
    write = environment_file.write

    def refuse(folder: Path, file: EnvironmentFile) -> bool:
        if file.unit == A:
            raise StateError("can't write: No space left on device")
        return write(folder, file)

    monkeypatch.setattr(environment_file, "write", refuse)
    placed = place(tmp_path, {A: example(A), B: example(B)}, is_up=up)
    assert files(tmp_path) == {f"{B}.env"}
    with pytest.raises(StateError, match="No space left on device"):
        placed.raise_first()


def test_what_goes_goes_before_anything_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, B)
    seen: list[set[str]] = []

    def write(folder: Path, _: EnvironmentFile) -> bool:
        seen.append(files(folder))
        return True

    monkeypatch.setattr(environment_file, "write", write)
    place(tmp_path, {A: example(A), B: None}, is_up=up)
    assert seen == [set()]


def test_what_can_not_be_removed_is_a_failure_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / f"{A}.env").mkdir()
    assert "can't remove" in place(tmp_path, {A: None}, is_up=up).failures[A].message
