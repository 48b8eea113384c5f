"""Whose turn it is."""

from graviton_agent.configuration.compiled import Calibrate
from graviton_agent.service.turns import Turns, Waiting

HOUR = 3600.0


def waiting(unit: str, when: Calibrate = Calibrate.WHEN_QUIET, *, is_running: bool = True) -> Waiting:
    return Waiting(unit, when, is_running)


def test_nobody_is_next_where_nobody_waits() -> None:
    assert Turns().next([], now=0) is None


def test_who_serves_comes_first() -> None:
    units = [waiting("a.service", is_running=False), waiting("b.service")]
    assert Turns().next(units, now=0) == "b.service"


def test_who_has_failed_comes_last() -> None:
    turns = Turns()
    turns.failed("a.service", now=0)
    assert turns.next([waiting("a.service"), waiting("b.service")], now=25 * HOUR) == "b.service"


def test_a_failure_is_followed_by_a_pause_twice_as_long_each_time_up_to_a_day() -> None:
    turns = Turns()
    pauses = [turns.failed("a.service", now=0).pause / HOUR for _ in range(7)]
    assert pauses == [1, 2, 4, 8, 16, 24, 24]


def test_a_calibration_that_was_stopped_for_others_waits_alike_and_is_no_failure() -> None:
    turns = Turns()
    pauses = [turns.failed("a.service", now=0, for_others=True).pause / HOUR for _ in range(3)]
    assert pauses == [1, 2, 4]
    assert (turns.failures, turns.stopped) == (0, 1)


def test_nobody_is_next_during_a_pause() -> None:
    turns, units = Turns(), [waiting("a.service")]
    turns.failed("a.service", now=100)
    assert turns.next(units, now=100 + HOUR - 1) is None
    assert turns.next_pause_ends(units, now=200) == 100 + HOUR
    assert turns.next(units, now=100 + HOUR) == "a.service"
    assert turns.next_pause_ends(units, now=100 + HOUR) is None


def test_a_result_ends_the_pause() -> None:
    turns = Turns()
    turns.failed("a.service", now=0)
    turns.settled("a.service")
    assert turns.next([waiting("a.service")], now=1) == "a.service"
    assert turns.failures == 0


def test_a_reload_gives_everybody_another_chance() -> None:
    turns = Turns()
    turns.failed("a.service", now=0)
    turns.forget()
    assert turns.next([waiting("a.service")], now=1) == "a.service"


def test_a_unit_that_is_calibrated_by_hand_is_never_next() -> None:
    turns, units = Turns(), [waiting("a.service", Calibrate.MANUAL)]
    assert turns.next(units, now=0) is None
    turns.failed("a.service", now=0)
    assert turns.next_pause_ends(units, now=1) is None


def test_a_unit_that_waits_before_its_start_is_next_only_once_it_has_started() -> None:
    stopped = waiting("a.service", Calibrate.BEFORE_START, is_running=False)
    assert Turns().next([stopped], now=0) is None
    assert Turns().next([waiting("a.service", Calibrate.BEFORE_START)], now=0) == "a.service"
