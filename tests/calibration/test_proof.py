"""Proof before belief: what bits, huge pages and logs say that a setting does."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.calibration.plan import Choice, Plan, make_plan
from graviton_agent.calibration.proof import (
    BF16_ERROR,
    Effect,
    accuracy_bound,
    accuracy_problem,
    default_split,
    distinct_thresholds,
    lever_effect,
    threshold_effect,
    unproved,
)
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import (
    DEFAULT,
    CaseObservation,
    Configuration,
    Observation,
    ProductObservation,
    TrialSpec,
)
from graviton_agent.root import MIB
from graviton_agent.settings.catalogue import setting_named
from graviton_agent.workload import Case, Layer, Workload, make_workload
from tests.scripted_laboratory import BF16, BOTH, HUGE, MEMORY, observation, threshold
from tests.simulator.builds import TORCH_2_9_1
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of
from tests.simulator.laboratory import SimulatedLaboratory
from tests.simulator.noise import PRESETS, Noise
from tests.simulator.surface import tutorial_surface

TUTORIAL = make_workload()
RULES = Rules()
FAST_MATH = Choice(setting_named("bf16"), "BF16")
HUGE_PAGES = Choice(setting_named("huge-pages"), "1")
NO_HUGE_PAGES = Choice(setting_named("mimalloc-thp"), "0")
DEFAULT_SEEN = observation(DEFAULT, TUTORIAL)


def products(seen: Observation, change: Callable[[ProductObservation], ProductObservation]) -> Observation:
    """The observation with every product changed."""
    return replace(
        seen,
        cases=tuple(replace(case, products=tuple(map(change, case.products))) for case in seen.cases),
    )


def with_error(error: float) -> Observation:
    """What fast math would show if its products were off by so much."""
    return products(observation(BF16, TUTORIAL), lambda product: replace(product, error=error))


def effect(choice: Choice, tried: Observation, default: Observation = DEFAULT_SEEN) -> Effect:
    """What the tutorial's network shows."""
    return lever_effect(choice, default, tried, TUTORIAL)


# Bits


def test_bits_that_change_by_an_error_of_bf16s_size_prove_fast_math() -> None:
    found = effect(FAST_MATH, observation(BF16, TUTORIAL))
    assert found == Effect(
        "bf16", "BF16", alive=True, seen="changes 9 products, by a relative error of up to 2.0e-03"
    )


def test_no_changed_bit_means_dead() -> None:
    assert effect(FAST_MATH, DEFAULT_SEEN) == Effect(
        "bf16", "BF16", alive=False, seen="changes no output bit"
    )


def test_an_error_of_bf16s_size_without_a_changed_bit_proves_nothing() -> None:
    same_bits = products(DEFAULT_SEEN, lambda product: replace(product, error=2e-3))
    assert not effect(FAST_MATH, same_bits).alive


@pytest.mark.parametrize("error", [0.0, 2.7e-7, 0.9 * BF16_ERROR[0]])
def test_bits_that_change_by_less_are_another_order_of_additions(error: float) -> None:
    found = effect(FAST_MATH, with_error(error))
    assert not found.alive
    assert "no bf16 arithmetic" in found.seen


@pytest.mark.parametrize(
    ("error", "words"),
    [(0.05, "more than bf16 explains"), (math.inf, "not finite"), (math.nan, "not finite")],
)
def test_a_wrong_result_is_an_effect_for_the_guards_to_judge(error: float, words: str) -> None:
    found = effect(FAST_MATH, with_error(error))
    assert words in found.seen
    assert found.alive


def test_unstable_sums_fall_back_to_onednns_log() -> None:
    shaky = products(observation(BF16, TUTORIAL), lambda product: replace(product, stable=False))
    assert effect(FAST_MATH, shaky).alive
    assert "log" in effect(FAST_MATH, shaky).seen


