"""Says which Graviton a machine is: facts in; verdict, reason and evidence out.

The rule, and why every part of it is needed, stands in docs/detection.md.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from graviton_agent.host.cores import GravitonCore, Midr
from graviton_agent.host.cpuinfo import CpuInfo, Layout
from graviton_agent.host.dmi import DMI_FOLDER, DMI_TABLE, Dmi
from graviton_agent.host.families import InstanceType, parse_instance_type

_EC2 = "Amazon EC2"
_SMBIOS_GRAVITON = re.compile(r"\bAWS Graviton([0-9]{1,3})")
_HYPERVISORS = ("qemu", "kvm", "red hat", "openstack", "xen", "bochs", "bhyve", "cloud hypervisor")
"""How vendors begin that name a hypervisor and hide the hardware, which may be a Graviton .metal host."""
_KINDS_SHOWN = 3


class Verdict(StrEnum):
    """What the machine is."""

    GRAVITON = "graviton"
    OTHER = "other"
    """Certainly something else."""
    UNKNOWN = "unknown"
    """Can't be told."""


@dataclass(frozen=True)
class Evidence:
    """One fact that was looked at."""

    source: str
    """Where it stands."""
    value: str | None
    """What stands there; None if nothing does."""
    says: str
    """What follows from it."""


class Facts(NamedTuple):
    """All that the verdict may depend on."""

    cpuinfo: CpuInfo
    dmi: Dmi
    board: str | None
    """The board's name by the device tree."""
    machine: str | None
    """The running system's name for its architecture (uname -m); None for another machine's tree."""

    @property
    def is_ec2(self) -> bool:
        """Whether the firmware calls itself EC2's."""
        return self.dmi.sys_vendor == _EC2

    @property
    def instance_type(self) -> InstanceType | None:
        """The instance type, where EC2 names it."""
        return parse_instance_type(self.dmi.product_name) if self.is_ec2 and self.dmi.product_name else None

    @property
    def smbios_generations(self) -> frozenset[int]:
        """The generations that the SMBIOS processor structures name."""
        return frozenset(
            int(match[1]) for text in self.dmi.processors for match in _SMBIOS_GRAVITON.finditer(text)
        )


class Identity(NamedTuple):
    """The verdict and the sentence that a person reads."""

    verdict: Verdict
    reason: str
    generation: int | None = None
    product: str | None = None


def identify(facts: Facts) -> Identity:
    """Applies the rule: a Graviton is what is neither certainly something else nor unclear."""
    if reason := _why_certainly_not(facts):
        return Identity(Verdict.OTHER, reason)
    core = _the_core(facts)
    if isinstance(core, str):
        return Identity(Verdict.UNKNOWN, core)
    instance = _the_instance(facts, core)
    if isinstance(instance, str):
        return Identity(Verdict.UNKNOWN, instance)
    return Identity(
        Verdict.GRAVITON,
        f"EC2's firmware says {instance.name}, which has a {instance.product}, "
        f"and every CPU has its core, {core.name}.",
        generation=core.generation,
        product=instance.product,
    )


def _why_certainly_not(facts: Facts) -> str | None:
    """The reason why this can't be a Graviton; None if it may be one."""
    cpuinfo, vendor = facts.cpuinfo, facts.dmi.sys_vendor
    if cpuinfo.layout is Layout.X86:
        return f"The CPUs are x86 ({cpuinfo.model_name or 'no model name'}), and every Graviton is Arm."
    if cpuinfo.layout is None and not _is_arm(facts.machine):
        return f"The machine is {facts.machine}, and every Graviton is Arm."
    if facts.instance_type and facts.instance_type.has_nvidia_cpu:
        return f"EC2's firmware says {facts.instance_type.name}, whose Arm CPUs are NVIDIA's."
    if facts.is_ec2 or facts.smbios_generations:
        # What contradicts EC2 may be a Graviton that is newer than this program.
        return None
    if vendor and "amazon" not in vendor.casefold() and not _is_hypervisor(vendor):
        return f"The firmware names the maker {vendor}, and Gravitons are in Amazon EC2 alone."
    if foreign := cpuinfo.foreign_midr:
        return f"A CPU is {_describe(foreign)}, which no Graviton up to Graviton5 has."
    if not vendor and facts.board and "virt" not in facts.board.casefold():
        return f"The board calls itself {facts.board}, and Gravitons are in Amazon EC2 alone."
    return None


def _the_core(facts: Facts) -> GravitonCore | str:
    """The core that every CPU has, or the reason why none can be named."""
    cpuinfo = facts.cpuinfo
    if cpuinfo.layout is None:
        return "/proc/cpuinfo is absent, unreadable, or not in the form that Arm or x86 kernels print."
    if foreign := cpuinfo.foreign_midr:
        return f"The firmware speaks of EC2, but a CPU is {_describe(foreign)}, of no Graviton known here."
    if cpuinfo.has_different_cpus:
        return "The CPUs are of different kinds, and a Graviton's are all alike."
    if cpuinfo.midr.graviton_core is None:
        return "/proc/cpuinfo does not name the implementer and the part of every CPU."
    if cpuinfo.layout is Layout.ARM32:
        return "/proc/cpuinfo is in the 32-bit form, and a 64-bit process may see another machine."
    if not _is_arm(facts.machine):
        return f"The CPUs are Arm, but this process runs as {facts.machine}: it is emulated."
    return cpuinfo.midr.graviton_core


