"""Reads the CPU and memory limits of a control group, by version 2 of the interface and by version 1.

A limit holds for all groups below, so every group up to the root counts, and the smallest limit wins. That
covers containers too: there version 1 shows the host's path, which doesn't exist inside, while the
container's own group is mounted as the root [torvalds/linux Documentation/admin-guide/cgroup-v2.rst].
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from graviton_agent.host.cpulist import parse_cpu_list
from graviton_agent.root import Root

_MOUNT = "sys/fs/cgroup"
_NO_LIMIT = 1 << 62
"""Bytes. Version 1 says "no limit" with the largest multiple of the page size below 2**63."""
_DEEPEST = 64
"""Levels that are followed."""
_TIME = re.compile(r"[1-9][0-9]{0,17}")


class Limits(NamedTuple):
    """What a control group may use; None where nothing limits it."""

    cpu_quota: float | None
    """CPUs: CPU time that the group may use, per time."""
    cpus: tuple[int, ...] | None
    """The CPUs that the group may run on."""
    memory: int | None
    """Bytes, above which the kernel throttles the group (memory.high) or kills in it (memory.max)."""


def own_cgroups(root: Root) -> dict[str, str]:
    """This process's group for every controller of version 1, and under "" its group of version 2."""
    groups: dict[str, str] = {}
    for line in (root.read_text("proc/self/cgroup") or "").split("\n"):
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def read_limits(root: Root, group: str | Mapping[str, str]) -> Limits:
    """The limits of a group, given as one path ("/system.slice/app.service") or as one per controller.

    A group that doesn't exist, because its unit isn't running, has the limits of those above it.
    """

    def folders(mount: str, controller: str) -> list[str]:
        path = group if isinstance(group, str) else group.get(controller, "/")
        return [f"{_MOUNT}{mount}{level}" for level in _levels(path)]

    v2 = folders("", "") + folders("/unified", "")
    cpu, memory, cpuset = folders("/cpu", "cpu"), folders("/memory", "memory"), folders("/cpuset", "cpuset")
    quotas = [_quota_v2(root, folder) for folder in v2] + [_quota_v1(root, folder) for folder in cpu]
    memories = [root.read_int(f"{folder}/{name}") for folder in v2 for name in ("memory.max", "memory.high")]
    memories += [root.read_int(f"{folder}/memory.limit_in_bytes") for folder in memory]
    cpusets = [root.read_text(f"{folder}/cpuset.cpus.effective") for folder in v2]
    cpusets += [root.read_text(f"{folder}/cpuset.effective_cpus") for folder in cpuset]
    return Limits(
        cpu_quota=min((quota for quota in quotas if quota is not None), default=None),
        # The nearest one alone: a partition's CPUs are taken away from the groups above it.
        cpus=next((cpus for text in cpusets if text and (cpus := parse_cpu_list(text))), None),
        memory=min((limit for limit in memories if limit is not None and limit < _NO_LIMIT), default=None),
    )


def _levels(path: str) -> list[str]:
    """The group itself, then those above it up to the root: "/a/b", "/a", ""."""
    # A process outside its namespace's root has ".." in its path, and a group that can't be seen.
    parts = [] if ".." in path.split("/") else [part for part in path.split("/") if part][:_DEEPEST]
    return ["".join(f"/{part}" for part in parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_v2(root: Root, folder: str) -> float | None:
    """From cpu.max: "200000 100000", or "max 100000" for none."""
    allowed, _, period = (root.read_line(f"{folder}/cpu.max") or "").partition(" ")
    return _ratio(allowed, period)


def _quota_v1(root: Root, folder: str) -> float | None:
    """From a pair of files; the quota is -1 for none."""
    allowed, period = (root.read_line(f"{folder}/cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
    return _ratio(allowed, period)


def _ratio(allowed: str, period: str) -> float | None:
    """CPUs, from two times in microseconds; None unless both are positive numbers."""
    if not (_TIME.fullmatch(allowed) and _TIME.fullmatch(period)):
        return None
    return int(allowed) / int(period)
