"""Containers that look like a Graviton3 host, into which the built packages are installed as they are.

What stands in for something: the texts of CPUs and firmware; the machine's name that uname tells, by a
diversion of one file, which dpkg keeps up over upgrades; an interpreter's torch; the profile; and a package
named python3, whose parts the containers have.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from graviton_packages.layout import LIBRARY
from tests.systemd.container import boot_as
from tests.systemd.installed import CONFIGURATION, AgentHost, graviton_files, torch_files
from tests.systemd.rootfs import Release
from tests.systemd.stand_in_calibration import PYTHON

if TYPE_CHECKING:
    from subprocess import CompletedProcess

UNIT = "app.service"
# With Type=exec its environment can be read as soon as systemctl returns, and not only some time later.
UNITS = {UNIT: f"[Service]\nType=exec\nExecStart={PYTHON} -c 'import time; time.sleep(3600)'\nRestart=no\n"}
MANAGED = f'[units."{UNIT}"]\ncalibrate = "manual"\n'
DROP_IN = "50-graviton-agent.conf"
PROFILE = f"/var/lib/graviton-agent/profiles/{UNIT}.json"

DIVERTED = f"{LIBRARY}/run.py"
ON_ARM = f"""import os, runpy
uname = os.uname()
os.uname = lambda: os.uname_result((*uname[:4], "aarch64"))
runpy.run_path("{DIVERTED}.distrib", run_name="__main__")
"""
INSTALL = ("dpkg", "--force-unsafe-io", "--install")


class PackagedHost(AgentHost):
    """What a test does on such a host."""

    def configure(self, text: str, *, reload: bool = True) -> None:
        """Writes the configuration, and by default has systemd reload, as an operator would."""
        self.write(CONFIGURATION, text)
        if reload:
            self.systemctl("daemon-reload")

    def bring(self, *packages: Path) -> list[str]:
        """Puts packages where the host finds them, and returns their paths there."""
        for package in packages:
            self.copy(package, f"/tmp/{package.name}")
        return [f"/tmp/{package.name}" for package in packages]

    def install(self, package: Path) -> None:
        """Installs a deb, over whatever version is there. What a package's scripts print is an error."""
        printed = self.run(*INSTALL, *self.bring(package)).splitlines()
        own = ("Selecting previously", "(Reading database", "Preparing to", "Unpacking", "Setting up")
        spoken = [line for line in printed if line.strip() and not line.startswith((*own, "dpkg: warning"))]
        assert spoken == [], "scripts of a package say nothing"

    def manage_with_profile(self) -> None:
        """Has the unit run with a value that a calibration has left for it."""
        self.configure(MANAGED)
        self.calibrated(UNIT, "64")
        self.systemctl("start", UNIT)
        self.wait_for_file(UNIT)
        assert self.restarted(UNIT) == "64"

    def state_of(self, unit: str) -> str:
        """Whether a unit is "active", "inactive" and so on."""
        return self.show(unit, "ActiveState")

    def wait_until_active(self, unit: str) -> None:
        """Waits until a unit is up: on a busy machine its first start may run out of time."""
        self.wait(f"systemctl is-active --quiet {unit}")

    def is_enabled(self, unit: str) -> str:
        """What systemctl says: "enabled", "disabled", or nothing if there is no such unit."""
        return self.attempt("systemctl", "is-enabled", unit).stdout.strip()

    def run_without_systemd(self, *command: str) -> "CompletedProcess[str]":
        """Runs a command as in a chroot of an image: nothing of a running system is in /run."""
        hidden = 'mount -t tmpfs tmpfs /run && exec "$@"'
        return self.attempt("unshare", "--mount", "sh", "-c", hidden, "sh", *command)

    def leftovers(self) -> list[str]:
        """Files and folders of the agent's that are on the disk, those of tests apart."""
        found = self.run("find", "/usr", "/etc", "/var", "/run", "-xdev", "-path", "*graviton*", "-print")
        tests = ("/etc/systemd/system/graviton-agent", "/run/systemd/")
        return [path for path in found.splitlines() if not path.startswith(tests)]


@contextmanager
def boot_packaged(
    release: Release, more: str | None = None, *, on_arm: bool = True, has_python: bool = True
) -> Iterator[PackagedHost]:
    """Boots such a host, without the agent.

    Args:
        release: which Debian.
        more: packages that it has besides.
        on_arm: whether uname tells the agent so, which needs dpkg.
        has_python: whether dpkg knows of a Python that the agent can use.
    """
    files = {
        **graviton_files(release),
        **{f"/etc/systemd/system/{name}": text for name, text in UNITS.items()},
        **torch_files("2.9.1"),
    }
    with boot_as(PackagedHost, release, files=files, more=more) as host:
        host.systemctl("enable", "--now", "hardware.service")
        host.run("mkdir", "-p", str(Path(PYTHON).parent))
        host.run("ln", "-s", "/usr/bin/python3", PYTHON)
        if has_python:
            provide_python(host)
        if on_arm:
            host.run(
                "dpkg-divert", "--quiet", "--add", "--no-rename", "--divert", f"{DIVERTED}.distrib", DIVERTED
            )
            host.write(DIVERTED, ON_ARM)
        yield host


def provide_python(host: PackagedHost) -> None:
    """Installs a package named as the one that brings in all the parts of Python, which are there already."""
    minor = host.release.python
    control = f"""Package: python{minor}
Version: {minor}.0
Architecture: all
Maintainer: tests <tests@graviton-agent.invalid>
Provides: python3 (= {minor}.0)
Description: stands for all of Python {minor}
"""
    host.write("/tmp/python/DEBIAN/control", control)
    host.run("dpkg-deb", "--build", "-Znone", "/tmp/python", "/tmp/python.deb")
    host.run(*INSTALL, "/tmp/python.deb")
