"""A threshold below torch's own is found where oneDNN is faster than torch takes it to be."""

import pytest

from benchmarks.decisions.methods import Run, graviton_agent
from graviton_agent.workload import make_workload
from tests.simulator.builds import TORCH_2_9_1
from tests.simulator.dispatch import Kernel, Machine
from tests.simulator.faults import Fault, Planted
from tests.simulator.scenario import Scenario, fit
from tests.simulator.surface import TUTORIAL_COSTS, KernelCost, PhysicalSurface

THRESHOLD = "TORCH_MKLDNN_MATMUL_MIN_DIM"


def prepacked(batches: str, seed: int = 0, generation: int = 3, *faults: Planted) -> Scenario:
    """The tutorial's network where oneDNN need not reorder weights, and reads bf16 ones in half the time."""
    machine = Machine(generation, 4, "never", fit(TORCH_2_9_1, generation, 4, "never"))
    read = TUTORIAL_COSTS[Kernel.BLAS].weight_ns
    weights = {Kernel.BLAS: read, Kernel.FP32: 0.8 * read, Kernel.BF16: 0.5 * read}
    costs = {
        kernel: KernelCost(cost.call_us, weights[kernel], cost.mac_ns)
        for kernel, cost in TUTORIAL_COSTS.items()
    }
    surface = PhysicalSurface(machine, make_workload(batches=batches), costs=costs)
    return Scenario(f"prepacked {batches} {seed}", "typical", surface, faults=faults)


def chosen(scenario: Scenario) -> Run:
    """What the calibration makes of it."""
    return graviton_agent(scenario)


@pytest.mark.parametrize("batches", ["1", "4,8", "4,256", "1,4,8,64"])
def test_small_batches_get_onednn_and_bf16_where_these_are_faster(batches: str) -> None:
    for seed in range(4):
        run = chosen(prepacked(batches, seed))
        assert run.environment["DNNL_DEFAULT_FPMATH_MODE"] == "BF16"
        assert int(run.environment[THRESHOLD]) < min(map(int, batches.split(",")))
        assert run.regret < 0.02


def test_without_bf16_instructions_fp32_is_found_alike() -> None:
    for seed in range(4):
        run = chosen(prepacked("4,8", seed, 2))
        assert run.environment == {THRESHOLD: "3"}


def test_where_torchs_own_threshold_is_0_there_is_nothing_below_it() -> None:
    for seed in range(4):
        assert THRESHOLD not in chosen(prepacked("4,8", seed, 5)).environment


@pytest.mark.parametrize("fault", [Fault.CRASH_AT_START, Fault.CRASH_LATER])
def test_where_a_lower_threshold_crashes_the_rest_is_calibrated_without_it(fault: Fault) -> None:
    """Torch's own and higher thresholds are emulated then in processes that were started without."""
    run = chosen(prepacked("4,256", 0, 3, Planted(THRESHOLD, fault)))
    assert run.environment == {"DNNL_DEFAULT_FPMATH_MODE": "BF16"}
    assert run.refused >= 1


def test_a_lower_threshold_that_is_ignored_is_not_believed() -> None:
    run = chosen(prepacked("4,8", 0, 3, Planted(THRESHOLD, Fault.SILENT)))
    assert not run.environment


def test_inaccurate_bf16_at_small_batches_takes_the_lower_threshold_with_it() -> None:
    run = chosen(prepacked("4,8", 0, 3, Planted("DNNL_DEFAULT_FPMATH_MODE", Fault.INACCURATE)))
    assert run.environment in ({}, {THRESHOLD: "3"})
