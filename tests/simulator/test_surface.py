"""The surfaces meet the published tables, and the planted ones their figure."""

import pytest

from graviton_agent.calibration.trial import Configuration
from graviton_agent.workload import make_workload
from tests.simulator.builds import TORCH_2_9_1
from tests.simulator.dispatch import Machine
from tests.simulator.planted import Lever, PlantedSurface
from tests.simulator.scenario import null_scenario, planted_scenario, random_scenario, tutorial_scenario
from tests.simulator.surface import random_surface, tutorial_surface
from tests.simulator.truth import environments, true_ms

C7G_XLARGE = Machine(3, 4, "madvise", TORCH_2_9_1)
BF16 = {"DNNL_DEFAULT_FPMATH_MODE": "BF16"}
HUGE = {"THP_MEM_ALLOC_ENABLE": "1"}
T64 = {"TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}


@pytest.mark.parametrize(
    ("batch", "environment", "seconds_for_100"),
    [
        (256, {}, 16.201),
        (32, {}, 6.094),
        (256, BF16, 7.262),
        (32, BF16, 4.123),
        (10, BF16, 4.115),
        (256, BF16 | HUGE, 6.697),
        (32, BF16 | T64, 2.034),
        (10, BF16 | T64, 1.272),
    ],
)
def test_the_tutorials_table_is_met(batch: int, environment: dict[str, str], seconds_for_100: float) -> None:
    surface = tutorial_surface(C7G_XLARGE, make_workload(batches=str(batch)))
    assert true_ms(surface, environment) == pytest.approx(10 * seconds_for_100, rel=0.003)


@pytest.mark.parametrize(
    ("batches", "best"),
    [
        ("10", {"TORCH_MKLDNN_MATMUL_MIN_DIM": "10"}),
        ("32", {"TORCH_MKLDNN_MATMUL_MIN_DIM": "32"}),
        ("256", BF16 | HUGE),
        ("10,32,256", BF16 | HUGE | {"TORCH_MKLDNN_MATMUL_MIN_DIM": "32"}),
    ],
)
def test_the_best_of_the_published_tables_is_known(batches: str, best: dict[str, str]) -> None:
    assert tutorial_scenario("quiet", batches, 0).best.configuration == Configuration.of(best)


def test_at_batch_128_the_backends_of_the_published_tables_are_within_2_percent() -> None:
    surface = tutorial_surface(C7G_XLARGE, make_workload(batches="128"))
    by_blas = true_ms(surface, {"TORCH_MKLDNN_MATMUL_MIN_DIM": "128"})
    assert true_ms(surface, BF16) == pytest.approx(by_blas, rel=0.025)


def test_on_a_null_surface_every_configuration_takes_the_same_time() -> None:
    for number in range(20):
        surface = null_scenario("quiet", number).surface
        assert len({true_ms(surface, environment) for environment in environments(surface)}) == 1


@pytest.mark.parametrize("gain", [1.01, 1.08])
def test_a_planted_gain_is_the_best_there_is(gain: float) -> None:
    for number in range(40):
        assert planted_scenario("quiet", gain, number).best.gain == pytest.approx(gain, rel=1e-3)


def test_every_lever_is_planted() -> None:
    surfaces = [planted_scenario("quiet", 1.05, number).surface for number in range(60)]
    found = {surface.lever for surface in surfaces if isinstance(surface, PlantedSurface)}
    assert found == set(Lever) - {Lever.NONE}


def test_random_surfaces_differ_in_what_is_best() -> None:
    best = [random_scenario("quiet", number).best for number in range(80)]
    variables = {name for one in best for name in one.configuration.environment}
    assert {"DNNL_DEFAULT_FPMATH_MODE", "THP_MEM_ALLOC_ENABLE", "TORCH_MKLDNN_MATMUL_MIN_DIM"} <= variables
    assert min(one.gain for one in best) == 1.0


def test_half_the_threads_are_best_on_some_large_hosts() -> None:
    machine = Machine(4, 192, "madvise", TORCH_2_9_1)
    workload = make_workload(preset="bert-base", batches="16")
    gains = []
    for number in range(20):
        surface = random_surface(machine, workload, f"large {number}")
        gains.append(true_ms(surface, {}) / true_ms(surface, {"OMP_NUM_THREADS": "96"}))
    assert min(gains) < 1.0 < max(gains)


def test_more_threads_than_cpus_are_slower() -> None:
    surface = tutorial_surface(C7G_XLARGE, make_workload())
    assert true_ms(surface, {"OMP_NUM_THREADS": "8"}) > 1.5 * true_ms(surface, {})
