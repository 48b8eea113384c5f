"""How processes with torch's own threshold, and with a lower one, are led to what another would compute."""

from dataclasses import replace

import pytest

from graviton_agent.calibration.arms import DEFAULT_ARM, Arm
from graviton_agent.calibration.cells import CellKey
from graviton_agent.calibration.dispatch import Dispatch
from graviton_agent.calibration.plan import Choice, Plan
from graviton_agent.calibration.proof import Threshold, distinct_thresholds
from graviton_agent.calibration.trial import AS_STARTED, DEFAULT, Configuration, Path
from graviton_agent.settings.catalogue import setting_named
from graviton_agent.workload import Workload, make_workload
from tests.scripted_laboratory import BF16, observation, threshold

SMALL = make_workload(batches="4,256")
EVERYTHING, HEAD, NOTHING = frozenset({0, 1, 2}), frozenset({2}), frozenset[int]()
LOWERED = threshold(3)
FAST_MATH = Choice(setting_named("bf16"), "BF16")


def plan(workload: Workload = SMALL, thresholds: tuple[int, ...] = (3, 4, 10, 256)) -> Plan:
    """What may be tried of fast math and thresholds."""
    return Plan(workload, levers=(FAST_MATH,), thresholds=thresholds)


def learned(own: int = 8) -> Dispatch:
    """After the first look at a build with a threshold of its own."""
    found = Dispatch(plan())
    found.learn(observation(threshold(own), SMALL), observation(LOWERED, SMALL))
    return found


def tried(own: int = 8) -> dict[int, Threshold]:
    """The distinct thresholds of that build, by value."""
    seen = observation(threshold(own), SMALL), observation(LOWERED, SMALL)
    return {one.value: one for one in distinct_thresholds(plan(), *seen)}


def test_processes_are_started_with_the_value_below_all_dimensions() -> None:
    assert learned().started(BF16) == BF16.merged(LOWERED)
    assert learned().environment(BF16.merged(LOWERED)) == BF16


@pytest.mark.parametrize("batches", ["10,256", "9"])
def test_nothing_is_lowered_where_every_dimension_exceeds_torchs_own_threshold(batches: str) -> None:
    workload = make_workload(batches=batches)
    dispatch = Dispatch(plan(workload, workload.dimensions))
    assert not dispatch.lowers
    assert dispatch.started(BF16) == BF16


def test_nothing_is_lowered_any_more_where_it_changed_no_bit() -> None:
    assert not learned(own=0).lowers
    assert learned(own=8).lowers


def test_a_lowered_process_acts_like_the_default_by_the_flag() -> None:
    dispatch = learned()
    key = dispatch.cell(DEFAULT_ARM, 0)
    assert key == CellKey(DEFAULT, EVERYTHING)
    assert dispatch.path(LOWERED, key, 0) == Path(EVERYTHING)
    assert dispatch.path(DEFAULT, key, 0) == AS_STARTED


def test_a_process_with_torchs_own_threshold_can_not_act_like_a_lower_one() -> None:
    dispatch, lowest = learned(), Arm(threshold=tried()[3])
    assert dispatch.cell(lowest, 0).on_blas == NOTHING
    assert dispatch.path(LOWERED, dispatch.cell(lowest, 0), 0) == AS_STARTED
    assert dispatch.path(DEFAULT, dispatch.cell(lowest, 0), 0) is None


def test_higher_thresholds_are_emulated_in_either_process() -> None:
    dispatch, higher = learned(), Arm(BF16, tried()[10], threads=2)
    key = dispatch.cell(higher, 1)
    assert key == CellKey(BF16, HEAD, 2)
    assert dispatch.path(BF16, key, 1) == dispatch.path(BF16.merged(LOWERED), key, 1) == Path(HEAD, 2)


def test_where_blas_computes_all_layers_fast_math_makes_no_cell_of_its_own() -> None:
    dispatch = learned()
    assert dispatch.cell(Arm(BF16), 0) == dispatch.cell(DEFAULT_ARM, 0)
    assert dispatch.cell(Arm(BF16, tried()[3]), 0) == CellKey(BF16, NOTHING)


def test_once_raised_the_floor_stays_up_and_lowered_processes_are_still_understood() -> None:
    dispatch = learned()
    dispatch.raise_floor()
    assert dispatch.started(BF16) == BF16
    assert dispatch.path(LOWERED, dispatch.cell(DEFAULT_ARM, 0), 0) == Path(EVERYTHING)


def test_a_held_threshold_is_not_lowered() -> None:
    assert not Dispatch(replace(plan(), thresholds=())).lowers
    assert Dispatch(plan()).started(Configuration()) == LOWERED
