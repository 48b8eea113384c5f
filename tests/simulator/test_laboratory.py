"""The laboratory's clock, and what its trials show."""

import math
from dataclasses import replace

import pytest

from graviton_agent.calibration.proof import BF16_ERROR
from graviton_agent.calibration.trial import (
    AS_STARTED,
    DEFAULT,
    Configuration,
    Laboratory,
    Path,
    TrialError,
    TrialSpec,
)
from graviton_agent.root import MIB
from graviton_agent.workload import make_workload
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0_X86
from tests.simulator.dispatch import Machine
from tests.simulator.faults import Fault, Planted
from tests.simulator.laboratory import MEASURED, SLOW, Costs, SimulatedLaboratory, SimulatedTrial
from tests.simulator.noise import Noise, NoisePreset
from tests.simulator.surface import tutorial_surface

SILENT = NoisePreset("silent", process=0.0, drift=0.0, white=0.0, canary_white=0.0)
C7G_XLARGE = Machine(3, 4, "madvise", TORCH_2_9_1)
BF16 = Configuration.of({"DNNL_DEFAULT_FPMATH_MODE": "BF16"})
HUGE = Configuration.of({"THP_MEM_ALLOC_ENABLE": "1"})


def laboratory(
    machine: Machine = C7G_XLARGE, *, costs: Costs = MEASURED, faults: tuple[Planted, ...] = ()
) -> SimulatedLaboratory:
    """The tutorial's table without any noise."""
    surface = tutorial_surface(machine, make_workload())
    return SimulatedLaboratory(surface, Noise(SILENT, "laboratory"), costs=costs, faults=faults)


def started(
    configuration: Configuration = DEFAULT,
    machine: Machine = C7G_XLARGE,
    *,
    faults: tuple[Planted, ...] = (),
) -> SimulatedTrial:
    """One process of its own laboratory, ready to run."""
    (trial,) = laboratory(machine, faults=faults).start([TrialSpec(configuration)])
    return trial


def settled_ms(trial: SimulatedTrial, batch: int, path: Path = AS_STARTED) -> float:
    """Time of a pass after the largest batch has run and the warm-up is over."""
    for warm in (256, batch):
        trial.run(warm, path, 20)
    return trial.run(batch, path, 10).per_iteration_ns / 1e6


def test_it_is_a_laboratory() -> None:
    lab: Laboratory = laboratory()
    assert lab.now() == 0.0


def test_a_start_takes_as_long_as_on_a_real_machine() -> None:
    times = []
    lab = laboratory()
    for _ in range(200):
        before = lab.now()
        lab.start([TrialSpec(DEFAULT)])
        times.append(lab.now() - before)
    assert 1.3 < sorted(times)[100] < 1.7


def test_a_slow_machines_start_is_a_parameter() -> None:
    lab = laboratory(costs=SLOW)
    lab.start([TrialSpec(DEFAULT)])
    assert lab.now() > 2.2


@pytest.mark.parametrize(("cpus", "factor"), [(1, 2.0), (2, 1.0), (4, 1.0)])
def test_two_starts_side_by_side_overlap_as_far_as_there_are_cpus(cpus: int, factor: float) -> None:
    lab = laboratory(replace(C7G_XLARGE, cpus=cpus))
    lab.start([TrialSpec(DEFAULT)] * 2)
    alone = laboratory(replace(C7G_XLARGE, cpus=cpus))
    longest = 0.0
    for _ in range(2):
        before = alone.now()
        alone.start([TrialSpec(DEFAULT)])
        longest = max(longest, alone.now() - before)
    assert lab.now() == pytest.approx(factor * longest)


def test_the_clock_is_charged_for_every_block() -> None:
    lab = laboratory()
    (trial,) = lab.start([TrialSpec(DEFAULT)])
    before = lab.now()
    block = trial.run(256, AS_STARTED, 3)
    assert 0.0 < lab.now() - before - block.elapsed_ns / 1e9 < 0.02


def test_the_clock_is_charged_for_observing_and_stopping() -> None:
    lab = laboratory()
    (trial,) = lab.start([TrialSpec(DEFAULT)])
    before = lab.now()
    trial.observe()
    observed = lab.now()
    trial.stop()
    assert before + 0.2 < observed < lab.now()
    stopped = lab.now()
    trial.stop()
    assert lab.now() == stopped


def test_without_noise_a_block_takes_the_true_time() -> None:
    assert settled_ms(started(), 256) == pytest.approx(162.01, rel=0.003)
    assert settled_ms(started(BF16), 256) == pytest.approx(72.62, rel=0.003)


def test_the_first_pass_is_the_slowest() -> None:
    calls = started().run(256, AS_STARTED, 6).calls_ns
    assert calls[0] > 1.15 * calls[-1]
    assert sum(calls) == started().run(256, AS_STARTED, 6).elapsed_ns


