"""Signed repositories: apt and dnf install from them, and refuse what somebody else has changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from graviton_agent import __version__
from graviton_agent.installed import SERVICE
from graviton_packages.description import RELEASE
from graviton_packages.programs import BuildError
from graviton_packages.repository import make_repositories
from tests.packaging.conftest import FORMER_VERSION
from tests.packaging.host import PackagedHost, boot_packaged
from tests.packaging.rpm_host import RPM_HOST, provide_requirements
from tests.systemd.rootfs import BOOKWORM, TRIXIE, Release

pytestmark = pytest.mark.packages

THIS, FORMER = f"{__version__}-{RELEASE}", f"{FORMER_VERSION}-{RELEASE}"
SOURCES = "deb [signed-by=/etc/apt/keyrings/graviton-agent.asc] file:/repository/apt stable main\n"
REPO = """[graviton-agent]
name=graviton-agent
baseurl=file:///repository/dnf
enabled=1
gpgcheck=1
repo_gpgcheck=1
gpgkey=file:///repository/dnf/RPM-GPG-KEY-graviton-agent
metadata_expire=0
"""


@pytest.fixture
def debian(repository: Path, release: Release) -> Iterator[PackagedHost]:
    with boot_packaged(release, on_arm=False) as host:
        host.copy(repository, "/repository")
        host.write(
            "/etc/apt/keyrings/graviton-agent.asc", (repository / "apt/graviton-agent.asc").read_bytes()
        )
        # No other repository: there is no network.
        host.run("rm", "--force", "--recursive", "/etc/apt/sources.list", "/etc/apt/sources.list.d")
        host.write("/etc/apt/sources.list", SOURCES)
        yield host


@pytest.fixture
def red_hat(repository: Path, bootable: None) -> Iterator[PackagedHost]:  # noqa: ARG001 - it may skip
    with boot_packaged(BOOKWORM, more=RPM_HOST, on_arm=False) as host:
        host.copy(repository, "/repository")
        host.write("/etc/yum.repos.d/graviton-agent.repo", REPO)
        provide_requirements(host)
        yield host


def test_apt_installs_from_it(debian: PackagedHost) -> None:
    debian.run("apt-get", "update", "--error-on=any")
    debian.run("apt-get", "install", "--yes", "graviton-agent")
    debian.wait_until_active(SERVICE)


def test_apt_puts_the_version_before_back(debian: PackagedHost) -> None:
    debian.run("apt-get", "update", "--error-on=any")
    debian.run("apt-get", "install", "--yes", "graviton-agent")
    debian.run("apt-get", "install", "--yes", "--allow-downgrades", f"graviton-agent={FORMER}")
    assert debian.run("dpkg-query", "--show", "--showformat=${Version}", "graviton-agent") == FORMER


def change_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_apt_refuses_an_index_that_was_changed(debian: PackagedHost) -> None:
    index = debian.path("/repository/apt/dists/stable/InRelease")
    index.write_text(index.read_text().replace("Label: graviton-agent", "Label: graviton-agent2"))
    refused = debian.attempt("apt-get", "update", "--error-on=any")
    assert refused.returncode != 0
    assert {BOOKWORM: "BADSIG", TRIXIE: "Message has been manipulated"}[debian.release] in refused.stderr


def test_apt_refuses_a_package_that_was_changed(debian: PackagedHost) -> None:
    debian.run("apt-get", "update", "--error-on=any")
    (package,) = debian.path("/repository/apt/pool").glob(f"*_{THIS}_amd64.deb")
    change_last_bit(package)
    refused = debian.attempt("apt-get", "install", "--yes", "graviton-agent")
    assert refused.returncode != 0
    assert "Hash Sum mismatch" in refused.stderr
    assert debian.state_of(SERVICE) == "inactive"


def test_apt_refuses_it_without_its_key(debian: PackagedHost) -> None:
    debian.write("/etc/apt/sources.list", "deb file:/repository/apt stable main\n")
    refused = debian.attempt("apt-get", "update", "--error-on=any")
    assert refused.returncode != 0
    missing = {BOOKWORM: "NO_PUBKEY", TRIXIE: "which is needed to verify signature"}
    assert missing[debian.release] in refused.stderr


def test_dnf_installs_from_it(red_hat: PackagedHost) -> None:
    red_hat.run("dnf", "--assumeyes", "install", "graviton-agent")
    assert red_hat.run("rpm", "--query", "graviton-agent").startswith("graviton-agent-")
    red_hat.systemctl("start", SERVICE)
    red_hat.wait_until_active(SERVICE)


def test_dnf_puts_the_version_before_back(red_hat: PackagedHost) -> None:
    red_hat.run("dnf", "--assumeyes", "install", "graviton-agent")
    red_hat.run("dnf", "--assumeyes", "downgrade", "graviton-agent")
    assert red_hat.run("rpm", "--query", "--queryformat=%{VERSION}", "graviton-agent") == FORMER_VERSION


def test_dnf_refuses_an_index_that_was_changed(red_hat: PackagedHost) -> None:
    index = red_hat.path("/repository/dnf/repodata/repomd.xml")
    index.write_text(index.read_text().replace("<revision>", "<revision>9"))
    refused = red_hat.attempt("dnf", "--assumeyes", "install", "graviton-agent")
    assert refused.returncode != 0
    assert "repomd.xml GPG signature verification error" in refused.stdout + refused.stderr


def test_dnf_refuses_a_package_that_was_changed(red_hat: PackagedHost) -> None:
    (package,) = red_hat.path("/repository/dnf").glob(f"*-{THIS}.x86_64.rpm")
    change_last_bit(package)
    refused = red_hat.attempt("dnf", "--assumeyes", "install", "graviton-agent")
    assert refused.returncode != 0
    assert not red_hat.path("/usr/bin/graviton-agent").exists()


def test_dnf_refuses_a_package_that_nobody_signed(red_hat: PackagedHost, packages: dict[str, Path]) -> None:
    (path,) = red_hat.bring(packages["x86_64.rpm"])
    refused = red_hat.attempt("dnf", "--assumeyes", "--setopt=localpkg_gpgcheck=1", "install", path)
    assert refused.returncode != 0
    assert "is not signed" in refused.stdout + refused.stderr


def test_the_private_key_is_in_no_repository(repository: Path) -> None:
    for path in repository.rglob("*"):
        if path.is_file():
            assert b"PRIVATE KEY" not in path.read_bytes()


def test_a_key_that_is_not_there_is_named(packages: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="nobody@example"):
        make_repositories(list(packages.values()), tmp_path, "nobody@example")
