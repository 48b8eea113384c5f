"""What the machine's noise is made of: the components that the simulator draws, estimated from real blocks.

Everything is in units of log time. The planted ratio is known, so it is taken out, and both arms count.

    block = cell + drift(time) + process + block's own error

Adjacent blocks of one process share drift and process: what they differ by is the error of a block (white).
Two processes side by side share the drift: beyond the white part they differ by two process effects. What
launches differ by, beyond both, is the drift.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median, pvariance
from typing import Any

from benchmarks.planted.laboratory import TimedBlock
from tests.simulator.noise import NoisePreset

NORMAL_MEDIAN = 0.6745
"""The median of a standard normal's absolute value."""
MIRRORED = 2
"""Blocks of each process for each batch in a pair."""


@dataclass(frozen=True)
class Components:
    """Standard deviations of log time."""

    name: str
    process: float
    drift: float
    white: float
    interaction: float | None
    """Share of the process variance that is another for each batch; None where it can't be told."""
    pair: float
    """What these come to in a pair's log ratio of the mix."""
    steps: float | None = None
    """Drift from one launch to the next, a few seconds later."""
    bulk: float | None = None
    """White by the median: without the tails that bursts make."""
    launches: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)


@dataclass(frozen=True)
class Cell:
    """The blocks of one batch in one launch, by process."""

    calibration: str
    launch: int
    kind: tuple[float, int]
    """The ratio, whose network it is, and the batch."""
    logs: tuple[tuple[float, ...], ...]
    adjacent: tuple[float, ...]
    """Differences of blocks that followed each other in one process."""

    @property
    def level(self) -> float:
        """Mean of the processes' means."""
        return fmean(map(fmean, self.logs))

    @property
    def shares(self) -> float:
        """How much of the white variance is left in the difference of the two means."""
        return math.fsum(1.0 / len(logs) for logs in self.logs)


def cells(lines: Iterable[dict[str, Any]]) -> Iterator[Cell]:
    """All launches of two processes, by batch."""
    for line in lines:
        grouped: dict[tuple[int, int], list[TimedBlock]] = defaultdict(list)
        for block in itertools.starmap(TimedBlock, line["blocks"]):
            grouped[block.launch, block.batch].append(block)
        for (launch, batch), blocks in grouped.items():
            logs: dict[int, list[float]] = defaultdict(list)
            for block in blocks:
                logs[block.process].append(_log(block, line["ratio"]))
            if len(logs) == 2:
                adjacent = tuple(
                    _log(one, line["ratio"]) - _log(other, line["ratio"])
                    for one, other in itertools.pairwise(blocks)
                    if one.process == other.process
                )
                yield Cell(
                    line["task"], launch, (line["ratio"], batch), tuple(map(tuple, logs.values())), adjacent
                )


def _log(block: TimedBlock, ratio: float) -> float:
    """Log time of a pass, as if the process had not been spared the repeated work."""
    return math.log(block.nanoseconds) + (math.log(ratio) if block.fast else 0.0)


def estimate(name: str, lines: Sequence[dict[str, Any]]) -> Components | None:
    """The components under one condition; None where there is too little to say."""
    found = list(cells(lines))
    adjacent = [difference for cell in found for difference in cell.adjacent]
    if len(adjacent) < 10 or len(found) < 10:
        return None
    white = fmean(difference**2 for difference in adjacent) / 2.0
    bulk = median(map(abs, adjacent)) / NORMAL_MEDIAN / math.sqrt(2.0)
    differences = [(cell, fmean(cell.logs[0]) - fmean(cell.logs[1])) for cell in found]
    process = max(0.0, fmean(z**2 - white * cell.shares for cell, z in differences) / 2.0)
    common = _common(differences)
    interaction = None
    if process > 0 and common is not None:
        interaction = min(1.0, max(0.0, 1.0 - common / (2.0 * process)))
    drift, steps = _drift(found, process, white)
    return Components(
        name=name,
        process=math.sqrt(process),
        drift=math.sqrt(drift),
        white=math.sqrt(white),
        interaction=interaction,
        pair=pair_sd(math.sqrt(process), math.sqrt(white), interaction or 0.0),
        steps=math.sqrt(steps),
        bulk=bulk,
        launches=len({(cell.calibration, cell.launch) for cell in found}),
    )


def _common(differences: Sequence[tuple[Cell, float]]) -> float | None:
    """Covariance of the two batches' differences in one launch: what is the process's own at any batch."""
    launches: dict[tuple[str, int], list[float]] = defaultdict(list)
    for cell, z in differences:
        launches[cell.calibration, cell.launch].append(z)
    products = [zs[0] * zs[1] for zs in launches.values() if len(zs) == 2]
    return fmean(products) if products else None


def _drift(found: Sequence[Cell], process: float, white: float) -> tuple[float, float]:
    """Variance of the launches' levels over all the time, and from one launch to the next."""
    own: dict[tuple[float, int], list[float]] = defaultdict(list)
    for cell in found:
        own[cell.kind].append(cell.level)
    means = {kind: fmean(levels) for kind, levels in own.items()}
    noise = fmean(process / 2.0 + white * cell.shares / 4.0 for cell in found)
    total = fmean(pvariance(levels) for levels in own.values() if len(levels) > 1)
    ordered: dict[tuple[str, int], list[float]] = defaultdict(list)
    for cell in found:
        ordered[cell.calibration, cell.kind[1]].append(cell.level - means[cell.kind])
    steps = [(b - a) ** 2 / 2.0 for levels in ordered.values() for a, b in itertools.pairwise(levels)]
    return max(0.0, total - noise), max(0.0, fmean(steps) - noise) if steps else 0.0


def pair_sd(process: float, white: float, interaction: float, batches: int = 2) -> float:
    """SD of a mix's log ratio in a pair, A B B A on each batch, where both batches cost about the same."""
    effects = process**2 * (1.0 - interaction + interaction / batches)
    return math.sqrt(2.0 * (effects + white**2 / (MIRRORED * batches)))


def of_preset(preset: NoisePreset) -> Components:
    """The same figures of a preset; its bursts come on top."""
    return Components(
        name=preset.name,
        process=preset.process,
        drift=preset.drift,
        white=preset.white,
        interaction=preset.interaction,
        pair=pair_sd(preset.process, preset.white, preset.interaction),
    )
