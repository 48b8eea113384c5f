"""A container that looks like a Graviton3 host, with the agent installed and units that a platform team has.

What stands in for something: the CPUs' and the firmware's texts (bound over the real ones by a unit of early
boot) and what uname says, an interpreter's torch (its files without its code), calibrations (profiles written
through the store), and, where the container's Python is not that of these tests, the checking of the
configuration, which needs compiled packages.
"""

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from graviton_agent.configuration.load import compile_configuration
from graviton_agent.installed import ENVIRONMENT, GATE, QUIET, SERVICE
from graviton_agent.profiles.facts import observe_calibrated, observe_host
from graviton_agent.profiles.profile import make_profile
from graviton_agent.profiles.store import ProfileStore
from graviton_agent.profiles.subject import make_subject
from graviton_agent.root import Root
from graviton_agent.units.assignments import parse_environment_block
from graviton_agent.units.bus import Bus
from graviton_agent.units.identity import PROCESS_FACTS, Observer, observe
from graviton_agent.units.manager import manager_environment
from graviton_agent.units.unit import read_unit
from tests.host.machines import V1, cpuinfo
from tests.profiles.host import BUILD, GAIN
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = "/usr/lib/graviton-agent"
PACKAGES = "/opt/packages"
COMPILED = "/opt/compiled.json"
CALIBRATE = "/opt/calibrate"
CONFIGURATION = "/etc/graviton-agent/graviton-agent.toml"
VENV = "/opt/app/venv"
PYTHON = f"{VENV}/bin/python"
SITE_PACKAGES = f"{VENV}/lib/python3/site-packages"
TORCH = f"{SITE_PACKAGES}/torch"
NAME = "TORCH_MKLDNN_MATMUL_MIN_DIM"

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# The program as a package would install it, and what this machine is told to call itself.
LAUNCHER = f"""#!/usr/bin/python3 -ISB
import os, shutil, sys
sys.path[:0] = ["{LIBRARY}/agent", "{PACKAGES}"]
uname = os.uname()
os.uname = lambda: os.uname_result((*uname[:4], "aarch64"))
if sys.argv[1] == "calibrate" and os.path.exists("{CALIBRATE}"):
    os.execv("{CALIBRATE}", sys.argv)
if sys.argv[1:3] == ["config", "compile"] and os.path.exists("{COMPILED}"):
    shutil.copy("{COMPILED}", sys.argv[sys.argv.index("--output") + 1])
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
[Install]
WantedBy=sysinit.target
"""
# Some protections give a service a fresh /proc, in which the real CPUs show.
SEES_HARDWARE = "[Service]\nBindReadOnlyPaths=/opt/hardware/cpuinfo:/proc/cpuinfo\n"


class AgentHost(RebootableContainer):
    """What a test does on such a host, and what it sees there."""

    def configure(self, text: str, *, reload: bool = True) -> None:
        """Writes the configuration, and by default has systemd reload, as an operator would."""
        self.write(CONFIGURATION, text)
        if self.release.python != OWN_PYTHON:
            self.write(COMPILED, self.call(lambda: compile_configuration().to_json()))
        if reload:
            self.systemctl("daemon-reload")

    def profile(self, unit: str, value: str = "64", **results: Any) -> None:
        """Leaves the profile that a calibration of the unit would leave now, by which it gets a value."""
        self.call(_leave_profile, unit, {"environment": {NAME: value}, **results})

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

    def wait_for_file(self, unit: str) -> None:
        """Waits until there is an environment file for the unit."""
        self.wait(f"test -e '{ENVIRONMENT}/{unit}.env'")

    def wait_for_no_file(self, unit: str) -> None:
        """Waits until there is none."""
        self.wait(f"test ! -e '{ENVIRONMENT}/{unit}.env'")

    def install_torch(self, version: str) -> None:
        """Does what `pip install --upgrade` does to the files that tell one torch from another."""
        self.run("rm", "--recursive", "--force", TORCH)
        for path, content in torch_files(version).items():
            self.write(path, content)


def _leave_profile(unit: str, results: Mapping[str, Any]) -> None:
    root = Root()
    configuration = compile_configuration()
    with Bus.connect() as bus:
        manager = manager_environment(bus)
        subject = make_subject(read_unit(bus, unit), configuration.units[unit], manager, root)
    inside = observe(PROCESS_FACTS, Observer())
    build = replace(BUILD, interpreter=PYTHON, location=TORCH)
    present = observe_calibrated(subject, observe_host(root), build, inside, root)
    store = ProfileStore()
    with store.locked():
        store.write(make_profile(unit, present.fingerprint, **{**GAIN, **results}))


def torch_files(version: str) -> dict[str, str]:
    """What tells one torch from another."""
    return {
        f"{TORCH}/version.py": f"__version__ = '{version}'\n",
        f"{TORCH}/lib/libtorch_cpu.so": f"ELF {version}",
        f"{SITE_PACKAGES}/torch-{version}.dist-info/RECORD": "torch/lib/libtorch_cpu.so,sha256=abc,3\n",
    }


@contextmanager
def boot_host(
    release: Release, *, units: Mapping[str, str], configuration: str, files: Mapping[str, str] | None = None
) -> Iterator[AgentHost]:
    """Boots such a host; the agent is installed and enabled, but not started."""
    contents = {
        "/opt/hardware/cpuinfo": cpuinfo(V1, V1, V1, V1),
        "/opt/hardware/sys_vendor": "Amazon EC2\n",
        "/opt/hardware/product_name": "c7g.xlarge\n",
        "/etc/systemd/system/hardware.service": HARDWARE,
        **{f"/etc/systemd/system/{name}": text for name, text in units.items()},
        **torch_files("2.9.1"),
        **(files or {}),
    }
    packages = Path(_folder("pydantic")).parent
    libraries = [(_folder("jeepney"), f"{PACKAGES}/jeepney"), (_folder("sdnotify"), f"{PACKAGES}/sdnotify")]
    if release.python == OWN_PYTHON:
        libraries = [(packages, PACKAGES)]
    bind = [*((REPOSITORY / name, f"{LIBRARY}/{name}") for name in ("agent", "systemd")), *libraries]
    with boot(release, files=contents, bind=bind, kind=AgentHost) as host:
        host.write("/usr/bin/graviton-agent", LAUNCHER, mode=0o755)
        for unit in (SERVICE, GATE, QUIET):
            host.run("ln", "-s", f"{LIBRARY}/systemd/{unit}", f"/usr/lib/systemd/system/{unit}")
            host.write(f"/usr/lib/systemd/system/{unit}.d/10-hardware.conf", SEES_HARDWARE)
        host.run("mkdir", "-p", "/usr/lib/systemd/system-generators", f"{VENV}/bin")
        host.run("ln", "-s", f"{LIBRARY}/systemd/graviton-agent-generator", "/usr/lib/systemd/system-generators")
        host.run("ln", "-s", "/usr/bin/python3", PYTHON)
        host.systemctl("enable", "--now", "hardware.service")
        host.configure(configuration)
        host.systemctl("enable", SERVICE)
        yield host


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).resolve().parent
