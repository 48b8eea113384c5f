from pathlib import Path

import pytest

from graviton_agent.calibration.cpu_time import CpuTime
from graviton_agent.root import Root

TICK = 0.01


def clock(*, busy: float = 0.0, idle: float = 0.0, steal: float = 0.0) -> CpuTime:
    return CpuTime(total=busy + idle + steal, idle=idle, steal=steal, tick=TICK)


def machine(tmp_path: Path, stat: str) -> Root:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(stat)
    return Root(tmp_path)


def test_the_first_line_of_proc_stat_is_read(tmp_path: Path) -> None:
    read = CpuTime.read(machine(tmp_path, "cpu  100 0 50 800 20 0 5 25 7 0\ncpu0 1 2 3\n"))
    assert read is not None
    assert (read.total / read.tick, read.idle / read.tick, read.steal / read.tick) == pytest.approx(
        (1000, 820, 25)
    )


def test_what_runs_on_other_cpus_takes_nothing_from_a_trial(tmp_path: Path) -> None:
    stat = "cpu  300 0 0 500 0 0 0 40 0 0\ncpu0 200 0 0 0 0 0 0 0 0 0\ncpu1 100 0 0 500 0 0 0 40 0 0\n"
    read = CpuTime.read(machine(tmp_path, stat), [1])
    assert read is not None
    assert [value / read.tick for value in (read.total, read.idle, read.steal)] == pytest.approx(
        [640, 500, 40]
    )


def test_a_cpu_that_is_not_listed_has_no_clock(tmp_path: Path) -> None:
    assert CpuTime.read(machine(tmp_path, "cpu 1 0 0 1 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0\n"), [0, 1]) is None


@pytest.mark.parametrize("stat", ["", "cpu", "cpu 1 2 3", "cpu a b c d e f g h", "cpu0 1 2 3 4 5 6 7 8"])
def test_a_machine_without_such_counts_has_no_clock(tmp_path: Path, stat: str) -> None:
    assert CpuTime.read(machine(tmp_path, stat)) is None


def test_a_machine_without_proc_has_no_clock(tmp_path: Path) -> None:
    assert CpuTime.read(Root(tmp_path)) is None


def test_time_that_the_measured_processes_used_is_not_foreign() -> None:
    assert clock().shares_until(clock(busy=2.0), own=2.0) == (0.0, 0.0)


def test_a_neighbour_on_one_of_two_cpus_is_half_of_the_host() -> None:
    _, foreign = clock().shares_until(clock(busy=20.0), own=10.0)
    assert foreign == pytest.approx(0.5, abs=0.01)


def test_steal_is_a_share_of_its_own() -> None:
    steal, foreign = clock().shares_until(clock(busy=9.0, steal=1.0), own=9.0)
    assert steal == pytest.approx(0.1, abs=0.01)
    assert foreign == 0.0


def test_one_tick_of_steal_and_two_of_work_may_be_rounding() -> None:
    assert clock().shares_until(clock(busy=0.19, steal=0.01), own=0.17) == (0.0, 0.0)


def test_a_clock_that_stood_still_shows_nothing() -> None:
    assert clock(busy=1.0).shares_until(clock(busy=1.0), own=0.5) == (0.0, 0.0)
