"""Reads memory sizes, the page size and what the kernel does about huge pages."""

import os
import re
from typing import NamedTuple

from graviton_agent.root import KIB, MIB, Root

_THP = "sys/kernel/mm/transparent_hugepage"
_MEMINFO = re.compile(r"^(MemTotal|MemAvailable):\s+([0-9]{1,15}) kB$", re.MULTILINE)
_THP_MODE = re.compile(r"\[(always|madvise|never)\]")
_PAGE_SIZE_BY_THP_SIZE = {2 * MIB: 4 * KIB, 32 * MIB: 16 * KIB, 512 * MIB: 64 * KIB}


class Memory(NamedTuple):
    """Sizes in bytes; None where the kernel doesn't tell."""

    total: int | None
    available: int | None
    """What can be taken without swapping [Documentation/filesystems/proc.rst, MemAvailable]."""
    page_size: int | None
    thp_mode: str | None
    """"always", "madvise" or "never"; None for a kernel without transparent huge pages."""
    thp_size: int | None
    """The size of a transparent huge page: 2 MiB with pages of 4 KiB, 512 MiB with pages of 64 KiB."""


def read_memory(root: Root) -> Memory:
    """Reads what is readable under the root."""
    sizes = {name: int(kib) * KIB for name, kib in _MEMINFO.findall(root.read_text("proc/meminfo") or "")}
    mode = _THP_MODE.search(root.read_line(f"{_THP}/enabled") or "")
    thp_size = root.read_int(f"{_THP}/hpage_pmd_size")
    return Memory(
        total=sizes.get("MemTotal"),
        available=sizes.get("MemAvailable"),
        page_size=os.sysconf("SC_PAGE_SIZE")
        if root.is_this_machine
        else _PAGE_SIZE_BY_THP_SIZE.get(thp_size or 0),
        thp_mode=mode[1] if mode else None,
        thp_size=thp_size,
    )
