"""A machine as the check sees it: /proc, /sys, a torch, and the environment files made for all that."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import date

from graviton_agent.installed import ENVIRONMENT
from graviton_agent.units import environment_file
from graviton_agent.units.environment_file import EnvironmentFile, Variable
from graviton_agent.units.identity import HOST_FACTS, Observer, observe, torch_facts
from tests.configuration.tree import PROGRAMS, Tree

TORCH = "/opt/app/venv/lib/python3.11/site-packages/torch"
GROUP = "sys/fs/cgroup/system.slice/llm.service"
CPUINFO = """processor\t: 0
BogoMIPS\t: 2100.00
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1

"""
VARIABLES = (
    Variable("DNNL_DEFAULT_FPMATH_MODE", "BF16", 1.28, date(2026, 11, 23)),
    Variable("OMP_NUM_THREADS", "4", 1.28, date(2026, 11, 23)),
)


@dataclass(frozen=True)
class Machine:
    """The folder that stands for "/"."""

    tree: Tree

    @property
    def observer(self) -> Observer:
        return Observer(str(self.tree.root))

    def make_file(self, unit: str = "llm.service") -> EnvironmentFile:
        """Writes a unit's environment file as the daemon would now."""
        names = (*HOST_FACTS, *torch_facts(TORCH))
        file = EnvironmentFile(unit, observe(names, self.observer), VARIABLES)
        folder = self.tree.root / ENVIRONMENT[1:]
        folder.mkdir(parents=True, exist_ok=True)
        environment_file.write(folder, file)
        return file

    def has_file(self, unit: str = "llm.service") -> bool:
        """Whether the unit would be given an environment."""
        return (self.tree.root / ENVIRONMENT[1:] / f"{unit}.env").exists()

    def check(self, unit: str = "llm.service") -> str:
        """Runs the check as its service does; returns what the journal would show."""
        ran = self.run_check(unit)
        assert (ran.returncode, ran.stdout) == (0, "")
        return ran.stderr

    def run_check(self, unit: str) -> "subprocess.CompletedProcess[str]":
        """Runs the check, whatever its exit status."""
        program = (sys.executable, "-ISE", str(PROGRAMS / "graviton-agent-check"))
        command = [*program, unit, str(self.tree.root)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20.0)


def graviton3(tree: Tree) -> Machine:
    """A c7g.xlarge whose unit has limits, with torch in a venv."""
    tree.write("proc/sys/kernel/random/boot_id", "69d49106-5dd8-471b-9326-e4de21a72054\n")
    tree.write("proc/cpuinfo", CPUINFO * 64)
    tree.write("proc/self/cgroup", "0::/system.slice/llm.service\n")
    tree.write("sys/class/dmi/id/product_name", "c7g.xlarge\n")
    tree.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    tree.write(f"{GROUP}/cpu.max", "200000 100000\n")
    tree.write(f"{GROUP}/memory.max", "8589934592\n")
    tree.write(f"{GROUP}/memory.high", "max\n")
    tree.write(f"{TORCH[1:]}/version.py", "__version__ = '2.9.1'\n")
    tree.write(f"{TORCH[1:]}/lib/libtorch_cpu.so", "ELF")
    return Machine(tree)
