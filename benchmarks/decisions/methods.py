"""The calibration under test, and what others do in its place, each run on one scenario."""

import itertools
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from graviton_agent.calibration.calibrate import calibrate
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.calibration.plan import Plan, make_plan
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import AS_STARTED, Configuration, Trial, TrialSpec
from graviton_agent.settings.matmul_threshold import MatmulThreshold
from graviton_agent.settings.threads import Threads
from tests.simulator.hosts import host_of
from tests.simulator.laboratory import SimulatedLaboratory
from tests.simulator.scenario import Scenario
from tests.simulator.truth import true_ms

WORTH = 0.005
"""The least share of the time for which a variable is worth writing."""


@dataclass(frozen=True)
class Run:
    """What one method did on one scenario, beside the truth."""

    scenario: str
    method: str
    outcome: str
    """As in the decision: "change", "keep" or "inconclusive"."""
    environment: dict[str, str]
    default_ms: float
    chosen_ms: float
    """True time of a call of the mix in the chosen environment."""
    best_ms: float
    seconds: float
    """Charged on the virtual clock."""
    starts: int
    blocks: int
    covered: bool | None = None
    """Whether the interval of the last comparison, adopted or not, holds the true gain; None without one."""
    pair_sd: float | None = None
    """Standard deviation of the pairs' log ratios, as the calibration estimated it."""
    candidate_gain: float | None = None
    """True log gain of the configuration that was compared with the default."""
    superfluous: int = 0
    """How many of the chosen variables could be left out at less than 0.5 % of the time."""
    refused: int = 0
    """How many configurations a guard or a failure removed."""
    reason: str = ""

    @property
    def regret(self) -> float:
        """By how much the chosen environment is slower than the best one."""
        return self.chosen_ms / self.best_ms - 1.0

    @property
    def changed(self) -> bool:
        """Whether anything would be written."""
        return self.outcome == Outcome.CHANGE


Method = Callable[[Scenario], Run]


def plan_of(scenario: Scenario) -> Plan:
    """What a calibration may try there."""
    machine = scenario.surface.machine
    seed = zlib.crc32(scenario.name.encode())
    return make_plan(host_of(machine), machine.build, scenario.surface.workload, seed=seed)


def graviton_agent(scenario: Scenario, rules: Rules | None = None) -> Run:
    """The calibration of this project."""
    rules = rules or Rules()
    laboratory = scenario.laboratory()
    result = calibrate(Journal(laboratory, rules.budget_seconds), plan_of(scenario), rules)
    covered = sd = gain = None
    if result.confirmations:
        last = result.confirmations[-1]
        gain = math.log(scenario.best.default_ms / true_ms(scenario.surface, last.candidate.environment))
        if last.estimate is not None:
            alpha = rules.coverage_alpha / 2.0
            covered = last.estimate.lower(alpha) <= gain <= last.estimate.upper(alpha)
            sd = last.estimate.sd
    return _run(
        scenario,
        "graviton-agent",
        result.decision.outcome,
        result.decision.environment,
        laboratory,
        covered=covered,
        pair_sd=sd,
        candidate_gain=gain,
        superfluous=_superfluous(scenario, result.decision.environment),
        refused=len(result.screening.refusals),
        reason=result.decision.reason,
    )


def _superfluous(scenario: Scenario, environment: Mapping[str, str]) -> int:
    with_all = true_ms(scenario.surface, environment)
    less = ({name: value for name, value in environment.items() if name != out} for out in environment)
    return sum(true_ms(scenario.surface, fewer) < with_all * (1.0 + WORTH) for fewer in less)


def measure_once(scenario: Scenario) -> Run:
    """Every configuration once, 0.2 s for each batch in one process; the fastest is taken."""
    return _exhaustive(
        scenario, "measure each once", lambda lab, c: _mean_cost(lab, scenario, c, Effort(1, 1, 0.2))
    )


def pyperf(scenario: Scenario) -> Run:
    """Every configuration in 20 processes, one warm-up and three values of 0.1 s each [psf/pyperf]."""
    return _exhaustive(
        scenario, "pyperf, exhaustive", lambda lab, c: _mean_cost(lab, scenario, c, Effort(20, 3, 0.1))
    )


def torch_timer(scenario: Scenario) -> Run:
    """Every configuration by torch.utils.benchmark's blocked_autorange: the median of blocks, 0.2 s."""
    return _exhaustive(scenario, "torch Timer, exhaustive", lambda lab, c: _timer_cost(lab, scenario, c))


def tutorial_advice(scenario: Scenario) -> Run:
    """What the tutorial says: bf16, huge pages and a threshold of 64."""
    advice = {
        "DNNL_DEFAULT_FPMATH_MODE": "BF16",
        "THP_MEM_ALLOC_ENABLE": "1",
        "TORCH_MKLDNN_MATMUL_MIN_DIM": "64",
    }
    return _run(scenario, "tutorial's advice", Outcome.CHANGE, advice, None)


