"""Threads: how many CPUs one product is spread over."""

from graviton_agent.host import Host
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload


class Threads(Setting):
    """The number of OpenMP threads of torch and of its BLAS library.

    torch starts as many as the process may use CPUs, without regard to a cgroup's CPU quota, which then
    throttles them all; and beyond some number more threads are slower (pytorch#155795 saw that from 32 on).
    """

    name = "threads"
    variable = "OMP_NUM_THREADS"
    aliases = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_THREAD_LIMIT")
    title = "threads"
    lever = Lever.THREADS
    proof = Proof.THREADS
    cost = "none"
    source = "pytorch aten/src/ATen/ParallelOpenMP.cpp, OpenMP 5.2 section 21.1.2"

    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        """Needs more than one CPU."""
        del torch
        if len(host.usable_cpus) < 2:
            return Applies.no("there is one CPU to use")
        return Applies.yes(f"torch starts one thread for each of {len(host.usable_cpus)} CPUs")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """The CPUs that the quota pays for, those of one NUMA node, and half of them all; largest first."""
        del workload
        cpus = len(host.usable_cpus)
        wanted = {cpus // 2}
        if host.cpu_quota is not None:
            wanted.add(int(host.cpu_quota))
        if len(host.numa_nodes) > 1:
            wanted.add(cpus // len(host.numa_nodes))
        return tuple(str(n) for n in sorted(wanted, reverse=True) if 0 < n < torch.default_threads)
