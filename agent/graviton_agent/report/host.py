"""Shows a host to people."""

import itertools
import textwrap

from graviton_agent.host import Cache, Evidence, Host, Verdict, format_cpu_list
from graviton_agent.root import KIB, MIB

_GIB = 1024 * MIB
_WIDTH = 100
_INDENT = "  "
_GAP = "   "
_WIDEST = 30
"""Characters in a column that isn't the last one."""
_NOT_A_GRAVITON = {Verdict.OTHER: "not a Graviton", Verdict.UNKNOWN: "not known to be a Graviton"}


def host_line(host: Host) -> str:
    """The host in one line, which every report begins with."""
    columns = (
        host.instance_type or host.architecture or "unknown machine",
        host.product or _NOT_A_GRAVITON[host.verdict],
        f"{host.vcpus} CPUs" if host.vcpus else None,
        size(host.memory_total) if host.memory_total else None,
        f"THP {host.thp_mode}" if host.thp_mode else None,
        f"Linux {host.kernel_release}" if host.kernel_release else None,
    )
    return _GAP.join(column for column in columns if column)


def render_host(host: Host) -> str:
    """All that a person wants to know: the line, the reason, the facts, the evidence."""
    reason = textwrap.wrap(host.reason, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    evidence = [("source", "value", "what it says"), *map(_evidence_row, host.evidence)]
    parts = ([host_line(host)], reason, _table(_facts(host)), _table(evidence))
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def size(count: int) -> str:
    """Bytes in the largest unit that leaves a whole number or one decimal: "64 KiB", "7.6 GiB"."""
    unit, name = next(
        ((u, n) for u, n in ((_GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")) if count >= u), (1, "bytes")
    )
    return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"


def _facts(host: Host) -> list[tuple[str, ...]]:
    """The measures that settings depend on, a line for each kind of which anything is known."""
    cpus = (
        f"{format_cpu_list(host.usable_cpus)} usable",
        "no quota" if host.cpu_quota is None else f"a quota of {host.cpu_quota:g} CPUs",
        f"threads per core: {host.threads_per_core}" if host.threads_per_core else None,
        f"NUMA nodes: {len(host.numa_nodes)}" if host.numa_nodes else None,
    )
    memory = (
        size(host.memory_total or 0),
        f"{size(host.memory_available or 0)} available",
        "no limit" if host.memory_limit is None else f"limited to {size(host.memory_limit)}",
    )
    pages = (
        size(host.page_size) if host.page_size else None,
        f"huge pages of {size(host.thp_size)}" if host.thp_size else None,
        f"transparent huge pages: {host.thp_mode}" if host.thp_mode else "no transparent huge pages",
    )
    arithmetic = (
        "bf16" if host.bf16 else "no bf16",
        f"SVE of {host.sve_bits} bits" if host.sve_bits else None,
    )
    rows = (
        ("CPUs", cpus, host.usable_cpus),
        ("caches", map(_cache, host.caches), host.caches),
        ("memory", memory, host.memory_total),
        ("pages", pages, host.page_size or host.thp_mode),
        ("arithmetic", arithmetic, host.features),
    )
    return [(name, ", ".join(filter(None, parts))) for name, parts, is_known in rows if is_known]


def _cache(cache: Cache) -> str:
    kind = {"Data": "d", "Instruction": "i"}.get(cache.kind, "")
    shared = f" shared by {format_cpu_list(cache.cpus)}" if len(cache.cpus) > 1 else ""
    return f"L{cache.level}{kind} {size(cache.size)}{shared}"


def _evidence_row(evidence: Evidence) -> tuple[str, ...]:
    return (evidence.source, evidence.value or "-", evidence.says)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Aligned columns, in which long cells take several lines."""
    if not rows:
        return []
    widths = [min(max(map(len, column)), _WIDEST) for column in zip(*rows, strict=True)]
    widths[-1] = _WIDTH - len(_INDENT) - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
    lines = []
    for row in rows:
        cells = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in itertools.zip_longest(*cells, fillvalue=""):
            padded = (part.ljust(width) for part, width in zip(line, widths, strict=True))
            lines.append((_INDENT + _GAP.join(padded)).rstrip())
    return lines
