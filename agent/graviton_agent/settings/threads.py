"""Threads: how many CPUs one product is spread over."""

from graviton_agent.host import Host
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload


class Threads(Setting):
    """The number of OpenMP threads of torch and of its BLAS library.

    With MKL torch starts as many as the process may use CPUs; without, as on Graviton, as many as the machine
    has, whatever AllowedCPUs= or CPUAffinity= leave of them [pytorch c10/core/thread_pool.cpp]. No torch
    looks at a CPU quota, which then throttles them all; and beyond some number more threads are slower
    (pytorch#155795 saw that from 32 on).
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
        """Needs more than one CPU, or a torch that takes it for more."""
        usable = len(host.usable_cpus)
        if max(usable, torch.default_threads) < 2:
            return Applies.no("there is one CPU to use")
        if torch.default_threads > usable:
            return Applies.yes(f"torch starts {torch.default_threads} threads, usable CPUs: {usable}")
        return Applies.yes(f"torch starts one thread for each of {usable} CPUs")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """The usable CPUs, those that the quota pays for, those of one NUMA node, and half; largest first.

        Only what is fewer than torch starts by itself.
        """
        del workload
        cpus = len(host.usable_cpus)
        wanted = {cpus, cpus // 2}
        if host.cpu_quota is not None:
            wanted.add(int(host.cpu_quota))
        if len(host.numa_nodes) > 1:
            wanted.add(cpus // len(host.numa_nodes))
        return tuple(str(n) for n in sorted(wanted, reverse=True) if 0 < n < torch.default_threads)
