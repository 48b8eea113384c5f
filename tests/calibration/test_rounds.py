"""Warming up, and rounds: cells measured side by side, with equal numbers of iterations."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from graviton_agent.calibration.rounds import MOST_ITERATIONS, Cell, Rounds
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import AS_STARTED, DEFAULT, Configuration, Path, TrialSpec
from graviton_agent.workload import Case, make_workload
from tests.scripted_laboratory import BF16, ScriptedLaboratory, all_quiet

RULES = Rules()
WORKLOAD = make_workload(batches="10,32,256")
CASE = WORKLOAD.cases[1]


def ms_of(default: float, other: float) -> Callable[[Configuration, Path, int], float]:
    """The times of a forward pass with and without bf16."""
    return lambda configuration, _path, _batch: other if configuration == BF16 else default


def pair(
    default_ms: float = 100.0,
    other_ms: float = 100.0,
    disturbance: Callable[[int], tuple[float, float, float]] = all_quiet,
) -> tuple[ScriptedLaboratory, list[Cell]]:
    """Two processes, ready to be measured as they were started."""
    laboratory = ScriptedLaboratory(WORKLOAD, ms=ms_of(default_ms, other_ms), disturbance=disturbance)
    trials = laboratory.start([TrialSpec(DEFAULT), TrialSpec(BF16)])
    return laboratory, [(trial, AS_STARTED) for trial in trials]


def rounds(seed: int = 7, rules: Rules = RULES) -> Rounds:
    """Rounds in a known order."""
    return Rounds(rules, random.Random(seed))


def order_of(laboratory: ScriptedLaboratory) -> str:
    """Which process ran, block by block: D for the default, B for bf16."""
    return "".join("B" if configuration == BF16 else "D" for configuration, *_ in laboratory.blocks)


def test_the_largest_batch_is_warmed_up_first() -> None:
    laboratory, cells = pair()
    rounds().warm_up(dict.fromkeys(WORKLOAD.cases, cells), together=True)
    batches = [batch for _, _, batch, _ in laboratory.blocks]
    assert batches == sorted(batches, reverse=True)
    assert set(batches) == {10, 32, 256}


def test_a_warm_up_runs_twice_at_least_and_says_the_shortest_pass() -> None:
    laboratory, cells = pair(80.0, 50.0)
    assert rounds().warm_up({CASE: cells}, together=True) == {CASE: 50e6}
    assert order_of(laboratory).count("D") == order_of(laboratory).count("B") == RULES.warm_up_iterations


def drifting(factor: float) -> Callable[[Configuration, Path, int], float]:
    """Every pass takes so many times as long as the one before."""
    last = 1.0

    def ms(_configuration: Configuration, _path: Path, _batch: int) -> float:
        nonlocal last
        last *= factor
        return last

    return ms


@pytest.mark.parametrize(("factor", "most"), [(0.8, RULES.warm_up_limit), (0.999, RULES.warm_up_iterations)])
def test_a_warm_up_ends_when_passes_settle_and_at_a_limit(factor: float, most: int) -> None:
    laboratory = ScriptedLaboratory(WORKLOAD, ms=drifting(factor))
    (trial,) = laboratory.start([TrialSpec(DEFAULT)])
    rounds().warm_up({CASE: [(trial, AS_STARTED)]}, together=True)
    assert len(laboratory.blocks) == most


def test_a_slow_pass_is_not_warmed_up_for_long() -> None:
    laboratory = ScriptedLaboratory(WORKLOAD, ms=lambda *_: 5_000.0)
    (trial,) = laboratory.start([TrialSpec(DEFAULT)])
    rounds().warm_up({CASE: [(trial, AS_STARTED)]}, together=True)
    assert len(laboratory.blocks) <= RULES.warm_up_iterations


def test_both_arms_go_on_where_only_one_of_them_is_as_slow_as_a_warm_up() -> None:
    """A first block after one pass is slower than one after two, which would look like a gain."""
    slow, fast = 1.1 * RULES.warm_up_seconds, 0.9 * RULES.warm_up_seconds
    laboratory, cells = pair(1e3 * slow, 1e3 * fast)
    rounds().warm_up({CASE: cells}, together=True)
    assert order_of(laboratory).count("D") == order_of(laboratory).count("B") == RULES.warm_up_iterations


def test_for_a_first_sight_each_arm_is_warmed_up_by_itself() -> None:
    laboratory, cells = pair(1_100 * RULES.warm_up_seconds, 900 * RULES.warm_up_seconds)
    rounds().warm_up({CASE: cells}, together=False)
    assert order_of(laboratory).count("D") == 1
    assert order_of(laboratory).count("B") == RULES.warm_up_iterations


def test_one_pass_is_enough_where_both_arms_are_slow() -> None:
    laboratory, cells = pair(2_000.0, 1_000.0)
    assert rounds().warm_up({CASE: cells}, together=True) == {CASE: 1e9}
    assert len(laboratory.blocks) == len(cells)


def test_all_cells_get_as_many_iterations_as_the_fastest_needs() -> None:
    laboratory, cells = pair(80.0, 1.0)
    found = rounds().measure(cells, CASE, 1e6, mirrored=True)
    wanted = RULES.block_seconds / 0.001
    assert {iterations for *_, iterations in laboratory.blocks} == {wanted}
    assert all(len(block.calls_ns) == wanted for blocks in found.blocks for block in blocks)


@pytest.mark.parametrize("shortest_ns", [1e4, 1e6, 99e6, 1e8, 5e9])
def test_a_block_is_long_enough_and_more_than_one_pass(shortest_ns: float) -> None:
    laboratory, cells = pair()
    rounds().measure(cells, CASE, shortest_ns, mirrored=True)
    iterations = laboratory.blocks[0][3]
    assert iterations >= RULES.minimum_iterations
    assert iterations * shortest_ns >= RULES.block_seconds * 1e9 * (1 - 1e-9)


@pytest.mark.parametrize("shortest_ns", [0.0, 1.0, 100.0])
def test_a_block_has_no_more_calls_than_a_worker_can_answer(shortest_ns: float) -> None:
    laboratory, cells = pair()
    rounds().measure(cells, CASE, shortest_ns, mirrored=True)
    assert laboratory.blocks[0][3] == MOST_ITERATIONS


def test_a_mirrored_round_goes_there_and_back() -> None:
    for seed in range(10):
        laboratory, cells = pair()
        found = rounds(seed).measure(cells, CASE, 1e8, mirrored=True)
        assert order_of(laboratory) in {"DBBD", "BDDB"}
        assert [len(blocks) for blocks in found.blocks] == [2, 2]


def test_the_order_of_arms_is_drawn() -> None:
    first = set()
    for seed in range(20):
        laboratory, cells = pair()
        rounds(seed).measure(cells, CASE, 1e8, mirrored=True)
        first.add(order_of(laboratory)[0])
    assert first == {"D", "B"}


def test_a_linear_drift_cancels_in_a_mirrored_round() -> None:
    laboratory, cells = pair()
    laboratory.ms = lambda *_: 100.0 + len(laboratory.blocks)
    found = rounds().measure(cells, CASE, 1e8, mirrored=True)
    assert found.nanoseconds(0) == pytest.approx(found.nanoseconds(1))


def test_a_round_keeps_its_cells_apart() -> None:
    _, cells = pair(80.0, 50.0)
    found = rounds().measure(cells, CASE, 5e7, mirrored=False)
    assert (found.nanoseconds(0), found.nanoseconds(1)) == (80e6, 50e6)
    assert found.disturbed is None


def stolen_in(*blocks: int) -> Callable[[int], tuple[float, float, float]]:
    """The hypervisor takes time away in these blocks."""
    return lambda turn: (1.0, 0.5 if turn in blocks else 0.0, 0.0)


def test_a_disturbed_round_is_measured_again_as_a_whole() -> None:
    laboratory, cells = pair(disturbance=stolen_in(2))
    found = rounds().measure(cells, CASE, 1e8, mirrored=True)
    assert len(laboratory.blocks) == 8
    assert found.disturbed is None
    assert [len(blocks) for blocks in found.blocks] == [2, 2]
    assert all(block.steal == 0.0 for blocks in found.blocks for block in blocks)


def test_a_round_that_stays_disturbed_says_so() -> None:
    laboratory, cells = pair(disturbance=lambda _turn: (1.0, 0.5, 0.0))
    found = rounds().measure(cells, CASE, 1e8, mirrored=True)
    assert len(laboratory.blocks) == 4 * (1 + RULES.retries)
    assert found.disturbed == "CPU time was stolen by the hypervisor"


def test_canaries_of_configurations_with_other_numbers_of_threads_are_not_compared() -> None:
    half = Configuration.of({"OMP_NUM_THREADS": "2"})
    laboratory = ScriptedLaboratory(WORKLOAD)
    default, fewer = laboratory.start([TrialSpec(DEFAULT), TrialSpec(half)])
    laboratory.disturbance = lambda turn: (2.0 if laboratory.blocks[turn - 1][0] == half else 1.0, 0.0, 0.0)
    arms: list[Cell] = [(default, AS_STARTED), (fewer, AS_STARTED)]
    session = rounds()
    measured = [session.measure(arms, CASE, 1e8, mirrored=True) for _ in range(4)]
    assert [found.disturbed for found in measured] == [None] * 4


def test_a_path_is_followed_in_the_process() -> None:
    laboratory, cells = pair()
    led = Path(frozenset({0}), threads=2)
    rounds().measure([(cells[0][0], led)], Case(32), 1e8, mirrored=False)
    assert {path for _, path, *_ in laboratory.blocks} == {led}


def test_passes_get_no_faster_by_the_order_of_cases() -> None:
    """Every case is warm before any is measured: the largest has run in each process before smaller ones."""
    laboratory, cells = pair()
    rounds().warm_up(dict.fromkeys(WORKLOAD.cases, cells), together=True)
    for configuration in (DEFAULT, BF16):
        ran = [batch for started, _, batch, _ in laboratory.blocks if started == configuration]
        assert all(before >= after for before, after in pairwise(ran))
