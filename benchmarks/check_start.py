"""What the check costs at each start of a managed unit, and which of its protections cost it.

A booted container of each Debian has one managed unit with an environment file that fits. It is restarted by
turns without any check, with the check as it is, and with the check less some of its protections. What counts
is the quickest restart of each, and the least CPU time of the check, its protections' setting up included: a
busy machine only ever adds. Needs root, and what tests/systemd needs.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from benchmarks.about import about
from graviton_agent.installed import CHECK, ENVIRONMENT, WITHDRAW
from graviton_agent.units import environment_file
from graviton_agent.units.environment_file import EnvironmentFile, Variable
from graviton_agent.units.identity import HOST_FACTS, Observer, observe, torch_facts
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.missing import missing
from tests.systemd.rootfs import BOOKWORM, RELEASES, Release

SOURCE = Path(__file__).parent.parent
LIBRARY = "/usr/lib/graviton-agent"
TORCH = "/opt/torch"
UNIT = "plain.service"
SERVICE = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n"
INSTANCE = CHECK.replace("@", f"@{UNIT}")
NO_CHECK = "no check"
DROP_IN = f"/run/systemd/system/{CHECK}.d/50-benchmark.conf"
MANAGED = f'[units."{UNIT}"]\n'

# An empty assignment takes back what the unit's own file says.
NO_MOUNTS = "ReadOnlyPaths=\nReadWritePaths=\nInaccessiblePaths=\nPrivateMounts=no\nIPAddressDeny=\n"
STRICT = (
    "ReadOnlyPaths=\nReadOnlyPaths=/run\nProtectSystem=strict\nProtectHome=read-only\n"
    "ProtectControlGroups=yes\nProtectKernelTunables=yes\n"
)
# In a container systemd 252 uncovers the real machine's boot id by these; 257 leaves it as it is, and can't.
BOOT_ID = "BindReadOnlyPaths=/run/boot_id:/proc/sys/kernel/random/boot_id\n"
VARIANTS: Mapping[str, str] = {
    "the check": "",
    "ProtectSystem= and its like": STRICT,
    "no hidden /tmp, /var/tmp": "InaccessiblePaths=\n",
    "no IPAddressDeny=": "IPAddressDeny=\n",
    "no protections but rights": NO_MOUNTS,
}


@contextmanager
def boot_machine(release: Release) -> Iterator[RebootableContainer]:
    """Boots a machine with the generator, the check, a managed unit, and the same without the agent."""
    files = {
        "/etc/graviton-agent/graviton-agent.toml": MANAGED,
        f"{TORCH}/version.py": "__version__ = '2.9.1'\n",
        f"{TORCH}/lib/libtorch_cpu.so": "ELF",
        f"/etc/systemd/system/{UNIT}": SERVICE,
        "/etc/systemd/system/bare.service": SERVICE,
    }
    with boot(release, files=files) as container:
        for name in ("agent", "systemd"):
            container.copy(SOURCE / name, f"{LIBRARY}/{name}")
        compiler = ("python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
        container.run(*compiler, f"{LIBRARY}/agent")
        for unit in (CHECK, WITHDRAW):
            container.copy(SOURCE / "systemd" / unit, f"/usr/lib/systemd/system/{unit}")
        container.run("cp", "/proc/sys/kernel/random/boot_id", "/run/boot_id")
        generators = "/usr/lib/systemd/system-generators"
        container.run("mkdir", "-p", generators)
        container.run("ln", "-s", f"{LIBRARY}/systemd/graviton-agent-generator", generators)
        container.systemctl("daemon-reload")
        container.call(_leave_file)
        yield container


def _leave_file() -> None:
    made_for = observe((*HOST_FACTS, *torch_facts(TORCH)), Observer())
    variable = Variable("OMP_NUM_THREADS", "4", 1.28, date(2026, 11, 23))
    Path(ENVIRONMENT).mkdir(parents=True)
    environment_file.write(Path(ENVIRONMENT), EnvironmentFile(UNIT, made_for, (variable,)))


@dataclass
class Taken:
    """What the restarts of one variant took, in milliseconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Of the check, from systemd's fork on."""

    def restart(self, container: RebootableContainer, unit: str) -> None:
        """Restarts the unit once."""
        begin = time.perf_counter_ns()
        container.systemctl("restart", unit)
        self.wall.append((time.perf_counter_ns() - begin) / 1e6)
        if unit == UNIT:
            self.cpu.append(int(container.show(INSTANCE, "CPUUsageNSec")) / 1e6)

    def __str__(self) -> str:
        cpu = f"{min(self.cpu):15.1f}" if self.cpu else ""
        return f"{min(self.wall):10.0f}{statistics.median(self.wall):10.0f}{cpu}"


def measure(container: RebootableContainer, rounds: int) -> dict[str, Taken]:
    """Restarts everything by turns; a variant's first restart after a reload doesn't count."""
    taken = {name: Taken() for name in (NO_CHECK, *VARIANTS)}
    for _ in range(rounds):
        for name, lines in VARIANTS.items():
            more = BOOT_ID if lines is STRICT and container.release is BOOKWORM else ""
            container.write(DROP_IN, f"[Service]\n{more}{lines}")
            container.systemctl("daemon-reload")
            container.systemctl("restart", UNIT)
            for _ in range(3):
                taken[NO_CHECK].restart(container, "bare.service")
                taken[name].restart(container, UNIT)
            is_fine = container.show(INSTANCE, "Result") == "success"
            if not is_fine or not container.path(f"{ENVIRONMENT}/{UNIT}.env").exists():
                sys.exit(f"{name}: the check failed, or withdrew a file that fits")
    return taken


def main() -> None:
    """Prints a table for each release."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="of three restarts (default: %(default)s)")
    given = parser.parse_args()
    reason = missing()
    if reason is not None:
        sys.exit(reason)
    for name, text in about().items():
        print(f"{name:18}{text}")
    for release in RELEASES:
        with boot_machine(release) as container:
            taken = measure(container, given.rounds)
        print(f"\nDebian's {release.name}, systemd {release.systemd}: a unit's restart, ms")
        print(f"  {'':30}{'quickest':>10}{'median':>10}{'CPU, least':>15}")
        for name, found in taken.items():
            print(f"  {name:30}{found}")


if __name__ == "__main__":
    main()
