"""When a calibration is stopped because others need the host."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from graviton_agent.configuration.compiled import Quiet
from graviton_agent.service.others import Use, read_use, seconds_between, why_stop
from graviton_agent.service.quiet import Reading
from tests.units.services import tree

BOUNDS = Quiet(duration=120.0, load=0.2, pressure=5.0, steal=1.0)
CPUS = 4
HERTZ = os.sysconf("SC_CLK_TCK")
BEGIN = Use(Reading(1000.0, 0.1, 0, 50_000, 100, 10_000), 200.0, {"llm.service": 1_000_000})


def later(*, own: float = 0.0, others: float = 0.0, waited: float = 0.0, steal: float = 0.0) -> Use:
    """Ten seconds later: CPU time in seconds, the unit's waiting in percent, steal in percent."""
    ticks = 10 * CPUS * HERTZ
    host = Reading(
        1010.0,
        9.9,
        9_000_000,
        50_000 + ticks,
        int(100 + ticks * steal / 100),
        int(10_000 + (own + others) * HERTZ),
    )
    return Use(host, 200.0 + own, {"llm.service": int(1_000_000 + waited * 100_000)})


def test_what_the_calibration_uses_itself_is_no_reason() -> None:
    assert why_stop(BEGIN, later(own=40.0, others=7.9, waited=4.9, steal=1.0), BOUNDS, CPUS) is None


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (later(own=20.0, others=12.0), "other work took 0.30 of each CPU, above 0.2"),
        (later(own=40.0, waited=7.5), "llm.service waited for a CPU for 7.5 % of the time, above 5 %"),
        (later(own=40.0, steal=2.0), "steal 2.0 %, above 1 %"),
    ],
)
def test_what_others_need_is_named(now: Use, words: str) -> None:
    assert why_stop(BEGIN, now, BOUNDS, CPUS) == words


def test_what_ended_workers_used_is_not_taken_for_others() -> None:
    now = replace(later(own=40.0), own=0.0)
    assert why_stop(BEGIN, now, BOUNDS, CPUS) is None


def test_a_unit_that_has_just_started_is_compared_from_the_next_reading_on() -> None:
    now = replace(later(), waited={"new.service": 10**9})
    assert why_stop(BEGIN, now, BOUNDS, CPUS) is None


def test_a_clock_that_stands_still_is_no_reason() -> None:
    assert why_stop(BEGIN, BEGIN, BOUNDS, CPUS) is None


def test_it_is_read_four_times_a_minute_at_most() -> None:
    assert seconds_between(BOUNDS) == 15.0
    assert seconds_between(replace(BOUNDS, duration=7200.0)) == 15.0


def test_the_control_groups_of_calibrations_and_of_units_are_found(tmp_path: Path) -> None:
    group, slices = "/sys/fs/cgroup/system.slice/llm.service", "/sys/fs/cgroup/a.slice/a-b.slice"
    quiet = "/system.slice/graviton-agent-quiet@llm.service.service"
    root = tree(
        tmp_path,
        {
            f"{group}/cgroup.procs": "7\n",
            f"{group}/cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=123\n",
            f"{slices}/cgroup.procs": "",
            f"{slices}/a-b-graviton_agent_7_1.slice/cgroup.procs": "",
            f"{slices}/a-b-graviton_agent_7_1.slice/cpu.stat": "usage_usec 2000000\nuser_usec 1\n",
            f"{slices}/other.service/cgroup.procs": "",
            f"{slices}/other.service/cpu.stat": "usage_usec 9000000\n",
            f"/sys/fs/cgroup{quiet}/cgroup.procs": "",
            f"/sys/fs/cgroup{quiet}/cpu.stat": "usage_usec 500000\n",
            "/proc/stat": "cpu  100 2 30 4000 50 6 7 80 90 10\n",
        },
    )
    use = read_use(
        root,
        5.0,
        slice_name="a-b.slice",
        own=[quiet],
        serving={"llm.service": "/system.slice/llm.service", "gone.service": "/system.slice/gone.service"},
    )
    assert (use.own, use.waited, use.host.busy) == (2.5, {"llm.service": 123}, 145)
