"""The product's worker on an emulated core: one process under QEMU's user mode, without a kernel of its own.

/proc/cpuinfo is the core's; everything else of /proc and /sys is this machine's. QEMU takes advice about
memory (madvise) for a hint and forgets it, so that no huge page shows: what a process asks for is read from
QEMU's own trace of system calls instead.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graviton_agent.calibration.launcher import PlainChild, PlainLauncher
from graviton_agent.host import Host, read_host
from graviton_agent.root import Root
from tests.graviton.qemu import Qemu
from tests.graviton.wheels import PYTHON


@dataclass(frozen=True)
class Core:
    """A Python of aarch64 on an emulated core."""

    qemu: Qemu
    sysroot: Path
    name: str
    """What QEMU calls it, such as "neoverse-v1"."""

    @property
    def python(self) -> Path:
        """The interpreter, which only the emulator can run."""
        return self.sysroot / f"usr/bin/python{PYTHON}"

    def command(self, *options: str) -> list[str]:
        """What stands before the command of a program of aarch64."""
        return [str(self.qemu.user), "-L", str(self.sysroot), "-cpu", self.name, *options]

    def host(self, folder: Path) -> Host:
        """What the product finds out about a machine with such a core.

        Args:
            folder: an empty folder, for the machine's /proc and /sys.
        """
        read = [*self.command(), str(self.python), "-c", "print(open('/proc/cpuinfo').read(), end='')"]
        cpuinfo = subprocess.run(read, capture_output=True, text=True, check=True).stdout
        # That of Amazon's images; the emulated process itself sees this machine's mode.
        files = {
            "proc/cpuinfo": cpuinfo,
            "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        }
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        return read_host(Root(folder))


class UserModeLauncher:
    """Starts the product's workers on an emulated core, with their system calls traced."""

    def __init__(self, core: Core, trace: Path) -> None:
        self._core = core
        self._trace = trace

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> PlainChild:
        """Starts a command as the product does where there is no systemd."""
        traced = self._core.command("-strace", "-D", str(self._trace))
        return PlainLauncher().launch([*traced, *command], environment)


def huge_pages_asked(trace: str) -> int:
    """For how many bytes of memory a process asked for huge pages, by its traced system calls."""
    calls = re.findall(r"\bmadvise\(0x[0-9a-f]+,(\d+),MADV_HUGEPAGE\)", trace)
    return sum(map(int, calls))
