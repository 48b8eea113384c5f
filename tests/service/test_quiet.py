"""When a host counts as quiet."""

from dataclasses import replace
from pathlib import Path

import pytest

from graviton_agent.configuration.compiled import Quiet
from graviton_agent.root import Root
from graviton_agent.service.quiet import Reading, Spell, read, why_busy
from tests.units.services import tree

BOUNDS = Quiet(duration=120.0, load=0.2, pressure=5.0, steal=1.0)
BEGIN = Reading(at=1000.0, load=0.1, waited=5_000_000, ticks=50_000, steal=100)
CPUS = 4


def later(seconds: float, *, load: float = 0.1, pressure: float = 0.0, steal: float = 0.0) -> Reading:
    """A reading so much later, with these shares of the time in percent."""
    ticks = int(seconds * 100 * CPUS)
    return Reading(
        at=BEGIN.at + seconds,
        load=load,
        waited=int(5_000_000 + seconds * pressure * 10_000),
        ticks=BEGIN.ticks + ticks,
        steal=int(BEGIN.steal + ticks * steal / 100),
    )


def test_nothing_above_its_bound_is_quiet() -> None:
    assert why_busy(BEGIN, later(30, load=0.8, pressure=5, steal=1), BOUNDS, CPUS) is None


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (later(30, load=1.0), "load 0.25 per CPU, above 0.2"),
        (later(30, pressure=7.5), "CPU pressure 7.5 %, above 5 %"),
        (later(30, steal=2), "steal 2.0 %, above 1 %"),
    ],
)
def test_what_is_above_its_bound_is_named(now: Reading, words: str) -> None:
    assert why_busy(BEGIN, now, BOUNDS, CPUS) == words


def test_a_kernel_that_counts_no_pressure_is_judged_by_the_rest() -> None:
    begin, now = (replace(reading, waited=None) for reading in (BEGIN, later(30)))
    assert why_busy(begin, now, BOUNDS, CPUS) is None
    assert why_busy(begin, replace(now, load=9.0), BOUNDS, CPUS) is not None


def test_the_first_reading_says_nothing_yet() -> None:
    assert not Spell(replace(BOUNDS, duration=1.0), cpus=CPUS).take(BEGIN)


def test_it_must_have_been_quiet_for_the_whole_duration() -> None:
    spell = Spell(BOUNDS, cpus=CPUS)
    assert [spell.take(later(seconds)) for seconds in (0, 60, 119, 120)] == [False, False, False, True]


def test_a_burst_between_two_readings_begins_it_anew() -> None:
    spell = Spell(BOUNDS, cpus=CPUS)
    spell.take(BEGIN)
    spell.take(later(60))
    burst = later(90)
    spell.take(replace(burst, waited=(burst.waited or 0) + 3_000_000))
    assert spell.busy == "CPU pressure 10.0 %, above 5 %"
    calm = [replace(later(s), waited=(later(s).waited or 0) + 3_000_000) for s in (150, 209, 210)]
    assert [spell.take(reading) for reading in calm] == [False, False, True]
    assert spell.busy is None


def test_it_is_read_a_few_times_in_the_duration_and_at_least_twice_a_minute() -> None:
    assert Spell(BOUNDS).seconds_between == 30.0
    assert Spell(replace(BOUNDS, duration=8.0)).seconds_between == 2.0
    assert Spell(replace(BOUNDS, duration=7200.0)).seconds_between == 30.0


def test_the_kernels_files_are_read(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "/proc/loadavg": "0.52 0.41 0.30 2/345 6789\n",
            "/proc/pressure/cpu": (
                "some avg10=1.00 avg60=2.00 avg300=3.00 total=123456\n"
                "full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
            ),
            "/proc/stat": "cpu  100 2 30 4000 50 6 7 80 90 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n",
        },
    )
    # Guests' time, the last two columns, is part of the first two.
    assert read(root, 5.0) == Reading(at=5.0, load=0.52, waited=123456, ticks=4275, steal=80, busy=145)


def test_a_kernel_without_pressure_files_is_read(tmp_path: Path) -> None:
    assert read(tree(tmp_path, {"/proc/loadavg": "0.52 0.41 0.30 2/345 6789\n"}), 0.0).waited is None


def test_this_machine_can_be_read() -> None:
    assert read(Root(), 0.0).ticks > 0