def _the_instance(facts: Facts, core: GravitonCore) -> InstanceType | str:
    """The instance type that agrees with the core, or the reason why none does."""
    instance, vendor = facts.instance_type, facts.dmi.sys_vendor
    alike = f"The CPUs are {core.name}, as in Graviton{core.generation} but also in {core.also_in}"
    if vendor is None:
        return f"{alike}, and no firmware (DMI) says whose machine this is."
    if not facts.is_ec2:
        return (
            f"{alike}, and the firmware names {vendor} instead of Amazon EC2, which leaves the machine open."
        )
    if instance is None:
        return f"{alike}, and EC2's firmware names no instance type ({facts.dmi.product_name or 'nothing'})."
    if instance.generation is None:
        return f"{alike}, and {instance.family} ({instance.name}) is no family known here to have a Graviton."
    said = f"EC2's firmware says {instance.name}, which has a {instance.product}"
    if instance.generation != core.generation:
        return f"{said}, but the CPUs are {core.name}, the core of Graviton{core.generation}."
    if conflicts := facts.smbios_generations - {core.generation}:
        return f"{said}, but its SMBIOS table names an AWS Graviton{min(conflicts)}."
    return instance


def weigh(facts: Facts) -> tuple[Evidence, ...]:
    """Every fact that was looked at, and what it says on its own."""
    dmi = facts.dmi
    evidence = [
        _cpu_evidence(facts.cpuinfo),
        Evidence(f"/{DMI_FOLDER}/sys_vendor", dmi.sys_vendor, _vendor_says(facts)),
        Evidence(f"/{DMI_FOLDER}/product_name", dmi.product_name, _product_says(facts)),
        Evidence(f"/{DMI_TABLE}", ", ".join(dmi.processors) or None, _smbios_says(facts)),
    ]
    if facts.machine is not None:
        says = "this process runs as Arm" if _is_arm(facts.machine) else "this process does not run as Arm"
        evidence.insert(0, Evidence("uname -m", facts.machine, says))
    if facts.board is not None:
        evidence.append(Evidence("device tree model", facts.board, "a board's name never proves a Graviton"))
    return tuple(evidence)


def _cpu_evidence(cpuinfo: CpuInfo) -> Evidence:
    source = "/proc/cpuinfo"
    if cpuinfo.layout is None:
        return Evidence(source, None, "absent, unreadable, or neither Arm's form nor x86's")
    if cpuinfo.layout is Layout.X86:
        return Evidence(source, cpuinfo.model_name, "x86")
    kinds = list(dict.fromkeys(map(str, cpuinfo.midrs)))
    if len(kinds) > 1:
        named = ", ".join(kinds[:_KINDS_SHOWN]) + (", ..." if len(kinds) > _KINDS_SHOWN else "")
        return Evidence(source, named, f"not the same in all {len(cpuinfo.midrs)} CPUs")
    core, count = cpuinfo.midr.graviton_core, len(cpuinfo.midrs)
    name = f"{cpuinfo.midr.name or 'unknown core'} in {f'all {count} CPUs' if count > 1 else 'the only CPU'}"
    return Evidence(
        source, kinds[0], f"{name}: {f'as in Graviton{core.generation}' if core else 'no Graviton'}"
    )


def _vendor_says(facts: Facts) -> str:
    if facts.is_ec2:
        return "an EC2 instance"
    vendor = facts.dmi.sys_vendor
    if vendor is None:
        return "absent or without meaning"
    return "a hypervisor: the hardware is not told" if _is_hypervisor(vendor) else "not EC2"


def _product_says(facts: Facts) -> str:
    instance = facts.instance_type
    if facts.dmi.product_name is None:
        return "absent or without meaning"
    if not facts.is_ec2:
        return "an instance type in EC2 alone"
    if instance is None:
        return "not an instance type"
    return f"family {instance.family}: {instance.product or 'no Graviton known here'}"


def _smbios_says(facts: Facts) -> str:
    if not facts.dmi.processors:
        return "absent, or for root alone"
    named = ", ".join(f"Graviton{generation}" for generation in sorted(facts.smbios_generations))
    return f"the processor is {named}" if named else "names no Graviton"


def _is_arm(machine: str | None) -> bool:
    return machine is None or machine.startswith(("aarch64", "arm"))


def _is_hypervisor(vendor: str) -> bool:
    return vendor.casefold().startswith(_HYPERVISORS)


def _describe(midr: Midr) -> str:
    return f"{midr} ({midr.name})" if midr.name else str(midr)
