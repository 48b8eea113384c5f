"""What a golden host has found goes to another one of its kind in a package, and goes with the package."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from graviton_agent.installed import SERVICE
from tests.packaging.host import INSTALL, MANAGED, UNIT, PackagedHost, boot_packaged
from tests.systemd.rootfs import BOOKWORM

pytestmark = [pytest.mark.packages, pytest.mark.usefixtures("bootable")]

FOLDER = "/tmp/profiles"


@pytest.fixture
def host(packages: dict[str, Path]) -> Iterator[PackagedHost]:
    """A host that has measured nothing, and what the golden one has exported, in `FOLDER`."""
    with ExitStack() as stack:
        golden, host = (stack.enter_context(boot_packaged(BOOKWORM)) for _ in range(2))
        for one in (golden, host):
            one.install(packages["amd64.deb"])
        golden.manage_with_profile()
        golden.run("graviton-agent", "profile", "export", f"--output={FOLDER}")
        host.copy(golden.path(FOLDER), FOLDER)
        host.configure(MANAGED)
        host.wait_until_active(SERVICE)
        yield host


def _install_profiles(host: PackagedHost) -> None:
    host.run("graviton-agent", "profile", "package", FOLDER, "--format=deb", "--output=/tmp/made")
    (made,) = host.path("/tmp/made").iterdir()
    host.run(*INSTALL, f"/tmp/made/{made.name}")


def test_a_package_of_profiles_is_taken_up_by_itself(host: PackagedHost) -> None:
    assert host.restarted(UNIT) is None
    _install_profiles(host)
    host.wait_for_file(UNIT)
    assert host.told(UNIT) is None, "a running unit is never restarted"
    assert host.restarted(UNIT) == "64"
    assert "in sync" in host.run("graviton-agent", "verify", UNIT)


def test_with_the_package_its_values_go(host: PackagedHost) -> None:
    _install_profiles(host)
    host.wait_for_file(UNIT)
    host.run("dpkg", "--purge", "graviton-agent-profiles")
    host.wait_for_file(UNIT, there=False)
    assert host.restarted(UNIT) is None


def test_an_imported_profile_is_in_place_at_once(host: PackagedHost) -> None:
    (file,) = host.path(FOLDER).iterdir()
    host.run("graviton-agent", "profile", "import", f"{FOLDER}/{file.name}")
    assert host.has_file(UNIT)
    assert host.restarted(UNIT) == "64"


def test_profiles_in_an_image_are_in_place_at_first_boot(host: PackagedHost) -> None:
    _install_profiles(host)
    host.wait_for_file(UNIT)
    host.systemctl("enable", SERVICE)
    host.systemctl("stop", SERVICE)
    host.run("graviton-agent", "clean")
    host.reboot()
    host.wait_until_active(SERVICE)
    assert host.restarted(UNIT) == "64"
