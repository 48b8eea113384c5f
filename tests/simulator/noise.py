"""Noise of a shared host, drawn from a seed: every component is defined here, in units of log time.

An SD of 0.01 is a standard deviation of 1 % of the time of a forward pass. The presets quiet, typical, noisy
and storm are the bracket that the targets are stated for; `shared-tutorial` and `shared-small` are what a
shared two-core machine showed; `heavy` is held out: nothing was tuned on it.
"""

import math
import random
from dataclasses import dataclass

GRID_SECONDS = 0.25
"""Drift is drawn at this spacing and is a straight line between."""


@dataclass(frozen=True)
class NoisePreset:
    """How a host disturbs a measurement. All SDs are of the natural logarithm of time."""

    name: str
    process: float
    """SD between processes: where memory came to lie. Constant for the life of a process."""
    drift: float
    """Stationary SD of a slow wander on the clock, an Ornstein-Uhlenbeck process that all processes share."""
    white: float
    """SD of a block's own error, whatever its length, and again of each forward pass in it."""
    interaction: float = 0.3
    """Share of the process variance that is drawn anew for each batch and path within the process."""
    tails: int | None = None
    """Degrees of freedom of the process effect's Student's t, scaled to the SD above; None is normal."""
    placement: float = 0.0
    """SD between CPU masks, the same for every process on a mask; drawn by process where threads may roam."""
    drift_seconds: float = 20.0
    """Time in which the drift forgets all but 1/e of itself."""
    bursts_per_minute: float = 0.0
    """How often another machine's load sets in: exponential gaps."""
    burst_seconds: float = 0.8
    """Mean of a burst's exponential length."""
    burst_height: float = 0.4
    """The worst slow-down; a burst's own is uniform between a tenth of it and all of it."""
    burst_floor: float = 0.4
    """Share of a burst's slow-down that hits a compute-bound cell; a memory-bound one gets all of it."""
    canary_coupling: float = 0.6
    """How much of drift and bursts the canary sees: it is a product of another size."""
    canary_white: float = 0.02
    """SD of the canary's own error."""
    steal_chance: float = 0.02
    """Chance that a burst shows as steal at all: most neighbours are invisible."""
    steal_floor: float = 0.0
    """Mean share of CPU time that the hypervisor always takes, exponential from block to block; what it costs
    in time is part of the white error."""


PRESETS = {
    preset.name: preset
    for preset in (
        NoisePreset("quiet", process=0.004, drift=0.003, white=0.006, canary_white=0.01),
        NoisePreset("typical", process=0.01, drift=0.01, white=0.01, canary_white=0.015),
        NoisePreset("noisy", process=0.02, drift=0.03, white=0.02, bursts_per_minute=3.0),
        NoisePreset("storm", process=0.03, drift=0.06, white=0.03, bursts_per_minute=9.0),
        NoisePreset(
            "shared-tutorial",
            process=0.02,
            drift=0.02,
            white=0.02,
            bursts_per_minute=2.0,
            steal_floor=0.025,
        ),
        NoisePreset(
            "shared-small",
            process=0.073,
            drift=0.03,
            white=0.045,
            bursts_per_minute=3.0,
            canary_white=0.12,
            steal_floor=0.025,
        ),
        NoisePreset(
            "heavy", process=0.015, drift=0.02, white=0.015, tails=3, placement=0.02, bursts_per_minute=4.0
        ),
    )
}


