"""The facts of the simulated hosts, as `detect` would give them."""

from graviton_agent.host import Host, NumaNode, Verdict
from tests.simulator.dispatch import Machine

GIB = 1024**3
_CORES = {2: ("Neoverse N1", "0xd0c"), 3: ("Neoverse V1", "0xd40"), 4: ("Neoverse V2", "0xd4f")}
_LATER = ("Neoverse V3", "0xd84")
_SIZES = {1: "medium", 2: "large", 4: "xlarge", 8: "2xlarge", 16: "4xlarge", 64: "16xlarge", 96: "24xlarge"}


def host_of(machine: Machine) -> Host:
    """The host of a simulated machine; those with more than 96 CPUs have two NUMA nodes."""
    generation = machine.generation
    cpus = tuple(range(machine.cpus))
    core, part = _CORES.get(generation or 0, _LATER) if generation else (None, None)
    size = _SIZES.get(machine.cpus, "48xlarge")
    half = machine.cpus // 2
    nodes = (
        [NumaNode(0, cpus)] if machine.cpus <= 96 else [NumaNode(0, cpus[:half]), NumaNode(1, cpus[half:])]
    )
    return Host(
        verdict=Verdict.GRAVITON if generation else Verdict.OTHER,
        generation=generation,
        product=f"Graviton{generation}" if generation else None,
        reason="simulated",
        evidence=(),
        instance_type=f"c{generation + 4}g.{size}" if generation else None,
        architecture=machine.build.machine,
        core=core,
        model_name=None,
        implementer="0x41" if generation else None,
        part=part,
        revision="r1p1" if generation else None,
        features=(),
        bf16=generation is not None and generation >= 3,
        sve_bits={3: 256, 4: 128, 5: 128}.get(generation or 0),
        vcpus=machine.cpus,
        usable_cpus=cpus,
        cpu_quota=None,
        threads_per_core=1,
        numa_nodes=tuple(nodes),
        caches=(),
        memory_total=2 * machine.cpus * GIB,
        memory_available=2 * machine.cpus * GIB,
        memory_limit=None,
        page_size=4096,
        thp_mode=machine.thp_mode,
        thp_size=2 * 1024 * 1024,
        kernel_release="6.8.0",
    )
