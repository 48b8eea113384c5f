"""The life of the rpm, in a booted container of Debian that has rpm and dnf."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from graviton_agent.installed import SERVICE
from tests.packaging.conftest import FORMER_VERSION
from tests.packaging.host import DROP_IN, MANAGED, UNIT, PackagedHost, boot_packaged
from tests.packaging.rpm_host import INSTALL, RPM_HOST, provide_requirements
from tests.systemd.installed import CONFIGURATION
from tests.systemd.rootfs import BOOKWORM

pytestmark = pytest.mark.packages

PRESET = "/usr/lib/systemd/system-preset/99-default-disable.preset"
DISABLE_ALL = "disable *\n"
"""As Amazon Linux, RHEL and Fedora ship it."""


@pytest.fixture
def bare(bootable: None) -> Iterator[PackagedHost]:  # noqa: ARG001 - it may skip
    with boot_packaged(BOOKWORM, more=RPM_HOST, on_arm=False) as host:
        host.write(PRESET, DISABLE_ALL)
        yield host


@pytest.fixture
def host(bare: PackagedHost) -> PackagedHost:
    provide_requirements(bare)
    return bare


@pytest.fixture
def rpm(packages: dict[str, Path]) -> Path:
    return packages["x86_64.rpm"]


@pytest.fixture
def former_rpm(former_packages: dict[str, Path]) -> Path:
    return former_packages["x86_64.rpm"]


def _install(host: PackagedHost, package: Path, *options: str) -> None:
    assert host.run(*INSTALL, *options, *host.bring(package)) == "", "scripts of a package say nothing"


def test_installed_it_is_neither_enabled_nor_started(host: PackagedHost, rpm: Path) -> None:
    _install(host, rpm)
    assert host.is_enabled(SERVICE) == "disabled"
    assert host.state_of(SERVICE) == "inactive"
    assert "graviton-agent 0." in host.run("graviton-agent", "--version")
    host.systemctl("enable", "--now", SERVICE)
    host.wait_until_active(SERVICE)


def test_a_preset_of_the_distribution_enables_it(host: PackagedHost, rpm: Path) -> None:
    host.write("/etc/systemd/system-preset/50-site.preset", f"enable {SERVICE}\n")
    _install(host, rpm)
    assert host.is_enabled(SERVICE) == "enabled"


def test_an_upgrade_restarts_the_agent_and_no_unit(host: PackagedHost, rpm: Path, former_rpm: Path) -> None:
    _install(host, former_rpm)
    host.configure(MANAGED)
    host.systemctl("start", UNIT)
    agent, unit = host.show(SERVICE, "InvocationID"), host.show(UNIT, "InvocationID")
    _install(host, rpm)
    host.wait_until_active(SERVICE)
    assert host.show(SERVICE, "InvocationID") != agent
    assert host.show(UNIT, "InvocationID") == unit
    assert host.path(CONFIGURATION).read_text() == MANAGED


def test_an_upgrade_starts_nothing_that_was_stopped(host: PackagedHost, rpm: Path, former_rpm: Path) -> None:
    _install(host, former_rpm)
    _install(host, rpm)
    assert host.state_of(SERVICE) == "inactive"


def test_a_former_version_can_be_put_back(host: PackagedHost, rpm: Path, former_rpm: Path) -> None:
    _install(host, rpm)
    host.systemctl("enable", "--now", SERVICE)
    _install(host, former_rpm, "--oldpackage")
    assert host.run("rpm", "--query", "--queryformat=%{VERSION}", "graviton-agent") == FORMER_VERSION
    host.wait_until_active(SERVICE)


def test_erased_it_leaves_units_with_default_values(host: PackagedHost, rpm: Path) -> None:
    _install(host, rpm)
    host.configure(MANAGED)
    host.systemctl("enable", "--now", SERVICE)
    host.systemctl("start", UNIT)
    assert DROP_IN in host.show(UNIT, "DropInPaths")
    unit = host.show(UNIT, "InvocationID")
    host.run("rpm", "--erase", "graviton-agent")
    assert host.show(UNIT, "InvocationID") == unit, "the unit runs on"
    assert host.show(UNIT, "DropInPaths") == ""
    assert not host.path("/run/graviton-agent").exists()
    assert not host.path("/usr/lib/graviton-agent").exists()
    assert host.path(f"{CONFIGURATION}.rpmsave").read_text() == MANAGED


def test_it_can_be_installed_again(host: PackagedHost, rpm: Path) -> None:
    _install(host, rpm)
    host.run("rpm", "--erase", "graviton-agent")
    _install(host, rpm)
    host.systemctl("start", SERVICE)
    host.wait_until_active(SERVICE)


def test_another_architecture_is_refused(host: PackagedHost, packages: dict[str, Path]) -> None:
    refused = host.attempt(*INSTALL, *host.bring(packages["aarch64.rpm"]))
    assert refused.returncode != 0
    assert "is intended for a different architecture" in refused.stderr


def test_without_a_python_of_its_own_it_is_refused(bare: PackagedHost, rpm: Path) -> None:
    refused = bare.attempt(*INSTALL, *bare.bring(rpm))
    assert refused.returncode != 0
    assert "/usr/bin/python3.14 or /usr/bin/python3.13 or /usr/bin/python3.12" in refused.stderr


def test_installed_into_an_image_it_is_active_at_first_boot_once_enabled(
    host: PackagedHost, rpm: Path
) -> None:
    done = host.run_without_systemd(*INSTALL, *host.bring(rpm))
    assert done.returncode == 0, done.stderr
    assert host.run_without_systemd("systemctl", "enable", SERVICE).returncode == 0
    host.reboot()
    host.wait_until_active(SERVICE)