def test_unstable_sums_without_bf16_in_the_log_prove_nothing() -> None:
    shaky = products(with_error(2e-3), lambda product: replace(product, stable=False))
    silent = replace(shaky, cases=tuple(replace(case, kernels=("jit wei:f32",)) for case in shaky.cases))
    assert not effect(FAST_MATH, silent).alive


def test_a_log_alone_proves_nothing_where_sums_are_stable() -> None:
    """Without bf16 instructions oneDNN's log still names the mode."""
    boasting = replace(
        DEFAULT_SEEN,
        cases=tuple(replace(case, kernels=("gemm:acl wei:bf16",)) for case in DEFAULT_SEEN.cases),
    )
    assert not effect(FAST_MATH, boasting).alive


# Huge pages


def huge(count: int) -> Observation:
    """A process with so many bytes of huge pages."""
    return observation(DEFAULT, TUTORIAL, memory=replace(MEMORY, anon_huge=count))


def test_huge_pages_are_proved_by_their_rise() -> None:
    assert effect(HUGE_PAGES, observation(HUGE, TUTORIAL)) == Effect(
        "huge-pages", "1", alive=True, seen="moves 236 MiB of huge pages"
    )


def test_a_few_huge_pages_more_prove_nothing() -> None:
    assert not effect(HUGE_PAGES, huge(26 * MIB), huge(0)).alive
    assert not effect(HUGE_PAGES, huge(0), huge(200 * MIB)).alive


def test_for_a_small_model_a_few_mebibytes_are_the_least() -> None:
    small = make_workload(layers="64x64")
    assert not lever_effect(HUGE_PAGES, huge(0), huge(3 * MIB), small).alive
    assert lever_effect(HUGE_PAGES, huge(0), huge(4 * MIB), small).alive


def test_no_huge_pages_are_proved_by_their_fall() -> None:
    assert effect(NO_HUGE_PAGES, huge(0), huge(200 * MIB)).alive
    assert not effect(NO_HUGE_PAGES, huge(200 * MIB), huge(0)).alive


@pytest.mark.parametrize("name", ["threshold", "threads"])
def test_what_a_process_can_vary_is_no_lever(name: str) -> None:
    with pytest.raises(ValueError, match="no lever"):
        effect(Choice(setting_named(name), "2"), DEFAULT_SEEN)


# Thresholds


def plan_of(workload: Workload) -> Plan:
    """The plan for a workload on a Graviton3."""
    return make_plan(host_of(Machine(3, 4, "madvise", TORCH_2_9_1)), TORCH_2_9_1, workload)


def test_thresholds_are_those_that_dispatch_differently() -> None:
    found = distinct_thresholds(plan_of(TUTORIAL), DEFAULT_SEEN)
    everything, head = frozenset({0, 1, 2}), frozenset({2})
    assert [(one.value, one.on_blas) for one in found] == [
        (10, (everything, head, head)),
        (32, (everything, everything, head)),
        (256, (everything, everything, everything)),
    ]


def test_what_is_on_blas_by_default_is_not_moved_there() -> None:
    """A build whose own threshold is 32: neither 10 nor 32 changes anything."""
    default = observation(threshold(32), TUTORIAL)
    assert [default_split(default, case) for case in TUTORIAL.cases] == [{0, 1, 2}, {0, 1, 2}, {2}]
    assert [one.value for one in distinct_thresholds(plan_of(TUTORIAL), default)] == [256]


SMALL = make_workload(batches="1,4,256")
SMALL_DEFAULT = observation(threshold(8), SMALL)
"""A build whose own threshold is 8: it gives the two smaller batches to BLAS."""


def test_below_the_default_thresholds_are_distinct_where_a_process_showed_so() -> None:
    """0 moves both small batches, 1 the larger of them, 4 nothing."""
    lowered = observation(threshold(0), SMALL)
    found = distinct_thresholds(plan_of(SMALL), SMALL_DEFAULT, lowered)
    assert [one.value for one in found] == [0, 1, 10, 256]
    own = [default_split(SMALL_DEFAULT, case) for case in SMALL.cases]
    assert [one.below(own) for one in found] == [(0, 1), (1,), (), ()]


