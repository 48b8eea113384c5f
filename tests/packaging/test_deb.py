"""The life of the deb on Debian, in containers that systemd has booted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from graviton_agent.installed import SERVICE, STATE
from tests.packaging.conftest import FORMER_VERSION
from tests.packaging.host import (
    DIVERTED,
    DROP_IN,
    INSTALL,
    MANAGED,
    PROFILE,
    UNIT,
    PackagedHost,
    boot_packaged,
)
from tests.systemd.installed import CONFIGURATION
from tests.systemd.rootfs import BOOKWORM, Release

pytestmark = pytest.mark.packages


@pytest.fixture
def host(release: Release) -> Iterator[PackagedHost]:
    with boot_packaged(release) as host:
        yield host


@pytest.fixture
def deb(packages: dict[str, Path]) -> Path:
    return packages["amd64.deb"]


@pytest.fixture
def former_deb(former_packages: dict[str, Path]) -> Path:
    return former_packages["amd64.deb"]


def test_installed_it_runs_and_is_enabled(host: PackagedHost, deb: Path) -> None:
    host.install(deb)
    host.wait_until_active(SERVICE)
    assert host.is_enabled(SERVICE) == "enabled"
    assert "graviton-agent 0." in host.run("graviton-agent", "--version")
    assert "Graviton3" in host.run("graviton-agent", "detect")


def test_a_unit_is_served_from_its_profile(host: PackagedHost, deb: Path) -> None:
    host.install(deb)
    host.manage_with_profile()
    assert DROP_IN in host.show(UNIT, "DropInPaths")


def test_an_upgrade_restarts_the_agent_and_no_unit(host: PackagedHost, deb: Path, former_deb: Path) -> None:
    host.install(former_deb)
    host.manage_with_profile()
    agent, unit = host.show(SERVICE, "InvocationID"), host.show(UNIT, "InvocationID")
    profile = host.path(PROFILE).read_bytes()
    host.install(deb)
    host.wait_until_active(SERVICE)
    assert host.show(SERVICE, "InvocationID") != agent
    assert host.show(UNIT, "InvocationID") == unit
    assert host.path(PROFILE).read_bytes() == profile
    assert host.restarted(UNIT) == "64"


def test_a_former_version_can_be_put_back(host: PackagedHost, deb: Path, former_deb: Path) -> None:
    host.install(deb)
    host.manage_with_profile()
    host.install(former_deb)
    assert (
        host.run("dpkg-query", "--show", "--showformat=${Version}", "graviton-agent") == f"{FORMER_VERSION}-1"
    )
    host.wait_until_active(SERVICE)
    assert host.restarted(UNIT) == "64"


def test_edited_configuration_survives_an_upgrade(host: PackagedHost, deb: Path, former_deb: Path) -> None:
    host.install(former_deb)
    host.configure(MANAGED)
    host.install(deb)
    assert host.path(CONFIGURATION).read_text() == MANAGED


def test_a_service_that_was_disabled_stays_so(host: PackagedHost, deb: Path, former_deb: Path) -> None:
    host.install(former_deb)
    host.systemctl("disable", "--now", SERVICE)
    host.install(deb)
    assert host.is_enabled(SERVICE) == "disabled"


def test_removed_it_leaves_units_with_default_values(host: PackagedHost, deb: Path) -> None:
    host.install(deb)
    host.manage_with_profile()
    unit = host.show(UNIT, "InvocationID")
    host.run("dpkg", "--remove", "graviton-agent")
    assert host.show(UNIT, "InvocationID") == unit, "the unit runs on"
    assert host.show(UNIT, "DropInPaths") == ""
    assert not host.path("/run/graviton-agent").exists()
    assert host.restarted(UNIT) is None
    assert host.path(CONFIGURATION).read_text() == MANAGED
    assert host.path(PROFILE).exists()


def test_purged_it_leaves_nothing(host: PackagedHost, deb: Path) -> None:
    host.install(deb)
    host.manage_with_profile()
    host.run("graviton-agent", "config", "check")
    host.run("graviton-agent", "status", "--json")
    host.run("dpkg", "--purge", "graviton-agent")
    # The test's own file, whose folder it holds back.
    host.path(DIVERTED).unlink()
    host.path(DIVERTED).parent.rmdir()
    assert host.leftovers() == []
    assert not host.path(STATE).exists()
    assert host.is_enabled(SERVICE) in {"", "not-found"}


def test_it_can_be_installed_again_after_a_purge(host: PackagedHost, deb: Path) -> None:
    host.install(deb)
    host.run("dpkg", "--purge", "graviton-agent")
    host.install(deb)
    host.wait_until_active(SERVICE)
    assert host.is_enabled(SERVICE) == "enabled"


def test_no_byte_code_is_written_on_the_host(host: PackagedHost, deb: Path) -> None:
    host.install(deb)
    host.manage_with_profile()
    host.run("graviton-agent", "status")
    listed = set(host.run("dpkg", "--listfiles", "graviton-agent").splitlines())
    there = host.run("find", "/usr/lib/graviton-agent", "-name", "*.pyc").splitlines()
    assert there != []
    assert set(there) <= listed


def test_another_architecture_is_refused(host: PackagedHost, packages: dict[str, Path]) -> None:
    refused = host.attempt(*INSTALL, *host.bring(packages["arm64.deb"]))
    assert refused.returncode != 0
    assert "package architecture (arm64) does not match system (amd64)" in refused.stderr


@pytest.mark.usefixtures("bootable")
def test_without_a_python_of_its_own_it_is_refused(deb: Path) -> None:
    with boot_packaged(BOOKWORM, on_arm=False, has_python=False) as host:
        refused = host.attempt(*INSTALL, *host.bring(deb))
        assert refused.returncode != 0
        assert "graviton-agent depends on python3.14 | python3.13 | python3.12 | python3.11" in refused.stderr
        assert host.state_of(SERVICE) == "inactive"


@pytest.mark.usefixtures("bootable")
def test_the_launcher_says_which_python_is_missing(deb: Path) -> None:
    with boot_packaged(BOOKWORM, on_arm=False) as host:
        host.install(deb)
        host.run("mv", "/usr/bin/python3.11", "/usr/bin/python3.9")
        refused = host.attempt("graviton-agent", "detect")
        assert refused.returncode == 1
        assert "there is no Python 3.11, 3.12, 3.13 or 3.14 in /usr/bin" in refused.stderr


def test_installed_into_an_image_it_is_active_at_first_boot(host: PackagedHost, deb: Path) -> None:
    done = host.run_without_systemd(*INSTALL, *host.bring(deb))
    assert done.returncode == 0, done.stderr
    assert host.state_of(SERVICE) == "inactive"
    assert host.run_without_systemd("graviton-agent", "enable", UNIT).returncode == 0
    host.reboot()
    host.wait_until_active(SERVICE)
    assert DROP_IN in host.show(UNIT, "DropInPaths")


def test_what_a_killed_dpkg_left_can_be_installed(host: PackagedHost, deb: Path) -> None:
    (path,) = host.bring(deb)
    unpacking = "/usr/lib/graviton-agent/libraries/typing_extensions.py.dpkg-new"
    kill = f"dpkg --install {path} & dpkg=$!; until test -e {unpacking}; do :; done; kill -9 $dpkg"
    host.run("sh", "-c", f"{kill}; ! wait $dpkg")
    assert "graviton-agent" in host.run("dpkg", "--audit")
    host.install(deb)
    assert host.run("dpkg", "--audit") == ""
    host.wait_until_active(SERVICE)
