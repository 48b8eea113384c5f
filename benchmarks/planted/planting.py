"""What is planted: networks of equal layers, and a setting that only the benchmark's interpreter knows."""

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.planted.interpreter.sitecustomize import FAST, REPEATS
from graviton_agent.calibration.plan import Choice, Plan
from graviton_agent.host import Host
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.settings.threads import Threads
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Case, Layer, Workload

INTERPRETER = Path(__file__).parent / "interpreter"
DEPTHS = (20, 50)
"""Numbers of layers of the planted networks; each ratio takes the first that makes it a whole number of
repeated layers, and only 1.02 needs the deeper one."""
WIDTH = 640
BATCHES = (64, 16)
"""33 MB of weights in 20 layers: the smaller batch waits for memory, the larger one computes."""
THREADS = 1
"""On a shared machine a small network on two threads differs by a tenth from pair to pair: a gain of 5 %
can't be told there in any time, and nearly every calibration is inconclusive."""


class Planted(Setting):
    """Leaves out the repeated work.

    The calibration meets it as it meets any variable of the environment: it is proven by bits, guarded,
    screened and confirmed. The catalogue doesn't know it, and no product code reads the variable.
    """

    name = "planted"
    variable = FAST
    title = "planted gain"
    lever = Lever.ENVIRONMENT
    proof = Proof.BF16_BITS
    cost = "weights rounded to bf16"
    source = "benchmarks/planted/interpreter/sitecustomize.py"

    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        """Always, under the benchmark's interpreter."""
        del host, torch
        return Applies.yes("the benchmark's interpreter reads it")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """Switched on."""
        del host, torch, workload
        return ("1",)


@dataclass(frozen=True)
class Planting:
    """A network and how many of its layers are repeated, for a ratio of time of default over planted."""

    ratio: float
    depth: int
    repeats: int

    @classmethod
    def of(cls, ratio: float) -> "Planting":
        """The shallowest network for a ratio."""
        for depth in DEPTHS:
            count = round((ratio - 1.0) * depth)
            if abs(1.0 + count / depth - ratio) < 1e-9:
                return cls(ratio, depth, count)
        raise ValueError(f"{ratio} is no whole number of repeated layers")

    @property
    def workload(self) -> Workload:
        """Equal layers, and the batches equally often."""
        share = 1.0 / len(BATCHES)
        return Workload(
            layers=(Layer(WIDTH, WIDTH),) * self.depth, cases=tuple(Case(b, weight=share) for b in BATCHES)
        )

    @property
    def environment(self) -> dict[str, str]:
        """What makes a Python the benchmark's interpreter, in the processes of both arms alike."""
        return {
            **os.environ,
            "PYTHONPATH": str(INTERPRETER),
            REPEATS: str(self.repeats),
            Threads.variable: str(THREADS),
        }

    def plan(self, host: Host, seed: int) -> Plan:
        """A calibration that may set the planted variable, and nothing else."""
        lever = Choice(Planted(), "1")
        return Plan(workload=self.workload, levers=(lever,), cpus=host.usable_cpus, seed=seed)