def test_without_such_a_process_nothing_below_the_default_is_tried() -> None:
    assert [one.value for one in distinct_thresholds(plan_of(SMALL), SMALL_DEFAULT)] == [10, 256]


def test_a_lower_threshold_that_changes_no_bit_is_not_tried() -> None:
    """The build ignores it, or computes everything by BLAS anyway."""
    found = distinct_thresholds(plan_of(SMALL), SMALL_DEFAULT, SMALL_DEFAULT)
    assert [one.value for one in found] == [10, 256]


def test_a_product_whose_sums_are_not_stable_is_not_taken_for_moved() -> None:
    shaky = products(observation(threshold(0), SMALL), lambda product: replace(product, stable=False))
    assert [one.value for one in distinct_thresholds(plan_of(SMALL), SMALL_DEFAULT, shaky)] == [10, 256]


def test_the_effect_of_thresholds_on_both_sides_of_the_default_is_told() -> None:
    lowered = observation(threshold(0), SMALL)
    found = threshold_effect(plan_of(SMALL), SMALL_DEFAULT, "OpenBLAS", lowered)
    assert found.seen == "sends products to OpenBLAS or takes products from OpenBLAS, bit for bit"


def test_a_product_that_moved_to_onednn_in_fp32_proves_no_fast_math() -> None:
    lowered = observation(threshold(0), SMALL)
    assert lever_effect(FAST_MATH, SMALL_DEFAULT, lowered, SMALL).seen == "changes no output bit"
    fast = observation(BF16.merged(threshold(0)), SMALL)
    assert lever_effect(FAST_MATH, SMALL_DEFAULT, fast, SMALL).alive


def test_a_dead_flag_leaves_no_threshold() -> None:
    dead = observation(DEFAULT, TUTORIAL, flag_alive=False)
    assert distinct_thresholds(plan_of(TUTORIAL), dead) == ()
    found = threshold_effect(plan_of(TUTORIAL), dead, "MKL")
    assert (found.alive, found.seen) == (False, "changes no output bit: products go to MKL anyway")


def test_a_workload_that_is_on_blas_as_a_whole_leaves_no_threshold() -> None:
    small = make_workload(batches="4")
    found = threshold_effect(plan_of(small), observation(threshold(8), small), "OpenBLAS")
    assert (found.alive, found.seen) == (False, "no product of this workload leaves OpenBLAS as it is")


def test_a_threshold_that_moves_a_product_is_alive() -> None:
    found = threshold_effect(plan_of(TUTORIAL), DEFAULT_SEEN, "OpenBLAS")
    assert (found.alive, found.seen) == (True, "sends products to OpenBLAS, bit for bit")


widths = st.lists(st.sampled_from([4, 10, 16, 64, 200, 512]), min_size=2, max_size=4)


@given(widths, st.lists(st.integers(1, 300), min_size=1, max_size=3, unique=True), st.sampled_from([2, 3, 5]))
def test_the_flag_brings_about_exactly_what_the_variable_does(
    sizes: list[int], batches: list[int], generation: int
) -> None:
    layers = tuple(Layer(k, n) for k, n in itertools.pairwise(sizes))
    workload = Workload(layers, tuple(Case(batch, 1 / len(batches)) for batch in batches))
    machine = Machine(generation, 4, "madvise", TORCH_2_9_1)
    laboratory = SimulatedLaboratory(tutorial_surface(machine, workload), Noise(PRESETS["quiet"], "flag"))
    (trial,) = laboratory.start([TrialSpec(DEFAULT)])
    default = trial.observe()
    plan = make_plan(host_of(machine), TORCH_2_9_1, workload)
    (lowest,) = laboratory.start([TrialSpec(plan.floor or DEFAULT)])
    lowest_state = machine.state((plan.floor or DEFAULT).environment)
    states = [[machine.kernels(machine.default_state, workload, case.batch) for case in workload.cases]]
    for found in distinct_thresholds(plan, default, lowest.observe()):
        state = machine.state(threshold(found.value).environment)
        kernels = [machine.kernels(state, workload, case.batch) for case in workload.cases]
        assert kernels == [
            machine.kernels(lowest_state, workload, case.batch, on_blas)
            for case, on_blas in zip(workload.cases, found.on_blas, strict=True)
        ]
        states.append(kernels)
    assert all(one != other for index, one in enumerate(states) for other in states[:index])


