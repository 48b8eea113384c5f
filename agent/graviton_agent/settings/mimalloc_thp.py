"""Huge pages where c10 allocates by a mimalloc that has an option for them of its own."""

from graviton_agent.host import Host
from graviton_agent.settings.huge_pages import refused_by_host
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload

OPTION = "allow_thp"


class MimallocThp(Setting):
    """Has mimalloc not ask for transparent huge pages, which it does by default.

    The option exists in mimalloc 2.2.5 and later; mimalloc builds the variable's name from the option's.
    """

    name = "mimalloc-thp"
    variable = "MIMALLOC_ALLOW_THP"
    title = "mimalloc's transparent huge pages"
    lever = Lever.ENVIRONMENT
    proof = Proof.NO_HUGE_PAGES
    cost = "none: it can only lower memory"
    source = "microsoft/mimalloc src/options.c"

    @property
    def marker(self) -> str:
        """The option's name: the variable's full name stands nowhere in the library."""
        return OPTION

    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        """Needs a mimalloc with the option, in use."""
        if torch.allocator != "mimalloc":
            return Applies.no("this torch does not allocate by mimalloc")
        if self.marker not in torch.variables:
            return Applies.no("this torch's mimalloc has no such option")
        return refused_by_host(host) or Applies.yes("mimalloc asks for huge pages unless told not to")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """Switched off."""
        del host, torch, workload
        return ("0",)
