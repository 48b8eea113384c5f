"""A container that looks like a Graviton3 host, with the agent installed and units that a platform team has.

What stands in for something: the CPUs' and the firmware's texts, bound over the real ones by a unit of early
boot, and what uname says; an interpreter's torch, which is its files without its code; calibrations; and,
where the container's Python is not that of these tests, the checking of the configuration, which needs
compiled packages.
"""

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from graviton_agent.configuration.load import compile_configuration
from graviton_agent.installed import CHECK, ENVIRONMENT, GATE, QUIET, SERVICE
from graviton_agent.units.assignments import parse_environment_block
from graviton_packages.layout import LIBRARY, LINKS, systemd_pieces
from tests.host.machines import V1, cpuinfo
from tests.systemd.container import RebootableContainer, boot_as
from tests.systemd.rootfs import BOOKWORM, Release
from tests.systemd.stand_in_calibration import NAME, PYTHON, TORCH, WANTED, leave_profile

REPOSITORY = Path(__file__).resolve().parents[2]
OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = "/opt/packages"
COMPILED = "/opt/compiled.json"
STAND_IN = "/opt/stand_in_calibration.py"
CONFIGURATION = "/etc/graviton-agent/graviton-agent.toml"

# The program as a package would install it, and what this machine is told to call itself.
LAUNCHER = f"""#!/usr/bin/python3 -ISB
import os, sys
sys.path[:0] = ["{LIBRARY}/agent", "{PACKAGES}"]
uname = os.uname()
os.uname = lambda: os.uname_result((*uname[:4], "aarch64"))
if sys.argv[1] == "calibrate" and os.path.exists("{WANTED}"):
    import runpy
    runpy.run_path("{STAND_IN}", run_name="__main__")
if sys.argv[1:3] == ["config", "compile"] and os.path.exists("{COMPILED}"):
    output = sys.argv[sys.argv.index("--output") + 1]
    import shutil
    os.replace(shutil.copy("{COMPILED}", output + ".new"), output)
    sys.exit()
from graviton_agent.cli.entry import main
sys.exit(main())
"""
HARDWARE = """[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=mount --bind /opt/hardware/cpuinfo /proc/cpuinfo
ExecStart=mount -t tmpfs tmpfs /sys/class
ExecStart=mkdir -p /sys/class/dmi/id
ExecStart=cp /opt/hardware/sys_vendor /opt/hardware/product_name /sys/class/dmi/id/
ExecStart=cp /proc/sys/kernel/random/boot_id /run/boot_id
[Install]
WantedBy=sysinit.target
"""
# Some protections give a service a fresh /proc, in which the real machine shows.
SEES_CPUS = "[Service]\nBindReadOnlyPaths=/opt/hardware/cpuinfo:/proc/cpuinfo\n"
SEES_BOOT = "[Service]\nBindReadOnlyPaths=/run/boot_id:/proc/sys/kernel/random/boot_id\n"
"""For systemd 252; later ones keep the file that systemd-nspawn has bound there."""


class AgentHost(RebootableContainer):
    """What a test does on such a host, and what it sees there."""

    def configure(self, text: str, *, reload: bool = True) -> None:
        """Writes the configuration, and by default has systemd reload, as an operator would."""
        self.write(CONFIGURATION, text)
        if self.release.python != OWN_PYTHON:
            self.write(COMPILED, self.call(lambda: compile_configuration().to_json()))
            # The agent may have looked at the file before its stand-in was there.
            self.write(CONFIGURATION, text)
        if reload:
            self.systemctl("daemon-reload")

    def calibrated(self, unit: str, value: str | None) -> None:
        """Leaves the profile of a calibration of the unit."""
        self.call(lambda: leave_profile(unit, value, compile_configuration()))

    def told(self, unit: str) -> str | None:
        """The value that the unit's main process has been given."""
        pid = self.show(unit, "MainPID")
        return parse_environment_block(self.path(f"/proc/{pid}/environ").read_bytes()).get(NAME)

    def restarted(self, unit: str) -> str | None:
        """The value that the unit's main process gets when it is started anew."""
        self.systemctl("restart", unit)
        return self.told(unit)

    def has_file(self, unit: str) -> bool:
        """Whether there is an environment file for the unit."""
        return self.path(f"{ENVIRONMENT}/{unit}.env").exists()

    def wait(self, condition: str) -> None:
        """Waits until a command of the shell succeeds."""
        self.run("timeout", "30", "sh", "-c", f"until {condition}; do sleep 0.02; done")

    def wait_for_file(self, unit: str, *, there: bool = True) -> None:
        """Waits until there is an environment file for the unit, or none."""
        self.wait(f"{'' if there else '! '}test -e '{ENVIRONMENT}/{unit}.env'")

    def wait_for_status(self, words: str) -> None:
        """Waits until the agent says this of itself."""
        self.wait(
            f"systemctl show --property=StatusText {SERVICE} | grep --quiet --fixed-strings {quote(words)}"
        )

    def install_torch(self, version: str) -> None:
        """Does what `pip install --upgrade` does to the files that tell one torch from another."""
        self.run("rm", "--recursive", "--force", TORCH)
        for path, content in torch_files(version).items():
            self.write(path, content)