class Noise:
    """One host's noise over one run of the clock. The same seed gives the same drift and bursts at the same
    times whatever is measured, and the same effects to the first, second, ... process that is started."""

    def __init__(self, preset: NoisePreset, seed: str) -> None:
        self.preset = preset
        self._seed = seed
        self._drift_source = random.Random(f"{seed} drift")
        self._burst_source = random.Random(f"{seed} bursts")
        self._white_source = random.Random(f"{seed} white")
        self._keep = math.exp(-GRID_SECONDS / preset.drift_seconds)
        self._step = preset.drift * math.sqrt(1.0 - self._keep**2)
        self._drift = [self._drift_source.gauss(0.0, preset.drift)]
        self._bursts: list[tuple[float, float, float]] = []
        self._bursts_until = 0.0
        self._first_burst = 0
        self._masks: dict[tuple[int, ...] | None, float] = {}

    def process(self, index: int) -> "ProcessNoise":
        """The effects of the process that was started as number `index`."""
        return ProcessNoise(self.preset, random.Random(f"{self._seed} process {index}"))

    def mask(self, cpus: tuple[int, ...] | None) -> float:
        """The log effect of a CPU mask."""
        if cpus not in self._masks:
            source = random.Random(f"{self._seed} mask {cpus}")
            self._masks[cpus] = source.gauss(0.0, self.preset.placement)
        return self._masks[cpus]

    def drift(self, now: float) -> float:
        """The log effect of the drift at a time in seconds."""
        position = now / GRID_SECONDS
        index = int(position)
        grid = self._drift
        while len(grid) < index + 2:
            grid.append(grid[-1] * self._keep + self._drift_source.gauss(0.0, self._step))
        return grid[index] + (grid[index + 1] - grid[index]) * (position - index)

    def burst(self, begin: float, end: float) -> float:
        """The mean height of the bursts between two times, 0 to `burst_height`; times only go forward."""
        if not self.preset.bursts_per_minute:
            return 0.0
        self._draw_bursts(end)
        bursts = self._bursts
        while self._first_burst < len(bursts) and bursts[self._first_burst][1] <= begin:
            self._first_burst += 1
        covered = 0.0
        for index in range(self._first_burst, len(bursts)):
            start, stop, height = bursts[index]
            if start >= end:
                break
            covered += height * max(0.0, min(stop, end) - max(start, begin))
        return covered / (end - begin)

    def steal(self, burst: float) -> float:
        """The share of CPU time that the hypervisor shows as stolen during a burst of a mean height."""
        floor = self.preset.steal_floor
        always = self._white_source.expovariate(1.0 / floor) if floor else 0.0
        shows = burst and self._white_source.random() < self.preset.steal_chance
        return min(1.0, always + (burst if shows else 0.0))

    def canary(self, drift: float, burst: float) -> float:
        """The factor by which a canary is slower."""
        coupling = self.preset.canary_coupling
        own = self._white_source.gauss(0.0, self.preset.canary_white)
        return math.exp(coupling * drift + own) * (1.0 + coupling * burst)

    def block(self) -> float:
        """The log error of one block."""
        return self._white_source.gauss(0.0, self.preset.white)

    def calls(self, count: int) -> list[float]:
        """The log errors of the forward passes of a block, each by itself."""
        offset = int(self._white_source.random() * len(_NORMALS))
        scale = self.preset.white
        return [
            scale * value
            for value in (_NORMALS * (1 + (offset + count) // len(_NORMALS)))[offset : offset + count]
        ]

    def _draw_bursts(self, until: float) -> None:
        preset, source = self.preset, self._burst_source
        while self._bursts_until < until:
            start = self._bursts_until + source.expovariate(preset.bursts_per_minute / 60.0)
            stop = start + source.expovariate(1.0 / preset.burst_seconds)
            height = preset.burst_height * source.uniform(0.1, 1.0)
            self._bursts.append((start, stop, height))
            self._bursts_until = stop


def memory_bound_share(preset: NoisePreset, memory_share: float) -> float:
    """How much of a burst hits a cell that spends `memory_share` of its time waiting for memory."""
    return preset.burst_floor + (1.0 - preset.burst_floor) * memory_share


class ProcessNoise:
    """The effects that one process has for life."""

    def __init__(self, preset: NoisePreset, source: random.Random) -> None:
        self._preset = preset
        self._source = source
        self._common = math.sqrt(1.0 - preset.interaction) * self._draw()
        self._cells: dict[object, float] = {}
        self.roaming = source.gauss(0.0, preset.placement)
        """The log effect of where the kernel put threads that are fewer than their CPUs."""
        self.memory = source.gauss(0.0, 1.0)
        """Standard normal: how much more or less than the usual it occupies."""

    def effect(self, cell: object) -> float:
        """The log effect on one batch and path; each has its own, drawn when it is first asked for."""
        found = self._cells.get(cell)
        if found is None:
            found = self._common + math.sqrt(self._preset.interaction) * self._draw()
            self._cells[cell] = found
        return found

    def _draw(self) -> float:
        tails = self._preset.tails
        if tails is None:
            return self._source.gauss(0.0, self._preset.process)
        chi_squared = self._source.gammavariate(tails / 2.0, 2.0)
        value = self._source.gauss(0.0, 1.0) / math.sqrt(chi_squared / tails)
        return self._preset.process * value * math.sqrt((tails - 2.0) / tails)


def _normals(count: int) -> tuple[float, ...]:
    source = random.Random("forward passes")
    half = [source.gauss(0.0, 1.0) for _ in range(count // 2)]
    return tuple(half + [-value for value in half])


_NORMALS = _normals(4096)
"""A fixed sample of the standard normal: a block takes a stretch of it, which is quicker than drawing."""