def test_a_process_that_obeys_its_variables_is_believed() -> None:
    for chosen in (DEFAULT, BF16, threshold(32), BOTH.merged(threshold(256))):
        assert unproved(observation(chosen, TUTORIAL), chosen, TUTORIAL) is None


def test_a_threshold_that_real_processes_ignore_is_not_believed() -> None:
    found = unproved(DEFAULT_SEEN, threshold(32), TUTORIAL)
    assert found == "TORCH_MKLDNN_MATMUL_MIN_DIM=32 does not send its products to BLAS at batch 10"


def test_a_threshold_is_judged_by_the_products_whose_bits_are_stable() -> None:
    shaky = products(DEFAULT_SEEN, lambda product: replace(product, stable=False))
    assert unproved(shaky, threshold(32), TUTORIAL) is None


def test_a_number_of_threads_that_real_processes_ignore_is_not_believed() -> None:
    two = Configuration.of({"OMP_NUM_THREADS": "2"})
    assert unproved(observation(two, TUTORIAL), two, TUTORIAL) is None
    assert unproved(DEFAULT_SEEN, two, TUTORIAL) == "torch starts 4 threads in spite of OMP_NUM_THREADS=2"


# Accuracy


def case(
    *, error: float = 2e-3, worst_row: float = 2e-3, cosine: float = 0.999998, flips: int = 0
) -> CaseObservation:
    """A case of the tutorial's network."""
    return replace(
        DEFAULT_SEEN.case(32),
        error=error,
        worst_row_error=worst_row,
        cosine=cosine,
        argmax_flips=flips,
        finite=math.isfinite(error),
    )


def test_the_bound_for_three_layers_is_two_percent() -> None:
    assert accuracy_bound(TUTORIAL, RULES) == pytest.approx(3 * math.sqrt(3) / 256)
    assert accuracy_bound(TUTORIAL, RULES) == pytest.approx(0.02, rel=0.02)


def test_errors_of_bf16s_size_are_accepted() -> None:
    assert accuracy_problem(case(), TUTORIAL, RULES) is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (case(error=0.021), "batch 32: relative error 2.1e-02 is above 2.0e-02"),
        (case(worst_row=0.03), "batch 32: worst row's error 3.0e-02 is above 2.0e-02"),
        (case(error=math.nan), "batch 32: the output is not finite"),
        (case(error=math.inf), "batch 32: the output is not finite"),
        (case(worst_row=math.nan), "batch 32: worst row's error nan is above 2.0e-02"),
        (case(flips=2), "batch 32: 2 of 32 clear rows change their winner"),
    ],
)
def test_a_case_that_is_off_is_refused_with_its_figure(seen: CaseObservation, words: str) -> None:
    assert accuracy_problem(seen, TUTORIAL, RULES) == words


def test_the_operators_bound_on_the_cosine_is_kept() -> None:
    strict = Rules(minimum_cosine=0.999999)
    assert accuracy_problem(case(), TUTORIAL, strict) == "batch 32: cosine 0.999998 is below 0.999999"
    assert accuracy_problem(case(), TUTORIAL, Rules(minimum_cosine=0.9999)) is None


def test_the_cosine_alone_is_no_gate() -> None:
    assert accuracy_problem(case(cosine=0.5), TUTORIAL, RULES) is None


def test_a_process_with_everything_on_proves_each_lever_by_itself() -> None:
    tried = observation(BOTH, TUTORIAL)
    assert effect(FAST_MATH, tried).alive
    assert effect(HUGE_PAGES, tried).alive
    assert not effect(FAST_MATH, observation(HUGE, TUTORIAL)).alive
