"""No budget is spent on configurations that cannot differ: the trials are counted."""

from dataclasses import replace

import pytest

from benchmarks.decisions.methods import plan_of
from graviton_agent.calibration.calibrate import Calibration, calibrate
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import DEFAULT, Configuration
from graviton_agent.workload import make_workload
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_13_0_X86
from tests.simulator.dispatch import Kernel, Machine
from tests.simulator.scenario import Scenario, fit, random_scenario, wide_scenario
from tests.simulator.surface import random_surface, tutorial_surface

RULES = Rules()


def scenario(machine: Machine, batches: str) -> Scenario:
    """The tutorial's network with these batches."""
    fitted = replace(machine, build=fit(machine.build, machine.generation, machine.cpus, machine.thp_mode))
    return Scenario("budget", "typical", random_surface(fitted, make_workload(batches=batches), "budget"))


def calibrated(of: Scenario) -> tuple[Calibration, list[Configuration], list[Configuration]]:
    """The result, and what was started for screening and for confirmation."""
    journal = Journal(of.laboratory(), budget_seconds=RULES.budget_seconds)
    result = calibrate(journal, plan_of(of), RULES)
    started = {
        purpose: [trial.configuration for trial in journal.trials if trial.purpose == purpose]
        for purpose in ("screening", "confirmation")
    }
    return result, started["screening"], started["confirmation"]


@pytest.mark.parametrize(
    ("machine", "batches", "starts"),
    [
        # Neither a second CPU, nor huge pages, nor oneDNN in the place of MKL: fast math is tried once.
        (Machine(None, 1, "never", TORCH_2_13_0_X86), "10,32,256", 2),
        # No bf16 instructions, and OpenBLAS is faster where torch sends every batch: oneDNN is tried once.
        (Machine(2, 1, "never", TORCH_2_9_1), "1,4,8", 2),
        # The same with bf16, which oneDNN alone has.
        (Machine(3, 1, "never", TORCH_2_9_1), "1,4,8", 2),
        # MKL computes everything whatever the threshold: it is tried with what else is tried, if anything.
        (Machine(None, 1, "never", TORCH_2_13_0_X86), "1,4,8", 2),
    ],
)
def test_where_every_setting_is_dead_only_the_first_look_is_taken(
    machine: Machine, batches: str, starts: int
) -> None:
    result, screening, confirmation = calibrated(scenario(machine, batches))
    assert len(screening) == starts
    assert not confirmation
    assert not result.decision.environment


@pytest.mark.parametrize("kind", [wide_scenario, random_scenario])
def test_after_the_first_look_no_dead_variable_is_started(kind: object) -> None:
    assert callable(kind)
    for number in range(25):
        of: Scenario = kind("typical", number)
        machine, workload = of.surface.machine, of.surface.workload
        _, screening, _ = calibrated(of)
        for configuration in screening[2:]:
            for variable, _ in configuration.variables:
                state = machine.state(configuration.environment)
                less = machine.state(configuration.without(variable).environment)
                unlike = (state.huge_pages, state.threads) != (less.huge_pages, less.threads) or any(
                    machine.kernels(state, workload, case.batch)
                    != machine.kernels(less, workload, case.batch)
                    for case in workload.cases
                )
                assert unlike, f"{of.name}: {variable} is dead in {configuration}"


@pytest.mark.parametrize("batches", ["4,256", "1,8", "1,4,32"])
def test_a_lower_threshold_that_loses_at_the_first_look_costs_no_further_process(batches: str) -> None:
    """oneDNN reorders all weights in every call there: at these batches OpenBLAS is far ahead."""
    of = scenario(Machine(3, 4, "madvise", TORCH_2_9_1), batches)
    surface = tutorial_surface(of.surface.machine, of.surface.workload)
    _, screening, confirmation = calibrated(replace(of, surface=surface))
    lowest = surface.workload.dimensions[0]
    low = [lowered_to(configuration) for configuration in [*screening, *confirmation]]
    assert [value for value in low if value is not None and value < lowest] == [lowest - 1]
    assert low.index(lowest - 1) < 2


@pytest.mark.parametrize(("generation", "batches"), [(3, "9,256"), (3, "10,32,256"), (4, "16")])
def test_nobody_starts_with_a_lower_threshold_whose_products_all_exceed_torchs_own(
    generation: int, batches: str
) -> None:
    _, screening, _ = calibrated(scenario(Machine(generation, 4, "madvise", TORCH_2_9_1), batches))
    assert {lowered_to(configuration) for configuration in screening} == {None}


def lowered_to(configuration: Configuration) -> int | None:
    """The threshold that a process was started with."""
    value = configuration.environment.get("TORCH_MKLDNN_MATMUL_MIN_DIM")
    return None if value is None else int(value)


def test_no_candidate_is_confirmed_that_acts_like_the_default() -> None:
    for number in range(25):
        of = wide_scenario("noisy", number)
        _, _, confirmation = calibrated(of)
        machine, workload = of.surface.machine, of.surface.workload
        default = machine.default_state
        for configuration in set(confirmation) - {DEFAULT}:
            state = machine.state(configuration.environment)
            same = [
                machine.kernels(state, workload, case.batch) == machine.kernels(default, workload, case.batch)
                for case in workload.cases
            ]
            assert not all(same) or state[3:] != default[3:], f"{of.name}: {configuration}"


def test_a_batch_that_blas_computes_is_screened_once_for_fast_math_on_and_off() -> None:
    of = scenario(Machine(3, 1, "never", TORCH_2_9_1), "4,256")
    journal = Journal(of.laboratory(), budget_seconds=RULES.budget_seconds)
    calibrate(journal, replace(plan_of(of), thresholds=()), RULES)
    first = [trial for trial in journal.trials if trial.purpose == "screening"][:2]
    blocks = {str(trial.configuration): {block.batch for block in trial.blocks} for trial in first}
    assert blocks["default"] == {4, 256}
    assert blocks["DNNL_DEFAULT_FPMATH_MODE=BF16"] == {256}
    default = of.surface.machine.kernels(of.surface.machine.default_state, of.surface.workload, 4)
    assert set(default) == {Kernel.BLAS}
