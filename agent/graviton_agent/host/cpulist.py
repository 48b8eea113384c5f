"""The kernel's notation for sets of CPUs: "0-3,8,10-11"."""

from collections.abc import Iterable

_MOST = 65536
"""CPU numbers from here on are garbage: the kernel knows at most 8192 CPUs [NR_CPUS in arch/*/Kconfig]."""


def parse_cpu_list(text: str) -> tuple[int, ...] | None:
    """The CPU numbers in ascending order; None if the text isn't a list of CPUs."""
    cpus: set[int] = set()
    for item in filter(None, text.strip(" \t\r\n\x00").split(",")):
        first, dash, last = item.partition("-")
        low, high = _number(first), _number(last if dash else first)
        if low is None or high is None or high < low:
            return None
        cpus.update(range(low, high + 1))
    return tuple(sorted(cpus))


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The shortest notation of the CPU numbers, "" for none."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        return None
    return int(text) if int(text) < _MOST else None
