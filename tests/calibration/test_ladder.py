"""The ladder: which of the predicted arms are confirmed, and at which threshold."""

import math

import pytest

from graviton_agent.calibration.arms import Arm, Prediction, arms_of, environments, preferred
from graviton_agent.calibration.ladder import rungs
from graviton_agent.calibration.plan import Choice
from graviton_agent.calibration.proof import Threshold
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import DEFAULT, Configuration
from graviton_agent.settings.catalogue import setting_named
from graviton_agent.workload import Workload, backend_split, make_workload
from tests.scripted_laboratory import BF16, BOTH, HUGE

RULES = Rules()
TUTORIAL = make_workload()
LEVERS = (Choice(setting_named("bf16"), "BF16"), Choice(setting_named("huge-pages"), "1"))
CHANGED = (
    "DNNL_DEFAULT_FPMATH_MODE",
    "OMP_NUM_THREADS",
    "THP_MEM_ALLOC_ENABLE",
    "TORCH_MKLDNN_MATMUL_MIN_DIM",
)


def limit(value: int, workload: Workload = TUTORIAL) -> Threshold:
    """A threshold with what it sends to BLAS."""
    return Threshold(value, tuple(backend_split(workload, case, value) for case in workload.cases))


def predicted(arm: Arm, gain: float, times: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Prediction:
    """An arm that gains this ratio."""
    return Prediction(arm, math.log(gain), times)


def ladder(*predictions: Prediction) -> list[dict[str, str]]:
    """The rungs' variables, for predictions beside that of the default."""
    found = sorted([predicted(Arm(), 1.0), *predictions], key=lambda prediction: -prediction.gain)
    return [rung.configuration.environment for rung in rungs(found, TUTORIAL, RULES)]


def test_environments_are_all_combinations_the_default_first() -> None:
    assert environments(LEVERS) == (DEFAULT, BF16, HUGE, BOTH)
    assert environments(()) == (DEFAULT,)


def test_arms_cross_environments_thresholds_and_threads() -> None:
    arms = arms_of(LEVERS, [limit(10), limit(32)], [2])
    assert len(arms) == len(set(arms)) == 4 * 3 * 2
    assert arms[0] == Arm()
    assert {tuple(arm.configuration.environment) for arm in arms} <= {
        tuple(name for index, name in enumerate(CHANGED) if chosen >> index & 1) for chosen in range(16)
    }


def test_an_arm_is_the_variables_of_its_parts() -> None:
    arm = Arm(BF16, limit(32), 2)
    assert arm.configuration == Configuration.of(
        {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "32", "OMP_NUM_THREADS": "2"}
    )


def test_what_slows_down_a_batch_that_counts_is_not_nominated() -> None:
    """The confirmation would refuse it after all its pairs; the next best is taken."""
    harmful = predicted(Arm(BF16), 1.3, (1.0, 1.1, 0.5))
    assert ladder(harmful, predicted(Arm(HUGE), 1.1)) == [HUGE.environment]
    assert ladder(predicted(Arm(BF16), 1.3, (1.0, 1.02, 0.5))) == [BF16.environment]


def test_nothing_predicted_is_nothing_to_confirm() -> None:
    assert rungs((), TUTORIAL, RULES) == ()
    assert ladder() == []


def test_a_gain_that_is_not_worth_a_confirmation_gets_none() -> None:
    assert ladder(predicted(Arm(BF16), math.exp(0.9 * RULES.worth_confirming))) == []
    assert ladder(predicted(Arm(BF16), math.exp(1.1 * RULES.worth_confirming))) == [BF16.environment]


def test_the_best_arm_is_confirmed_with_a_second_rung_below() -> None:
    found = ladder(predicted(Arm(BOTH), 2.4), predicted(Arm(BF16), 2.2), predicted(Arm(HUGE), 1.05))
    assert found == [BOTH.environment, BF16.environment]


def test_the_second_rung_leaves_out_the_setting_that_matters_least() -> None:
    found = ladder(
        predicted(Arm(BOTH, limit(32)), 2.7),
        predicted(Arm(BOTH), 1.9),
        predicted(Arm(BF16, limit(32)), 2.6),
        predicted(Arm(HUGE, limit(32)), 1.4),
    )
    assert found == [
        {**BOTH.environment, "TORCH_MKLDNN_MATMUL_MIN_DIM": "32"},
        {**BF16.environment, "TORCH_MKLDNN_MATMUL_MIN_DIM": "32"},
    ]


def test_a_second_rung_that_gains_too_little_is_left_out() -> None:
    assert ladder(predicted(Arm(BOTH), 1.3), predicted(Arm(BF16), 1.02)) == [BOTH.environment]


def test_there_are_at_most_two_rungs() -> None:
    arms = [arm for arm in arms_of(LEVERS, [limit(32)], [2]) if arm != Arm()]
    found = ladder(*(predicted(arm, 2.0 + 0.2 * len(arm.configuration.variables)) for arm in arms))
    assert len(found) == 2
    assert [len(rung) for rung in found] == [4, 3]


def test_among_equals_the_fewest_variables_are_taken() -> None:
    close = math.exp(0.9 * RULES.tie)
    assert ladder(predicted(Arm(BOTH), 1.3 * close), predicted(Arm(HUGE), 1.3))[0] == HUGE.environment


def test_among_equals_results_are_left_as_they_are() -> None:
    """At batch 128 bf16 and BLAS are as fast as each other: the one that costs no accuracy is taken."""
    best = preferred([predicted(Arm(BF16), 1.92), predicted(Arm(threshold=limit(256)), 1.91)], RULES.tie)
    assert best.arm == Arm(threshold=limit(256))


def test_beyond_a_tie_the_faster_is_taken() -> None:
    worse = math.exp(-1.1 * RULES.tie)
    best = preferred([predicted(Arm(BOTH), 1.3), predicted(Arm(HUGE), 1.3 * worse)], RULES.tie)
    assert best.arm == Arm(BOTH)


def threshold_for(blas: tuple[float, ...], onednn: tuple[float, ...], at: int, workload: Workload) -> int:
    """Where the threshold `at` is moved, given the backends' times for each case."""
    mixed = tuple(
        b if case.batch <= at else o for case, b, o in zip(workload.cases, blas, onednn, strict=True)
    )
    predictions = [
        predicted(Arm(threshold=limit(at, workload)), 2.0, mixed),
        predicted(Arm(threshold=limit(workload.dimensions[-1], workload)), 1.5, blas),
        predicted(Arm(), 1.0, onednn),
    ]
    (rung,) = rungs(predictions, workload, RULES)
    assert rung.threshold is not None
    return rung.threshold.value


def test_a_threshold_moves_to_where_the_backends_cross() -> None:
    """Over the logarithm of the batch: BLAS is as much faster at 32 as it is slower at 128."""
    workload = make_workload(batches="32,128")
    assert threshold_for((10.0, 40.0), (20.0, 20.0), 32, workload) == 64


def test_the_crossing_is_found_where_blas_was_measured_once_for_all_environments() -> None:
    """With every product on BLAS fast math can't be seen, so that screening measures one arm for both."""
    workload = make_workload(batches="32,128")
    predictions = [
        predicted(Arm(BF16, limit(32, workload)), 2.0, (10.0, 20.0)),
        predicted(Arm(threshold=limit(128, workload)), 1.5, (10.0, 40.0)),
        predicted(Arm(BF16), 1.4, (20.0, 20.0)),
        predicted(Arm(), 1.0, (30.0, 80.0)),
    ]
    found = rungs(predictions, workload, RULES)[0]
    assert found.configuration == BF16.merged(Configuration.of({"TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}))


def test_a_moved_threshold_still_acts_alike() -> None:
    blas, onednn = (10.0, 30.0, 290.0), (40.0, 50.0, 72.0)
    for at, above in ((10, 32), (32, 256)):
        assert at <= threshold_for(blas, onednn, at, TUTORIAL) < above


@pytest.mark.parametrize(("blas", "onednn"), [((10.0, 10.0), (20.0, 20.0)), ((20.4, 20.4), (20.0, 20.0))])
def test_without_a_crossing_the_threshold_stays_at_the_lowest_of_its_range(
    blas: tuple[float, ...], onednn: tuple[float, ...]
) -> None:
    assert threshold_for(blas, onednn, 32, make_workload(batches="32,128")) == 32


def test_the_highest_threshold_stays() -> None:
    assert threshold_for((10.0, 10.0), (20.0, 20.0), 128, make_workload(batches="32,128")) == 128
