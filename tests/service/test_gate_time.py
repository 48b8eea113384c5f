"""How long all gates together may hold units up."""

import fcntl
from pathlib import Path

import pytest

from graviton_agent.service.gate_time import LOCK, GateTime, NoTimeLeftError


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_gate_may_take_all(tmp_path: Path, clock: Clock) -> None:
    with GateTime(tmp_path, 180.0, clock=clock).turn(90.0) as seconds:
        assert seconds == 180.0


def test_what_a_gate_has_taken_is_gone(tmp_path: Path, clock: Clock) -> None:
    with GateTime(tmp_path, 180.0, clock=clock).turn(90.0):
        clock.now += 50
    with GateTime(tmp_path, 180.0, clock=clock).turn(90.0) as seconds:
        assert seconds == pytest.approx(130.0)


def test_a_gate_that_fails_has_taken_its_time_too(tmp_path: Path, clock: Clock) -> None:
    gates = GateTime(tmp_path, 180.0, clock=clock)

    def fail() -> None:
        with gates.turn(90.0):
            clock.now += 50
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert GateTime(tmp_path, 180.0, clock=clock).left() == pytest.approx(130.0)


def test_where_too_little_is_left_nothing_is_begun(tmp_path: Path, clock: Clock) -> None:
    gates = GateTime(tmp_path, 180.0, clock=clock)
    with gates.turn(90.0):
        clock.now += 100
    with pytest.raises(NoTimeLeftError) as caught, gates.turn(90.0):
        pytest.fail("it has begun")
    assert caught.value.message == "80 of 180 s are left, and it may take 90 s"
    assert gates.left() == pytest.approx(80.0)


def test_time_passes_for_those_who_wait_too(tmp_path: Path, clock: Clock) -> None:
    mine, theirs = GateTime(tmp_path, 180.0, clock=clock), GateTime(tmp_path, 180.0, clock=clock)
    with mine.turn(90.0):
        clock.now += 100
        # It is not waited for what can't come: the lock stays held for as long as this test likes.
        with pytest.raises(NoTimeLeftError), theirs.turn(90.0):
            pytest.fail("it has begun")


def test_a_gate_that_died_in_its_turn_has_taken_the_time_until_now(tmp_path: Path, clock: Clock) -> None:
    tmp_path.joinpath("used").write_text(f"20.000 {clock.now:.3f}\n")
    clock.now += 30
    assert GateTime(tmp_path, 180.0, clock=clock).left() == pytest.approx(130.0)


def test_the_lock_is_free_afterwards(tmp_path: Path, clock: Clock) -> None:
    with GateTime(tmp_path, 180.0, clock=clock).turn(1.0):
        pass
    with (tmp_path / LOCK).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
