"""Faults of whole configurations, planted in the simulated laboratory: none of them reaches a unit."""

import functools
import itertools
from collections.abc import Mapping

import pytest

from graviton_agent.calibration.calibrate import Calibration, calibrate
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.plan import make_plan
from graviton_agent.calibration.rules import Rules
from graviton_agent.workload import make_workload
from tests.simulator.builds import TORCH_2_9_1
from tests.simulator.dispatch import Kernel, Machine
from tests.simulator.faults import Fault, Planted
from tests.simulator.hosts import host_of
from tests.simulator.laboratory import SimulatedLaboratory
from tests.simulator.noise import PRESETS, Noise
from tests.simulator.surface import tutorial_surface

RULES = Rules()
MACHINE = Machine(3, 4, "madvise", TORCH_2_9_1)
FAST_MATH, HUGE_PAGES = "DNNL_DEFAULT_FPMATH_MODE", "THP_MEM_ALLOC_ENABLE"
THRESHOLD, THREADS = "TORCH_MKLDNN_MATMUL_MIN_DIM", "OMP_NUM_THREADS"


@functools.cache
def calibrated(variable: str, fault: Fault, preset: str = "quiet") -> Calibration:
    """The tutorial's mix, where every configuration that sets a variable is faulty."""
    workload = make_workload()
    laboratory = SimulatedLaboratory(
        tutorial_surface(MACHINE, workload),
        Noise(PRESETS[preset], f"planted {variable} {fault}"),
        faults=(Planted(variable, fault),),
    )
    plan = make_plan(host_of(MACHINE), TORCH_2_9_1, workload, seed=11)
    return calibrate(Journal(laboratory, RULES.budget_seconds), plan, RULES)


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("variable", [FAST_MATH, HUGE_PAGES, THRESHOLD, THREADS])
@pytest.mark.parametrize("preset", ["quiet", "noisy"])
def test_a_faulty_variable_is_never_chosen(variable: str, fault: Fault, preset: str) -> None:
    chosen = calibrated(variable, fault, preset).decision.environment
    assert variable not in chosen or only_blas_computes(chosen)


def only_blas_computes(environment: Mapping[str, str]) -> bool:
    """Faults of arithmetic are oneDNN's: where it computes nothing, they do no harm."""
    workload = make_workload()
    kernels = [
        MACHINE.kernels(MACHINE.state(environment, MACHINE.cpus), workload, case.batch)
        for case in workload.cases
    ]
    return set(itertools.chain(*kernels)) == {Kernel.BLAS}


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_what_works_beside_a_faulty_lever_is_still_chosen(fault: Fault) -> None:
    """Without bf16 the mix gains 2.1x by BLAS alone."""
    found = calibrated(FAST_MATH, fault)
    assert THRESHOLD in found.decision.environment
    assert found.decision.gain > 1.9


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_faulty_lever_gets_a_reason_of_its_own(fault: Fault) -> None:
    words = {
        Fault.INACCURATE: "relative error",
        Fault.NAN: "not finite",
        Fault.CRASH_AT_START: "SIGILL",
        Fault.CRASH_LATER: "SIGSEGV",
        Fault.MEMORY: "more memory",
        Fault.SILENT: "changes no output bit",
    }
    settings = calibrated(FAST_MATH, fault).decision.settings
    assert words[fault] in next(found.reason for found in settings if found.setting == "bf16")


def test_a_threshold_that_torch_ignores_is_found_out_by_its_confirmation() -> None:
    """Screening emulates it by the flag, which works; real processes show that the variable does nothing."""
    found = calibrated(THRESHOLD, Fault.SILENT)
    assert THRESHOLD in found.ladder[0].configuration.environment
    assert found.decision.environment == {}
