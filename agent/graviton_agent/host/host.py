"""The facts of a machine: what it is, and what it gives to the process that asks."""

import dataclasses
import os
from dataclasses import dataclass

from graviton_agent.host.cgroup import Limits, own_cgroups, read_limits
from graviton_agent.host.cpuinfo import Layout, read_cpuinfo
from graviton_agent.host.cpus import (
    Cache,
    NumaNode,
    read_caches,
    read_numa_nodes,
    read_online_cpus,
    read_threads_per_core,
)
from graviton_agent.host.dmi import read_dmi
from graviton_agent.host.firmware_text import printable
from graviton_agent.host.generation import Evidence, Facts, Verdict, identify, weigh
from graviton_agent.host.memory import read_memory
from graviton_agent.root import Root

_MACHINES = {Layout.ARM64: "aarch64", Layout.ARM32: "arm", Layout.X86: "x86_64"}
_BF16 = frozenset({"bf16", "avx512_bf16", "amx_bf16"})
"""The kernel's flags for bfloat16 products, on Arm and on x86."""


@dataclass(frozen=True)
class Host:
    """The facts of a machine. What it doesn't tell is None, or empty."""

    verdict: Verdict
    generation: int | None
    """1 to 5; None unless the verdict is "graviton"."""
    product: str | None
    """"Graviton2", "Graviton3E" ...; None unless the verdict is "graviton"."""
    reason: str
    """One sentence that says why the verdict is what it is."""
    evidence: tuple[Evidence, ...]
    instance_type: str | None
    """Such as "c7g.xlarge", where EC2's firmware names it."""

    architecture: str | None
    """The kernel's name: "aarch64", "x86_64" ...; in another machine's tree the form of its cpuinfo."""
    core: str | None
    """The core that all CPUs have: "Neoverse V1". None on x86."""
    model_name: str | None
    """The processor's name on x86; arm64 kernels give none."""
    implementer: str | None
    """Of all CPUs, such as "0x41"; None on x86 and where they differ."""
    part: str | None
    """Of all CPUs, such as "0xd40"; None on x86 and where they differ."""
    revision: str | None
    """Of all CPUs, such as "r1p1"; None on x86 and where they differ."""
    features: tuple[str, ...]
    """The flags that every CPU has, in the kernel's names. They vary by kernel: they prove no generation."""
    bf16: bool
    """Whether every CPU multiplies bfloat16 by hardware and the kernel says so."""
    sve_bits: int | None
    """Bits of an SVE register, by the core; None where it isn't known, and where there is no SVE."""

    vcpus: int | None
    """How many CPUs are online."""
    usable_cpus: tuple[int, ...]
    """The CPUs that this process may run on; in another machine's tree those online and in the cpuset."""
    cpu_quota: float | None
    """CPUs' worth of time that the control group may use; None without a limit."""
    threads_per_core: int | None
    numa_nodes: tuple[NumaNode, ...]
    caches: tuple[Cache, ...]
    """Those of the first CPU online."""

    memory_total: int | None
    """Bytes."""
    memory_available: int | None
    """Bytes that can be taken without swapping."""
    memory_limit: int | None
    """Bytes that the control group may use; None without a limit."""
    page_size: int | None
    """Bytes."""
    thp_mode: str | None
    """"always", "madvise" or "never"; None for a kernel without transparent huge pages."""
    thp_size: int | None
    """Bytes of a transparent huge page."""
    kernel_release: str | None

    def to_json(self) -> dict[str, object]:
        """The facts as JSON's types (tuples stand for lists)."""
        return dataclasses.asdict(self)


def read_host(root: Root) -> Host:
    """Reads all that is readable under the root; nothing that a machine may lack makes it fail."""
    cpuinfo, dmi, memory = read_cpuinfo(root), read_dmi(root), read_memory(root)
    machine = os.uname().machine if root.is_this_machine else None
    facts = Facts(cpuinfo=cpuinfo, dmi=dmi, board=_read_board(root), machine=machine)
    identity = identify(facts)
    midr = cpuinfo.midr
    limits = read_limits(root, own_cgroups(root))
    online = read_online_cpus(root) or cpuinfo.numbers
    first = online[0] if online else 0
    release = root.read_line("proc/sys/kernel/osrelease")
    return Host(
        verdict=identity.verdict,
        generation=identity.generation,
        product=identity.product,
        reason=identity.reason,
        evidence=weigh(facts),
        instance_type=facts.instance_type.name if facts.instance_type else None,
        architecture=machine or (_MACHINES[cpuinfo.layout] if cpuinfo.layout else None),
        core=midr.name,
        model_name=cpuinfo.model_name,
        implementer=None if midr.implementer is None else f"0x{midr.implementer:02x}",
        part=None if midr.part is None else f"0x{midr.part:03x}",
        revision=midr.step,
        features=cpuinfo.features,
        bf16=not _BF16.isdisjoint(cpuinfo.features),
        sve_bits=midr.graviton_core.sve_bits if midr.graviton_core and "sve" in cpuinfo.features else None,
        vcpus=len(online) or None,
        usable_cpus=_usable_cpus(root, online, limits),
        cpu_quota=limits.cpu_quota,
        threads_per_core=read_threads_per_core(root, first),
        numa_nodes=read_numa_nodes(root),
        caches=read_caches(root, first),
        memory_total=memory.total,
        memory_available=memory.available,
        memory_limit=limits.memory,
        page_size=memory.page_size,
        thp_mode=memory.thp_mode,
        thp_size=memory.thp_size,
        kernel_release=printable(release) if release else None,
    )


def _read_board(root: Root) -> str | None:
    """The board's name, on machines that boot by device tree instead of firmware tables."""
    # The first is a link to the second, which leads out of another machine's tree.
    model = root.read_line("proc/device-tree/model") or root.read_line("sys/firmware/devicetree/base/model")
    return printable(model) if model else None


def _usable_cpus(root: Root, online: tuple[int, ...], limits: Limits) -> tuple[int, ...]:
    """The CPUs that this process may run on; in another machine's tree those that its control group may."""
    if root.is_this_machine:
        # The kernel keeps a process's affinity within its cpuset.
        return tuple(sorted(os.sched_getaffinity(0)))
    return online if limits.cpus is None else tuple(cpu for cpu in online if cpu in set(limits.cpus))