def test_a_small_batch_is_slower_until_the_largest_has_run() -> None:
    trial = started()
    trial.run(32, AS_STARTED, 20)
    before = trial.run(32, AS_STARTED, 10).per_iteration_ns
    trial.run(256, AS_STARTED, 1)
    after = trial.run(32, AS_STARTED, 10).per_iteration_ns
    assert before / after == pytest.approx(1.06)


def test_the_flag_leads_a_process_along_the_path_of_a_threshold() -> None:
    threshold = Configuration.of({"TORCH_MKLDNN_MATMUL_MIN_DIM": "32"})
    emulated = settled_ms(started(), 32, Path(blas_layers=frozenset({0, 1, 2})))
    assert emulated == pytest.approx(settled_ms(started(threshold), 32))
    assert emulated < 0.5 * settled_ms(started(), 32)


def test_threads_can_be_changed_in_a_process() -> None:
    fewer = Configuration.of({"OMP_NUM_THREADS": "2"})
    assert settled_ms(started(), 256, Path(threads=2)) == pytest.approx(settled_ms(started(fewer), 256))


def test_fewer_threads_make_a_canary_slower() -> None:
    trial = started()
    whole, half = trial.run(32, AS_STARTED, 1), trial.run(32, Path(threads=2), 1)
    assert half.canary_ns == pytest.approx(2 * whole.canary_ns, rel=0.01)


def test_blas_bits_are_the_bits_with_the_flag_off() -> None:
    seen = started(Configuration.of({"TORCH_MKLDNN_MATMUL_MIN_DIM": "32"})).observe()
    assert [p.digest == p.blas_digest for p in seen.case(32).products] == [True, True, True]
    assert [p.digest == p.blas_digest for p in seen.case(256).products] == [False, False, True]
    assert seen.flag_alive


def test_bf16_shows_as_an_error_of_its_size() -> None:
    seen = started(BF16).observe()
    assert all(BF16_ERROR[0] < p.error < BF16_ERROR[1] for case in seen.cases for p in case.products)
    assert all(p.error < 1e-6 for case in started().observe().cases for p in case.products)
    assert seen.case(256).kernels == ("gemm:acl wei:bf16",)


def test_bf16_changes_no_bit_on_a_graviton2() -> None:
    graviton2 = replace(C7G_XLARGE, generation=2)
    assert started(BF16, graviton2).observe().cases == started(DEFAULT, graviton2).observe().cases


def test_on_x86_the_flag_is_dead() -> None:
    x86 = Machine(None, 4, "madvise", TORCH_2_13_0_X86)
    assert not started(DEFAULT, x86).observe().flag_alive


def test_huge_pages_show_where_the_allocator_obeys() -> None:
    assert started(HUGE).observe().memory.anon_huge - started().observe().memory.anon_huge > 200 * MIB
    mimalloc = replace(C7G_XLARGE, build=TORCH_2_10_0)
    assert started(HUGE, mimalloc).memory() == started(DEFAULT, mimalloc).memory()


def test_huge_pages_cost_little_memory() -> None:
    assert 4 * MIB <= started(HUGE).memory().rss_anon - started().memory().rss_anon <= 9 * MIB


def test_a_broken_threshold_fails_at_the_first_product() -> None:
    trial = started(Configuration.of({"TORCH_MKLDNN_MATMUL_MIN_DIM": "abc"}))
    with pytest.raises(TrialError, match="stoi"):
        trial.run(32, AS_STARTED, 1)


def test_a_stopped_trial_runs_no_more() -> None:
    trial = started()
    trial.stop()
    with pytest.raises(TrialError):
        trial.run(32, AS_STARTED, 1)


def planted(fault: Fault) -> tuple[Planted, ...]:
    """The fault in every process with fast math."""
    return (Planted("DNNL_DEFAULT_FPMATH_MODE", fault),)


def test_a_planted_crash_at_start_names_the_configuration() -> None:
    with pytest.raises(TrialError) as raised:
        started(BF16, faults=planted(Fault.CRASH_AT_START))
    assert raised.value.configuration == BF16


def test_a_planted_crash_comes_in_the_third_block() -> None:
    trial = started(BF16, faults=planted(Fault.CRASH_LATER))
    trial.run(32, AS_STARTED, 1)
    trial.run(32, AS_STARTED, 1)
    with pytest.raises(TrialError):
        trial.run(32, AS_STARTED, 1)


def test_planted_faults_show_in_the_observation() -> None:
    inaccurate = started(BF16, faults=planted(Fault.INACCURATE)).observe()
    assert inaccurate.case(256).error > 0.05
    broken = started(BF16, faults=planted(Fault.NAN)).observe()
    assert not broken.case(256).finite
    assert math.isnan(broken.case(256).error)
    silent = started(BF16, faults=planted(Fault.SILENT)).observe()
    assert silent.cases == started().observe().cases
    assert started(faults=planted(Fault.INACCURATE)).observe().case(256).error < 1e-6


def test_a_planted_breach_shows_in_the_memory() -> None:
    breach = started(BF16, faults=planted(Fault.MEMORY)).memory().rss_anon - started().memory().rss_anon
    assert breach == 512 * MIB
