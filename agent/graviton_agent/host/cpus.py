"""Reads the logical CPUs, their NUMA nodes and their caches from /sys/devices/system."""

import re
from dataclasses import dataclass

from graviton_agent.host.cpulist import parse_cpu_list
from graviton_agent.host.firmware_text import printable
from graviton_agent.root import KIB, MIB, Root

_CPU = "sys/devices/system/cpu"
_NODE = "sys/devices/system/node"
_SIZE = re.compile(r"([0-9]{1,9})([KM]?)")
_UNITS = {"": 1, "K": KIB, "M": MIB}


@dataclass(frozen=True)
class Cache:
    """One cache of the first online CPU: a Graviton's CPUs are all alike."""

    level: int
    kind: str
    """"Data", "Instruction" or "Unified"."""
    size: int
    """Bytes."""
    cpus: tuple[int, ...]
    """The CPUs that share it with the first CPU, itself among them."""


@dataclass(frozen=True)
class NumaNode:
    """CPUs that are equally far from their memory."""

    number: int
    cpus: tuple[int, ...]
    """Empty for a node that has memory alone."""


def read_online_cpus(root: Root) -> tuple[int, ...]:
    """The CPUs that run; empty where the kernel doesn't tell."""
    return _cpu_list(root, f"{_CPU}/online")


def read_threads_per_core(root: Root, cpu: int) -> int | None:
    """How many logical CPUs share the CPU's core: 1 on every Graviton, often 2 on x86."""
    topology = f"{_CPU}/cpu{cpu}/topology"
    # Linux before 5.4 has the second name alone [Documentation/admin-guide/cputopology.rst].
    siblings = _cpu_list(root, f"{topology}/core_cpus_list") or _cpu_list(
        root, f"{topology}/thread_siblings_list"
    )
    return len(siblings) or None


def read_caches(root: Root, cpu: int) -> tuple[Cache, ...]:
    """The caches that the CPU uses, as the kernel numbers them."""
    folder = f"{_CPU}/cpu{cpu}/cache"
    caches = (_read_cache(root, f"{folder}/{name}") for name in root.entries(folder, limit=64))
    return tuple(cache for cache in caches if cache is not None)


def read_numa_nodes(root: Root) -> tuple[NumaNode, ...]:
    """The nodes by number; empty where the kernel has no NUMA support."""
    names = (re.fullmatch(r"node([0-9]{1,5})", name) for name in root.entries(_NODE))
    numbers = sorted(int(name[1]) for name in names if name)
    return tuple(NumaNode(number, _cpu_list(root, f"{_NODE}/node{number}/cpulist")) for number in numbers)


def _read_cache(root: Root, folder: str) -> Cache | None:
    level = root.read_int(f"{folder}/level")
    size = _SIZE.fullmatch(root.read_line(f"{folder}/size") or "")
    if level is None or size is None:
        return None
    return Cache(
        level=level,
        kind=printable(root.read_line(f"{folder}/type") or "Unified"),
        size=int(size[1]) * _UNITS[size[2]],
        cpus=_cpu_list(root, f"{folder}/shared_cpu_list"),
    )


def _cpu_list(root: Root, name: str) -> tuple[int, ...]:
    return parse_cpu_list(root.read_text(name) or "") or ()