def torch_files(version: str) -> dict[str, str]:
    """What tells one torch from another."""
    return {
        f"{TORCH}/version.py": f"__version__ = '{version}'\n",
        f"{TORCH}/lib/libtorch_cpu.so": f"ELF {version}",
        f"{TORCH}-{version}.dist-info/RECORD": "torch/lib/libtorch_cpu.so,sha256=abc,3\n",
    }


def graviton_files(release: Release) -> dict[str, str]:
    """What makes a container look like a c7g.xlarge, also to the agent's own units."""
    units = (SERVICE, GATE, QUIET, CHECK)
    files = {f"{unit}.d/10-cpus.conf": SEES_CPUS for unit in units}
    if release.systemd == BOOKWORM.systemd:
        # The check's protections uncover nothing.
        files |= {f"{unit}.d/10-boot.conf": SEES_BOOT for unit in units if unit != CHECK}
    return {
        "/opt/hardware/cpuinfo": cpuinfo(V1, V1, V1, V1),
        "/opt/hardware/sys_vendor": "Amazon EC2\n",
        "/opt/hardware/product_name": "c7g.xlarge\n",
        "/etc/systemd/system/hardware.service": HARDWARE,
        **{f"/etc/systemd/system/{name}": text for name, text in files.items()},
    }


@contextmanager
def boot_host(
    release: Release,
    *,
    units: Mapping[str, str],
    configuration: str,
    mask: Sequence[str] = (),
    bind: Sequence[tuple[Path, str]] = (),
    more: str | None = None,
) -> Iterator[AgentHost]:
    """Boots such a host; the agent is installed and enabled, but not started.

    Args:
        release: which Debian.
        units: unit files by name.
        configuration: the agent's, as text.
        mask: units that can't start.
        bind: more folders of this machine, and where the host sees them, read-only.
        more: a package that the host has besides.
    """
    files = {
        **graviton_files(release),
        **{f"/etc/systemd/system/{name}": text for name, text in units.items()},
        **torch_files("2.9.1"),
    }
    packages = [(folder_of("pydantic").parent, PACKAGES)] if release.python == OWN_PYTHON else []
    binds = [*packages, *bind]
    with boot_as(AgentHost, release, files=files, bind=binds, mask=mask, more=more) as host:
        _install(host)
        host.systemctl("enable", "--now", "hardware.service")
        host.configure(configuration)
        host.systemctl("enable", SERVICE)
        yield host


def _install(host: AgentHost) -> None:
    """Puts everything where a package would put it, byte code included."""
    host.copy(REPOSITORY / "agent" / "graviton_agent", f"{LIBRARY}/agent/graviton_agent")
    for piece in systemd_pieces():
        host.copy(piece.source, piece.target)
    for name in ("jeepney", "sdnotify"):
        host.copy(folder_of(name), f"{LIBRARY}/agent/{name}")
    compiler = ("python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    host.run(*compiler, f"{LIBRARY}/agent")
    host.write("/usr/bin/graviton-agent", LAUNCHER, mode=0o755)
    host.copy(REPOSITORY / "tests/systemd/stand_in_calibration.py", STAND_IN)
    for link, target in LINKS.items():
        host.run("mkdir", "-p", str(Path(link).parent), str(Path(PYTHON).parent))
        host.run("ln", "-s", target, link)
    host.run("ln", "-s", "/usr/bin/python3", PYTHON)


def folder_of(package: str) -> Path:
    """Where a package of these tests is installed."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).resolve().parent
