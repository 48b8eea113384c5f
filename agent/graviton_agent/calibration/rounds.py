"""Blocks and rounds: warming a trial up, and measuring cells side by side."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from graviton_agent.calibration.noise import Canaries
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Block, Path, Trial
from graviton_agent.settings.threads import Threads
from graviton_agent.workload import Case, heaviest_first

NANOSECONDS = 1_000_000_000
MOST_ITERATIONS = 100_000
"""As many calls as a worker's answer may hold: no forward pass is so short that a block needs more."""
_T = TypeVar("_T")

Cell = tuple[Trial, Path]
"""A trial, and a path through it."""


def _threads(cell: Cell) -> int | None:
    """How many threads a cell is held to; None is as many as torch starts."""
    trial, path = cell
    held = trial.spec.configuration.environment.get(Threads.variable)
    return path.threads or (int(held) if held else None)


@dataclass(frozen=True)
class Round:
    """Blocks of one case that belong together, in the order of their cells."""

    blocks: tuple[tuple[Block, ...], ...]
    """For each cell its blocks."""
    disturbed: str | None
    """Why the round can't be trusted, after all retries; None if it can."""

    def nanoseconds(self, cell: int) -> float:
        """Mean time of one iteration in a cell."""
        blocks = self.blocks[cell]
        return sum(block.per_iteration_ns for block in blocks) / len(blocks)

    def inner_variance(self) -> float:
        """Variance of the log ratio of two cells, of two blocks each, by what those differ by.

        A cell's mean has half the variance of a block, and the difference of two blocks has twice as much.
        """
        differences = (
            math.log(one.per_iteration_ns / other.per_iteration_ns)
            for one, other in (blocks for blocks in self.blocks if len(blocks) == 2)
        )
        return math.fsum(difference**2 for difference in differences) / 4.0


class Rounds:
    """Measures cells, one case at a time."""

    def __init__(self, rules: Rules, random_order: random.Random) -> None:
        self._rules = rules
        self._random = random_order
        self._canaries = Canaries(rules)

    def warm_up(self, cells: Mapping[Case, Sequence[Cell]], *, together: bool) -> dict[Case, float]:
        """Runs every case on its cells, the largest batch first, until each has settled.

        A pass that takes as long as a block is warmed up by one: what its first pass has left undone is
        little beside its length.

        Args:
            cells: what to warm up.
            together: one pass is enough only if it is for every cell of the case. Else an arm that goes on
                beside one that doesn't begins its blocks a pass later, is a little faster for it, and what is
                the same speed looks like a gain.

        Returns for each case the shortest iteration of any cell in nanoseconds.
        """
        return {
            case: self._warm_up_case(cells[case], case, together=together)
            for case in heaviest_first(list(cells))
        }

    def _warm_up_case(self, cells: Sequence[Cell], case: Case, *, together: bool) -> float:
        order = self.shuffled(cells)
        first = [trial.run(case.batch, path, 1).per_iteration_ns for trial, path in order]
        enough = self._rules.warm_up_seconds * NANOSECONDS
        return min(
            begun if (min(first) if together else begun) >= enough else self._settle(cell, case, begun)
            for cell, begun in zip(order, first, strict=True)
        )

    def _settle(self, cell: Cell, case: Case, first_ns: float) -> float:
        """Iterates until two successive times agree; returns the shortest in nanoseconds."""
        trial, path = cell
        times = [first_ns]
        while len(times) < self._rules.warm_up_limit:
            times.append(trial.run(case.batch, path, 1).per_iteration_ns)
            if sum(times) >= self._rules.warm_up_seconds * NANOSECONDS:
                break
            if len(times) >= self._rules.warm_up_iterations and (
                abs(math.log(times[-1] / times[-2])) <= self._rules.settled
            ):
                break
        return min(times)

    def iterations(self, shortest_ns: float, *, fewest: int) -> int:
        """How many iterations make a block long enough."""
        wanted = math.ceil(self._rules.block_seconds * NANOSECONDS / max(shortest_ns, 1.0))
        return min(max(fewest, wanted), MOST_ITERATIONS)

    def measure(self, cells: Sequence[Cell], case: Case, shortest_ns: float, *, mirrored: bool) -> Round:
        """Measures one case on every cell, in random order.

        Args:
            cells: what to measure.
            case: the case.
            shortest_ns: the shortest iteration of any cell: all cells get the same number of iterations,
                enough for the fastest of them.
            mirrored: go through the cells once more in the opposite order (A B B A), which cancels drift.

        A disturbed round is measured again, all of it, as often as the rules allow.
        """
        iterations = self.iterations(shortest_ns, fewest=self._rules.minimum_iterations if mirrored else 1)
        order = self.shuffled(range(len(cells)))
        if mirrored:
            order = [*order, *reversed(order)]
        for attempt in range(self._rules.retries + 1):
            found: list[list[Block]] = [[] for _ in cells]
            for cell in order:
                trial, path = cells[cell]
                found[cell].append(trial.run(case.batch, path, iterations))
            disturbed = self._canaries.disturbance(
                [(_threads(cells[cell]), block) for cell, blocks in enumerate(found) for block in blocks]
            )
            if disturbed is None or attempt == self._rules.retries:
                break
        return Round(tuple(tuple(cell_blocks) for cell_blocks in found), disturbed)

    def canary_sd(self) -> float:
        """See Canaries.sd."""
        return self._canaries.sd()

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """The items in random order."""
        order = list(items)
        self._random.shuffle(order)
        return order
