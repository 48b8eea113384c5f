"""Draws whole situations, machine, workload, surface and noise, from a seed: its name."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Case, Workload, make_workload
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0, TORCH_2_13_0_X86
from tests.simulator.dispatch import Machine
from tests.simulator.faults import Planted
from tests.simulator.laboratory import MEASURED, SLOW, Costs, SimulatedLaboratory
from tests.simulator.noise import PRESETS, Noise
from tests.simulator.planted import Lever, PlantedSurface, levers
from tests.simulator.surface import Surface, random_surface, tutorial_surface
from tests.simulator.truth import Best, best

BATCHES = (1, 4, 8, 10, 16, 24, 32, 48, 64, 96, 128, 192, 256)
SMALL_LAYERS = "1024x2048,2048x1024,1024x10"
"""16 MB of weights: the small network on which a shared machine's pairs varied by 9 to 11 %."""


@dataclass(frozen=True)
class Scenario:
    """One situation that a calibration can find itself in."""

    name: str
    """Kind, preset and number: the seed of everything."""
    preset: str
    surface: Surface
    costs: Costs = MEASURED
    faults: tuple[Planted, ...] = ()

    @cached_property
    def best(self) -> Best:
        """The true best of every environment."""
        return best(self.surface)

    def laboratory(self) -> SimulatedLaboratory:
        """A new laboratory with its clock at zero; every one has the same noise."""
        noise = Noise(PRESETS[self.preset], self.name)
        return SimulatedLaboratory(self.surface, noise, costs=self.costs, faults=self.faults)


def random_scenario(preset: str, number: int) -> Scenario:
    """A surface around the published tables, on a Graviton with 2 to 16 CPUs, 1 to 4 batches."""
    name = f"random {preset} {number}"
    source = random.Random(name)
    machine = _machine(source, cpus=(2, 4, 4, 4, 8, 16))
    workload = _network(source, preset, most_batches=4)
    return Scenario(name, preset, random_surface(machine, workload, name))


def slow_scenario(preset: str, number: int) -> Scenario:
    """A random scenario where a process takes as long to start as on a slow shared machine."""
    return replace(random_scenario(preset, number), costs=SLOW)


def null_scenario(preset: str, number: int) -> Scenario:
    """The same machines and networks, where every configuration takes the same time."""
    name = f"null {preset} {number}"
    return Scenario(name, preset, _planted_surface(name, preset, Lever.NONE, 1.0))


def planted_scenario(preset: str, gain: float, number: int) -> Scenario:
    """The same, where one setting gains exactly this ratio; which one is drawn."""
    name = f"planted {gain} {preset} {number}"
    return Scenario(name, preset, _planted_surface(name, preset, None, gain))


def tutorial_scenario(preset: str, batches: str, number: int) -> Scenario:
    """The published tables: the tutorial's network with these batches on a c7g.xlarge, torch 2.9.1."""
    name = f"tutorial {batches} {preset} {number}"
    machine = Machine(3, 4, "madvise", TORCH_2_9_1)
    return Scenario(name, preset, tutorial_surface(machine, make_workload(batches=batches)))


def wide_scenario(preset: str, number: int) -> Scenario:
    """Anything: 1 to 192 CPUs, 1 to 6 batches, other networks, builds where settings are dead, x86-64."""
    name = f"wide {preset} {number}"
    source = random.Random(name)
    machine = _machine(source, cpus=(1, 2, 4, 16, 64, 96, 192))
    if source.random() < 0.15:
        build = replace(TORCH_2_13_0_X86, default_threads=machine.cpus)
        machine = replace(machine, generation=None, build=build)
    workload = _network(source, preset, most_batches=6)
    kind = source.choice(("tutorial", "tutorial", "bert-base", "vit-b", "llama"))
    if kind == "llama" and machine.cpus < 16:
        kind = "bert-base"
    workload = replace(workload, layers=make_workload(preset=kind).layers)
    return Scenario(name, preset, random_surface(machine, workload, name))


def _planted_surface(name: str, preset: str, lever: Lever | None, gain: float) -> PlantedSurface:
    source = random.Random(name)
    for _ in range(1000):
        machine = _machine(source, cpus=(2, 4, 4, 4, 8, 16))
        workload = _network(source, preset, most_batches=4)
        chosen = lever
        if chosen is None:
            possible = levers(machine, workload)
            chosen = source.choice(possible) if possible else None
        if chosen is None:
            continue
        surface = PlantedSurface(random_surface(machine, workload, name), chosen, gain)
        if surface.possible:
            return surface
    raise ValueError(f"nothing can be planted for {name}")


def _machine(source: random.Random, cpus: Sequence[int]) -> Machine:
    generation = source.choice((2, 3, 3, 3, 3, 4, 4, 4, 5, 5))
    build = source.choice((TORCH_2_9_1, TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0))
    mode: Literal["always", "madvise", "never"] = source.choice(
        ("madvise", "madvise", "madvise", "always", "never")
    )
    count = source.choice(cpus)
    return Machine(generation, count, mode, fit(build, generation, count, mode))


def fit(build: TorchBuild, generation: int | None, cpus: int, thp_mode: str) -> TorchBuild:
    """The build as a probe on such a host sees it."""
    capability = {3: "SVE256", 4: "SVE128", 5: "SVE128"}.get(generation or 0, build.cpu_capability)
    by_default = thp_mode == "always" or (thp_mode == "madvise" and build.allocator == "mimalloc")
    return replace(
        build,
        bf16_hardware=generation is not None and generation >= 3,
        cpu_capability="DEFAULT" if generation == 2 else capability,
        default_threads=cpus,
        huge_pages_by_default=by_default,
    )


def _network(source: random.Random, preset: str, most_batches: int) -> Workload:
    layers = SMALL_LAYERS if preset == "shared-small" else None
    batches = sorted(source.sample(BATCHES, source.randint(1, most_batches)))
    even = source.random() < 0.5
    shares = [1.0 if even else math.exp(source.gauss(0.0, 0.7)) for _ in batches]
    cases = tuple(Case(batch, share / sum(shares)) for batch, share in zip(batches, shares, strict=True))
    return replace(make_workload(layers=layers), cases=cases)
