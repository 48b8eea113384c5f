"""Shows a host to people."""

import itertools
import textwrap

from graviton_agent.host import Cache, Host, Verdict, format_cpu_list
from graviton_agent.report.columns import INDENT, WIDTH, definitions, paragraph
from graviton_agent.root import KIB, MIB

_GIB = 1024 * MIB
_GAP = "   "
_WIDEST = 30
"""Characters in a column of evidence that isn't the last one."""
_NOT_A_GRAVITON = {Verdict.OTHER: "not a Graviton", Verdict.UNKNOWN: "not known to be a Graviton"}


def render(host: Host) -> str:
    """What the machine is, why, what it has, and what was looked at; text without a final newline."""
    parts = (
        headline(host),
        paragraph(host.reason, indent=INDENT),
        definitions(_facts(host)),
        _evidence(host),
    )
    return "\n\n".join(part for part in parts if part)


def headline(host: Host) -> str:
    """The machine in one line."""
    columns = (
        host.instance_type or host.model_name or host.core or host.architecture or "unknown machine",
        host.product or _NOT_A_GRAVITON[host.verdict],
        f"{host.vcpus} {'CPU' if host.vcpus == 1 else 'CPUs'}" if host.vcpus else None,
        _size(host.memory_total) if host.memory_total else None,
        f"THP {host.thp_mode}" if host.thp_mode else None,
        f"Linux {host.kernel_release}" if host.kernel_release else None,
    )
    return _GAP.join(filter(None, columns))


def _facts(host: Host) -> list[tuple[str, str]]:
    """The measures that settings depend on, a line for each kind of which anything is known."""
    cpus = (
        f"{format_cpu_list(host.usable_cpus)} usable",
        "no quota" if host.cpu_quota is None else f"a quota of {host.cpu_quota:g} CPUs",
        f"threads per core: {host.threads_per_core}" if host.threads_per_core else None,
        f"NUMA nodes: {len(host.numa_nodes)}" if host.numa_nodes else None,
    )
    memory = (
        _size(host.memory_total or 0),
        None if host.memory_available is None else f"{_size(host.memory_available)} available",
        "no limit" if host.memory_limit is None else f"limited to {_size(host.memory_limit)}",
    )
    pages = (
        _size(host.page_size) if host.page_size else None,
        f"huge pages of {_size(host.thp_size)}" if host.thp_size else None,
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
    return f"L{cache.level}{kind} {_size(cache.size)}{shared}"


def _size(count: int) -> str:
    """Bytes in the largest unit of which there is one at least, with one decimal where it says more."""
    units = ((_GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (1, "bytes"))
    unit, name = next((unit for unit in units if count >= unit[0]), units[-1])
    return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"


def _evidence(host: Host) -> str:
    """The evidence in aligned columns, where a cell may take several lines: firmware can be wordy."""
    rows = [("source", "value", "what it says")]
    rows += [(evidence.source, evidence.value or "-", evidence.says) for evidence in host.evidence]
    widths = [min(max(len(row[column]) for row in rows), _WIDEST) for column in (0, 1)]
    widths.append(WIDTH - len(INDENT) - sum(widths) - 2 * len(_GAP))
    lines = []
    for row in rows:
        cells = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in itertools.zip_longest(*cells, fillvalue=""):
            padded = (part.ljust(width) for part, width in zip(line, widths, strict=True))
            lines.append((INDENT + _GAP.join(padded)).rstrip())
    return "\n".join(lines)
