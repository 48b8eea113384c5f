"""Surfaces whose truth is a figure: every configuration equal, or one setting worth exactly a given gain."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from graviton_agent.workload import Workload
from tests.simulator.dispatch import Kernel, Machine, State
from tests.simulator.surface import Cell, PhysicalSurface


class Lever(StrEnum):
    """Which setting the planted gain belongs to."""

    NONE = "none"
    BF16 = "bf16"
    THRESHOLD = "threshold"
    HUGE_PAGES = "huge-pages"
    THREADS = "threads"


def levers(machine: Machine, workload: Workload) -> tuple[Lever, ...]:
    """The settings that can be worth anything on a machine for a workload."""
    found = []
    default = machine.default_state
    onednn = any(Kernel.BLAS not in machine.kernels(default, workload, case.batch) for case in workload.cases)
    if machine.has_bf16 and onednn:
        found.append(Lever.BF16)
    if onednn:
        found.append(Lever.THRESHOLD)
    if machine.thp_mode == "madvise" and machine.build.allocator == "malloc":
        found.append(Lever.HUGE_PAGES)
    if machine.cpus > 1:
        found.append(Lever.THREADS)
    return tuple(found)


@dataclass
class PlantedSurface:
    """The default's times of a physical surface everywhere, but for one setting that is worth a gain."""

    base: PhysicalSurface
    lever: Lever
    gain: float
    """Ratio of the mix's times, default over the best configuration; 1.05 is a gain of 5 %."""
    _cells: dict[tuple[object, ...], Cell] = field(default_factory=dict, repr=False)

    @property
    def machine(self) -> Machine:
        """Where."""
        return self.base.machine

    @property
    def workload(self) -> Workload:
        """Of what."""
        return self.base.workload

    def cell(self, state: State, batch: int, kernels: tuple[Kernel, ...]) -> Cell:
        """See Surface."""
        key = (state.threads, state.huge_pages, batch, kernels)
        found = self._cells.get(key)
        if found is None:
            default = self._default(batch)
            share = self._share(state, kernels, batch)
            found = default._replace(ms=default.ms * self._factor**share if share else default.ms)
            self._cells[key] = found
        return found

    @cached_property
    def _factor(self) -> float:
        """What a batch that the setting reaches is multiplied by, so that the whole mix gains the gain."""
        everywhere = self.lever in {Lever.HUGE_PAGES, Lever.THREADS}
        reached = unreached = 0.0
        for case in self.workload.cases:
            cost = case.weight * self._default(case.batch).ms
            if everywhere or self._weights(self._default_kernels(case.batch)):
                reached += cost
            else:
                unreached += cost
        return ((reached + unreached) / self.gain - unreached) / reached if reached else 0.0

    @property
    def possible(self) -> bool:
        """Whether the batches that the setting reaches are enough for the gain."""
        return self.lever is Lever.NONE or self._factor > 0.5

    def _share(self, state: State, kernels: tuple[Kernel, ...], batch: int) -> float:
        """How much of its effect the setting has in a state, from 0 to 1, by the weights that it moves."""
        onednn = self._weights(self._default_kernels(batch))
        match self.lever:
            case Lever.NONE:
                return 0.0
            case Lever.BF16:
                moved = self._weights(kernels) if Kernel.BF16 in kernels else 0
                return moved / onednn if onednn else 0.0
            case Lever.THRESHOLD:
                moved = onednn - self._weights(kernels)
                return max(0, moved) / onednn if onednn else 0.0
            case Lever.HUGE_PAGES:
                return float(state.huge_pages)
            case Lever.THREADS:
                return float(state.threads == self.machine.cpus // 2)

    def _weights(self, kernels: tuple[Kernel, ...]) -> int:
        """The weights of the layers that oneDNN computes."""
        return sum(
            layer.inputs * layer.outputs
            for kernel, layer in zip(kernels, self.workload.layers, strict=True)
            if kernel is not Kernel.BLAS
        )

    def _default_kernels(self, batch: int) -> tuple[Kernel, ...]:
        return self.machine.kernels(self.machine.default_state, self.workload, batch)

    def _default(self, batch: int) -> Cell:
        return self.base.cell(self.machine.default_state, batch, self._default_kernels(batch))
