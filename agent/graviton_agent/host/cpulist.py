"""The kernel's notation for sets of CPUs: "0-3,8,10-11"."""

import re
from collections.abc import Iterable

_MOST = 65536
"""CPU numbers from here on are garbage: the kernel knows at most 8192 CPUs [NR_CPUS in arch/*/Kconfig]."""
_RUN = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


def parse_cpu_list(text: str) -> tuple[int, ...] | None:
    """The CPU numbers, which ascend as the kernel prints them; None if the text isn't such a list."""
    cpus: list[int] = []
    for item in filter(None, text.strip(" \t\r\n\x00").split(",")):
        run = _RUN.fullmatch(item)
        if run is None:
            return None
        low, high = int(run[1]), int(run[2] or run[1])
        if high < low or high >= _MOST or (cpus and low <= cpus[-1]):
            return None
        cpus.extend(range(low, high + 1))
    return tuple(cpus)


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The shortest notation of the CPU numbers, "" for none."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
