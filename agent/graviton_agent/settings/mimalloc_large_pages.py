"""Huge pages where c10 allocates by a mimalloc whose large-page option decides on them too."""

from graviton_agent.host import Host
from graviton_agent.settings import mimalloc_thp
from graviton_agent.settings.huge_pages import refused_by_host
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload


class MimallocLargePages(Setting):
    """Has mimalloc use neither large OS pages nor transparent huge pages.

    In mimalloc 2.2.4, which torch 2.10 embeds, this one option switches both off for the process; later
    versions have an option for transparent huge pages alone.
    """

    name = "mimalloc-large-pages"
    variable = "MIMALLOC_ALLOW_LARGE_OS_PAGES"
    title = "mimalloc's large pages"
    lever = Lever.ENVIRONMENT
    proof = Proof.NO_HUGE_PAGES
    cost = "none: it can only lower memory"
    source = "microsoft/mimalloc v2.2.4 src/prim/unix/prim.c, src/options.c"

    @property
    def marker(self) -> str:
        """The option's name: the variable's full name stands nowhere in the library."""
        return "allow_large_os_pages"

    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        """Needs a mimalloc in use that has no option for transparent huge pages alone."""
        if torch.allocator != "mimalloc":
            return Applies.no("this torch does not allocate by mimalloc")
        if mimalloc_thp.OPTION in torch.variables:
            return Applies.no("this torch's mimalloc has MIMALLOC_ALLOW_THP for it")
        if self.marker not in torch.variables:
            return Applies.no("this torch's mimalloc has no such option")
        return refused_by_host(host) or Applies.yes("mimalloc asks for huge pages unless told not to")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """Switched off."""
        del host, torch, workload
        return ("0",)
