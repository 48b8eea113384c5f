"""How much memory a calibration's workers need, and who grants less: said before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass

from graviton_agent.errors import ResourceError
from graviton_agent.host import Host
from graviton_agent.workload import Workload

RUNTIME_BYTES = 350 * 1024 * 1024
"""What a worker occupies beyond its model: Python, torch and its libraries' buffers."""
FLOAT64_BYTES = 8
PAIR = 2
"""Trials that are resident side by side at most."""


@dataclass(frozen=True)
class Need:
    """What one process needs at most, in bytes, by what it is for."""

    weights: int
    reference: int
    """The float64 reference is computed layer by layer, so this is the largest one's."""
    samples: int
    """Inputs and outputs of the largest batch, with what lies between two layers."""
    processes: int
    """How many there are at a time, in both trials together."""

    @property
    def each(self) -> int:
        """Of one process."""
        return RUNTIME_BYTES + self.weights + self.reference + self.samples

    @property
    def total(self) -> int:
        """Of all processes that are resident at a time."""
        return self.processes * self.each

    @property
    def basis(self) -> str:
        """Where the estimate comes from, in a clause."""
        return (
            f"{_size(RUNTIME_BYTES)} for Python and torch, {_size(self.weights)} of weights, "
            f"{_size(self.reference)} for the float64 reference, {_size(self.samples)} for inputs and outputs"
        )


def need_of(workload: Workload) -> Need:
    """What a workload's calibration needs at most."""
    return Need(
        weights=workload.weight_bytes,
        reference=max(layer.inputs * layer.outputs for layer in workload.layers) * FLOAT64_BYTES,
        samples=4 * workload.activation_bytes,
        processes=PAIR * workload.processes,
    )


def check_memory(
    workload: Workload, host: Host, *, asked: int | None = None, each: Mapping[str, int] | None = None
) -> None:
    """Refuses what would not fit. Raises ResourceError, with the estimate and its basis.

    Args:
        workload: what is to be calibrated.
        host: whose free memory and whose control group's limit hold for all processes together.
        asked: bytes that all of them may take by the command line.
        each: bytes that each process may take, by who says so, such as the unit's MemoryMax=.
    """
    need, each = need_of(workload), each or {}
    for words, bound in sorted(each.items(), key=lambda item: item[1]):
        if need.each > bound:
            raise ResourceError(
                f"each process of this calibration needs {_size(need.each)} ({need.basis}), "
                f"and {words} allows {_size(bound)}",
                hint="if it serves a smaller model, say so with `preset`, `layers` and `batches`; "
                "or raise its limit",
            )
    # A process sees the unit's own limit as its control group's, but that one is not shared.
    group = None if host.memory_limit in each.values() else host.memory_limit
    bounds = {
        "--memory-limit allows": asked,
        "this host has free": host.memory_available,
        "the control group allows": group,
    }
    known = {words: bound for words, bound in bounds.items() if bound is not None}
    if not known:
        return
    words, bound = min(known.items(), key=lambda item: item[1])
    if need.total > bound:
        raise ResourceError(
            f"calibrating this model needs {_size(need.total)} ({need.processes} processes side by side, "
            f"each with {need.basis}), and {words} {_size(bound)}",
            hint="take fewer or smaller layers, or free some memory",
        )


def _size(count: int) -> str:
    """Bytes for people: "350 MiB"."""
    mebibytes = count / (1024 * 1024)
    return f"{mebibytes / 1024:.1f} GiB" if mebibytes >= 1024 else f"{mebibytes:.0f} MiB"
