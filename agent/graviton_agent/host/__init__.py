"""The facts of this machine, or of another one's tree: generation, CPUs, caches, memory, limits."""

from graviton_agent.host.cgroup import Limits, read_limits
from graviton_agent.host.cpulist import format_cpu_list, parse_cpu_list
from graviton_agent.host.cpus import Cache, NumaNode
from graviton_agent.host.generation import Evidence, Verdict
from graviton_agent.host.host import Host, read_host

__all__ = [
    "Cache",
    "Evidence",
    "Host",
    "Limits",
    "NumaNode",
    "Verdict",
    "format_cpu_list",
    "parse_cpu_list",
    "read_host",
    "read_limits",
]
