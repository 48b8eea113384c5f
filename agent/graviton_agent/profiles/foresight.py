"""What the processes of a unit may use, told from its configuration and from the groups around it.

A calibration sees this from inside the unit. Where none has run on this host, and perhaps nothing of the unit
has, it is foreseen: the unit's own limits, and those of the slices that it is to run in.
"""

import os
import re

from graviton_agent.root import Root
from graviton_agent.units.identity import UNSEEN, Observer, observe
from graviton_agent.units.unit import Unit

CGROUPS = "sys/fs/cgroup"
_LIST = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:,[0-9]{1,5}(?:-[0-9]{1,5})?)*")
_MASK = re.compile(r"(?m)^Cpus_allowed:\s*([0-9a-f,]{1,4096})$")


def foresee(unit: Unit, root: Root) -> dict[str, str] | None:
    """`cpus`, `quota` and `memory` as a process of the unit will see them (identity.py).

    None where it can't be told: its slice isn't there yet, and might have limits of its own.
    """
    folders = _groups(unit.slice, root)
    cpus = _cpus(unit, folders or [], root)
    if folders is None or cpus is None:
        return None
    inside = {
        "cpus": f"{cpus:x}",
        "quota": _least([_quota(unit), *(_group_quota(folder, root) for folder in folders)]),
        "memory": _least([*_memory(unit), *(limit for folder in folders for limit in _limits(folder, root))]),
    }
    if unit.is_active and unit.main_pid:
        prefix = "" if root.is_this_machine else str(root.path)
        inside |= observe(("quota", "memory"), Observer(prefix, unit.main_pid))
    return inside


def _groups(slice_: str, root: Root) -> list[str] | None:
    """The folders of a slice's control group and of those above it; none where there is no version 2."""
    if root.read_text(f"{CGROUPS}/cgroup.controllers") is None:
        return []
    parts = slice_.removesuffix(".slice").split("-") if slice_ != "-.slice" else []
    names = ["-".join(parts[: depth + 1]) + ".slice" for depth in range(len(parts))]
    folders = ["/".join([CGROUPS, *names[:depth]]) for depth in range(len(names), -1, -1)]
    return folders if root.entries(folders[0]) else None


def _cpus(unit: Unit, folders: list[str], root: Root) -> int | None:
    """A mask of CPUs: PID 1's, which its children inherit, or the unit's own, within the groups' sets."""
    found = _MASK.search(root.read_text("proc/1/status") or "")
    if found is None:
        return None
    cpus = int(found[1].replace(",", ""), 16)
    if unit.cpu_affinity is not None:
        cpus = _bits(unit.cpu_affinity)
    for folder in folders:
        # What a group above says is in effect below it too.
        if text := root.read_line(f"{folder}/cpuset.cpus.effective"):
            cpus &= _parse_list(text)
            break
    if unit.allowed_cpus is not None:
        cpus &= _bits(unit.allowed_cpus)
    return cpus or None


def _bits(cpus: tuple[int, ...]) -> int:
    return sum(1 << cpu for cpu in set(cpus))


def _parse_list(text: str) -> int:
    """The mask of a list such as "0-3,8"."""
    if not _LIST.fullmatch(text):
        return 0
    mask = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        for cpu in range(int(first), min(int(last or first), 65535) + 1):
            mask |= 1 << cpu
    return mask


def _quota(unit: Unit) -> int | None:
    # The quotient has no exact fraction, and what the kernel's file says is rounded down.
    return None if unit.cpu_quota is None else int(unit.cpu_quota * 1000 + 1e-6)


def _group_quota(folder: str, root: Root) -> int | None:
    allowed, _, period = (root.read_line(f"{folder}/cpu.max") or "").partition(" ")
    if allowed.isdecimal() and period.isdecimal() and int(period):
        return int(allowed) * 1000 // int(period)
    return None


def _memory(unit: Unit) -> list[int | None]:
    page = os.sysconf("SC_PAGE_SIZE")
    # The kernel keeps whole pages.
    return [None if limit is None else limit // page * page for limit in (unit.memory_max, unit.memory_high)]


def _limits(folder: str, root: Root) -> list[int | None]:
    return [root.read_int(f"{folder}/memory.{limit}") for limit in ("max", "high")]


def _least(limits: list[int | None]) -> str:
    known = [limit for limit in limits if limit is not None]
    return str(min(known)) if known else UNSEEN
