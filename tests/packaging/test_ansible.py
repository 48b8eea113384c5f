"""The Ansible role brings the built package from a signed repository to three hosts, and the former one back.

They get it over HTTP from the control node. The agent's Python is Debian's own here, for apt's module of
Ansible needs it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from graviton_agent import __version__
from graviton_agent.installed import SERVICE
from graviton_packages.description import RELEASE
from tests.ansible.control import REASON, Fleet, reached_by_ssh
from tests.ansible.network import CONTROL
from tests.packaging.conftest import FORMER_VERSION
from tests.packaging.host import UNIT, PackagedHost, boot_packaged
from tests.systemd.rootfs import BOOKWORM, TRIXIE

pytestmark = [pytest.mark.packages, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

PORT = 8077
THIS, FORMER = f"{__version__}-{RELEASE}", f"{FORMER_VERSION}-{RELEASE}"


@pytest.fixture(scope="module")
def three(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet[PackagedHost]]:
    with ExitStack() as stack:
        hosts = [
            stack.enter_context(boot_packaged(release, "openssh-server,python3-apt", has_python=False))
            for release in (BOOKWORM, TRIXIE, BOOKWORM)
        ]
        for host in hosts:
            # No other repository: there is no network.
            host.run("rm", "--force", "--recursive", "/etc/apt/sources.list", "/etc/apt/sources.list.d")
            host.run("mkdir", "/etc/apt/sources.list.d")
        fleet = stack.enter_context(reached_by_ssh(hosts, tmp_path_factory.mktemp("control")))
        stack.enter_context(_served(repository / "apt", fleet.network))
        fleet.variables = {
            "graviton_agent_repository_url": f"http://{CONTROL}:{PORT}/",
            "graviton_agent_repository_key": (repository / "apt/graviton-agent.asc").read_text(),
            "graviton_agent_units": {UNIT: {"calibrate": "manual"}},
        }
        yield fleet


@contextmanager
def _served(folder: Path, network: str) -> Iterator[None]:
    """Serves a folder over HTTP within a network's namespace."""
    command = (sys.executable, "-m", "http.server", str(PORT), "--bind", CONTROL, "--directory", str(folder))
    server = subprocess.Popen(
        ("ip", "netns", "exec", network, *command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        server.kill()
        server.wait()


def _versions(fleet: Fleet[PackagedHost]) -> list[str]:
    query = ("dpkg-query", "--show", "--showformat=${Version}", "graviton-agent")
    return [host.attempt(*query).stdout for host in fleet.hosts]


def test_in_check_mode_nothing_is_installed(three: Fleet[PackagedHost]) -> None:
    ran = three.play("--check")
    assert ran.code == 0, ran.text
    assert _versions(three) == ["", "", ""]


def test_every_host_gets_the_version_that_is_asked_for(three: Fleet[PackagedHost]) -> None:
    ran = three.play(graviton_agent_package=f"graviton-agent={FORMER}")
    assert ran.code == 0, ran.text
    assert _versions(three) == [FORMER] * 3
    assert [host.state_of(SERVICE) for host in three.hosts] == ["active"] * 3


def test_a_second_run_changes_nothing(three: Fleet[PackagedHost]) -> None:
    ran = three.play(graviton_agent_package=f"graviton-agent={FORMER}")
    assert ran.code == 0, ran.text
    assert ran.changed == {"host1": 0, "host2": 0, "host3": 0}


def test_an_upgrade_that_fails_at_the_canary_reaches_no_other_host(three: Fleet[PackagedHost]) -> None:
    canary = three.hosts[0]
    canary.systemctl("mask", "--runtime", "--now", SERVICE)
    ran = three.play(graviton_agent_package_state="latest")
    canary.systemctl("unmask", "--runtime", SERVICE)
    assert ran.code != 0
    assert _versions(three) == [THIS, FORMER, FORMER], ran.text


def test_an_upgrade_restarts_the_agents_and_no_unit(three: Fleet[PackagedHost]) -> None:
    for host in three.hosts:
        host.systemctl("start", UNIT)
    started = [host.show(UNIT, "InvocationID") for host in three.hosts]
    ran = three.play(graviton_agent_package_state="latest")
    assert ran.code == 0, ran.text
    assert _versions(three) == [THIS] * 3
    assert [host.state_of(SERVICE) for host in three.hosts] == ["active"] * 3
    assert [host.show(UNIT, "InvocationID") for host in three.hosts] == started


def test_the_version_before_can_be_put_back(three: Fleet[PackagedHost]) -> None:
    ran = three.play("--limit", "host2", graviton_agent_package=f"graviton-agent={FORMER}")
    assert ran.code == 0, ran.text
    assert _versions(three) == [THIS, FORMER, THIS]


def test_a_package_file_of_the_control_node_can_be_installed(
    three: Fleet[PackagedHost], packages: dict[str, Path]
) -> None:
    deb = str(packages["amd64.deb"])
    ran = three.play("--limit", "host2", graviton_agent_install="file", graviton_agent_package_file=deb)
    assert ran.code == 0, ran.text
    assert _versions(three) == [THIS] * 3
