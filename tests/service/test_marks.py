"""Marks, by which gates open without starting anything."""

from pathlib import Path

import pytest

from graviton_agent.service.marks import Mark, Marks

UNIT = r"llm@a-b\x20c.service"


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path)


def test_a_unit_that_is_settled_has_a_mark_of_its_own_name(marks: Marks, tmp_path: Path) -> None:
    marks.update(UNIT, is_settled=True)
    assert (tmp_path / UNIT).exists()
    assert marks.read(UNIT) is Mark.SETTLED


def test_the_mark_goes_when_the_unit_is_to_be_calibrated_again(marks: Marks) -> None:
    marks.update(UNIT, is_settled=True)
    marks.update(UNIT, is_settled=False)
    assert marks.read(UNIT) is None


@pytest.mark.parametrize("mark", [Mark.FAILED, Mark.LATE])
def test_what_its_gate_said_stands_until_it_is_settled(marks: Marks, mark: Mark) -> None:
    marks.write(UNIT, mark)
    marks.update(UNIT, is_settled=False)
    assert marks.read(UNIT) is mark
    marks.update(UNIT, is_settled=True)
    assert marks.read(UNIT) is Mark.SETTLED


def test_what_is_no_mark_reads_as_none(marks: Marks, tmp_path: Path) -> None:
    (tmp_path / UNIT).write_bytes(b"\xff")
    assert marks.read(UNIT) is None
