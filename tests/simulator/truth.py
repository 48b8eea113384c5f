"""What the simulator alone knows: the true cost of any configuration, and the best of all."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from graviton_agent.calibration.trial import Configuration
from tests.simulator.dispatch import State
from tests.simulator.surface import Surface


@dataclass(frozen=True)
class Best:
    """The cheapest state that an environment can bring about."""

    configuration: Configuration
    ms: float
    default_ms: float

    @property
    def gain(self) -> float:
        """Ratio of times, default over best; 1 where nothing beats the default."""
        return self.default_ms / self.ms


def true_ms(surface: Surface, environment: Mapping[str, str]) -> float:
    """The mean time of a call of the mix, without noise, with these variables."""
    return state_ms(surface, surface.machine.state(environment))


def state_ms(surface: Surface, state: State) -> float:
    """The mean time of a call of the mix in a state."""
    machine, workload = surface.machine, surface.workload
    return sum(
        case.weight * surface.cell(state, case.batch, machine.kernels(state, workload, case.batch)).ms
        for case in workload.cases
    )


def environments(surface: Surface, *, bf16: bool = True) -> tuple[dict[str, str], ...]:
    """Every environment that differs in truth: one of each, the default first.

    Thread counts are halved down to one, which is finer than what a catalogue proposes.
    """
    machine, workload = surface.machine, surface.workload
    threads = [""]
    count = machine.cpus // 2
    while count:
        threads.append(str(count))
        count //= 2
    variables = {
        "DNNL_DEFAULT_FPMATH_MODE": ("", "BF16") if bf16 else ("",),
        "TORCH_MKLDNN_MATMUL_MIN_DIM": ("", *map(str, (workload.dimensions[0] - 1, *workload.dimensions))),
        "OMP_NUM_THREADS": tuple(threads),
        **dict.fromkeys(machine.huge_page_variables, ("", "0", "1")),
    }
    distinct: dict[object, dict[str, str]] = {}
    for values in itertools.product(*variables.values()):
        environment = {name: value for name, value in zip(variables, values, strict=True) if value}
        state = machine.state(environment)
        kernels = tuple(machine.kernels(state, workload, case.batch) for case in workload.cases)
        distinct.setdefault((state.huge_pages, state.threads, kernels), environment)
    return tuple(distinct.values())


def best(surface: Surface, *, bf16: bool = True) -> Best:
    """The true best; where several are equal, the first of `environments`, so that the default wins a tie."""
    costs = [(true_ms(surface, environment), environment) for environment in environments(surface, bf16=bf16)]
    ms, environment = min(costs, key=lambda pair: pair[0])
    default = costs[0][0]
    if ms >= default * (1.0 - 1e-12):
        ms, environment = default, {}
    return Best(Configuration.of(environment), ms, default)
