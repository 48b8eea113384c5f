"""Huge pages where c10's CPU allocator calls malloc: torch advises the kernel when told to."""

from graviton_agent.host import Host
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload


def refused_by_host(host: Host) -> Applies | None:
    """What the host's own mode leaves to decide; None if a process can ask for huge pages."""
    if host.thp_mode is None:
        return Applies.no("this kernel has no transparent huge pages")
    if host.thp_mode == "never":
        return Applies.no("huge pages are off on this host (transparent_hugepage/enabled is never)")
    return None


class HugePages(Setting):
    """Has c10 advise MADV_HUGEPAGE for tensors of 2 MiB and more.

    Alive where c10 allocates by posix_memalign: torch 2.2 to 2.9 on aarch64, and later on x86-64. aarch64
    builds from 2.10 on allocate by mimalloc, which asks by itself and never looks at the variable. Only "1"
    and "0" are understood.
    """

    name = "huge-pages"
    variable = "THP_MEM_ALLOC_ENABLE"
    title = "transparent huge pages"
    lever = Lever.ENVIRONMENT
    proof = Proof.HUGE_PAGES
    cost = "memory: pages of 2 MiB that are only partly used"
    source = "pytorch c10/core/impl/alloc_cpu.cpp, c10/core/alignment.h"

    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        """Needs a build whose allocator obeys it, and a host that gives huge pages on request alone."""
        if self.marker not in torch.variables:
            return Applies.no("this torch does not read it (torch 2.2 and later do)")
        if torch.allocator == "mimalloc":
            return Applies.no("this torch allocates by mimalloc, which asks for huge pages by itself")
        if host.thp_mode == "always":
            return Applies.no("the host gives huge pages unasked (transparent_hugepage/enabled is always)")
        return refused_by_host(host) or Applies.yes("torch then asks for huge pages for large tensors")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """Switched on."""
        del host, torch, workload
        return ("1",)