def container_defaults(scenario: Scenario) -> Run:
    """What AWS's deep learning containers set."""
    advice = {
        "DNNL_DEFAULT_FPMATH_MODE": "BF16",
        "THP_MEM_ALLOC_ENABLE": "1",
        "LRU_CACHE_CAPACITY": "1024",
    }
    return _run(scenario, "AWS container defaults", Outcome.CHANGE, advice, None)


OTHERS: tuple[Method, ...] = (measure_once, pyperf, torch_timer, tutorial_advice, container_defaults)


def _run(
    scenario: Scenario,
    method: str,
    outcome: Outcome,
    environment: Mapping[str, str],
    laboratory: SimulatedLaboratory | None,
    **rest: object,
) -> Run:
    return Run(
        scenario=scenario.name,
        method=method,
        outcome=outcome,
        environment=dict(environment),
        default_ms=scenario.best.default_ms,
        chosen_ms=true_ms(scenario.surface, environment),
        best_ms=scenario.best.ms,
        seconds=laboratory.now() if laboratory else 0.0,
        starts=laboratory.starts if laboratory else 0,
        blocks=laboratory.blocks if laboratory else 0,
        **rest,  # type: ignore[arg-type]
    )


def _exhaustive(
    scenario: Scenario, method: str, cost: Callable[[SimulatedLaboratory, Configuration], float]
) -> Run:
    """Measures one configuration after the other and takes the cheapest."""
    laboratory = scenario.laboratory()
    costs = {configuration: cost(laboratory, configuration) for configuration in _grid(scenario)}
    chosen = min(costs, key=lambda configuration: costs[configuration])
    outcome = Outcome.CHANGE if chosen.variables else Outcome.KEEP
    return _run(scenario, method, outcome, chosen.environment, laboratory)


def _grid(scenario: Scenario) -> Iterable[Configuration]:
    """Every configuration that the calibration may choose from, less those that act like an earlier one.

    The others would not know which act alike; leaving those out makes them cheaper than they are.
    """
    plan, machine = plan_of(scenario), scenario.surface.machine
    values: dict[str, tuple[str, ...]] = {
        choice.setting.variable: ("", choice.value) for choice in plan.levers
    }
    values[MatmulThreshold.variable] = ("", *map(str, plan.thresholds))
    values[Threads.variable] = ("", *map(str, plan.threads))
    distinct: dict[object, Configuration] = {}
    for chosen in itertools.product(*values.values()):
        environment = {name: value for name, value in zip(values, chosen, strict=True) if value}
        state = machine.state(environment)
        kernels = tuple(machine.kernels(state, plan.workload, case.batch) for case in plan.workload.cases)
        distinct.setdefault((state.huge_pages, state.threads, kernels), Configuration.of(environment))
    return distinct.values()


@dataclass(frozen=True)
class Effort:
    """How much is measured of one configuration."""

    processes: int
    values: int
    """In each process."""
    seconds: float
    """Of one value at least."""


def _mean_cost(
    laboratory: SimulatedLaboratory, scenario: Scenario, configuration: Configuration, effort: Effort
) -> float:
    """The mix's mean time over processes, each measuring every batch after one warm-up of the same length."""
    costs = []
    for _ in range(effort.processes):
        (trial,) = laboratory.start([TrialSpec(configuration)])
        cost = 0.0
        for case in scenario.surface.workload.cases:
            loops = _loops(trial, case.batch, effort.seconds)
            times = [trial.run(case.batch, AS_STARTED, loops).per_iteration_ns for _ in range(effort.values)]
            cost += case.weight * fmean(times)
        costs.append(cost)
        trial.stop()
    return fmean(costs)


def _timer_cost(laboratory: SimulatedLaboratory, scenario: Scenario, configuration: Configuration) -> float:
    (trial,) = laboratory.start([TrialSpec(configuration)])
    cost = 0.0
    for case in scenario.surface.workload.cases:
        loops = _loops(trial, case.batch, 0.01)
        times: list[float] = []
        spent = 0.0
        while spent < 0.2:
            block = trial.run(case.batch, AS_STARTED, loops)
            times.append(block.per_iteration_ns)
            spent += block.elapsed_ns / 1e9
        cost += case.weight * median(times)
    trial.stop()
    return cost


def _loops(trial: Trial, batch: int, seconds: float) -> int:
    """Runs the warm-up, and says how many passes take so long."""
    first = trial.run(batch, AS_STARTED, 1).per_iteration_ns
    loops = max(1, math.ceil(seconds * 1e9 / first))
    warm = trial.run(batch, AS_STARTED, loops).per_iteration_ns
    return max(1, math.ceil(seconds * 1e9 / warm))
