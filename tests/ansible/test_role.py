"""The Ansible role on three booted hosts with addresses of their own, over ssh.

The agent is installed as the other tests install it, so the role's package tasks are left out here.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.installed import SERVICE
from tests.ansible.network import bridged
from tests.systemd.installed import REPOSITORY, AgentHost, boot_host
from tests.systemd.missing import missing
from tests.systemd.rootfs import BOOKWORM

PROGRAMS = REPOSITORY / ".cache/ansible/bin"
ROLE = REPOSITORY / "packaging/ansible"
UNIT = "llm.service"
SERVE = "[Service]\nType=exec\nExecStart=/opt/app/venv/bin/python -c 'import time; time.sleep(3600)'\n"
SECTION = f"/etc/graviton-agent/conf.d/60-{UNIT}.toml"
SECONDS = 540

REASON = missing() or (
    None if (PROGRAMS / "ansible-playbook").exists() else "no ansible in .cache/ansible: make test-ansible"
)
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@dataclass
class Ran:
    """A run of the playbook."""

    code: int
    text: str

    @property
    def changed(self) -> dict[str, int]:
        """How many tasks changed something, by host."""
        found = re.findall(r"(?m)^(host\d)\s+: ok=\d+\s+changed=(\d+)", self.text)
        return {host: int(number) for host, number in found}


@dataclass
class ThreeHosts:
    """The hosts, and how Ansible reaches them."""

    hosts: list[AgentHost]
    network: str
    folder: Path
    addresses: list[str]
    variables: dict[str, Any] = field(default_factory=dict)

    def play(self, *options: str, **variables: Any) -> Ran:
        """Plays site.yml from the network's own namespace."""
        given = {"graviton_agent_install": "none", **self.variables, **variables}
        done = subprocess.run(
            (
                "ip", "netns", "exec", self.network, str(PROGRAMS / "ansible-playbook"),
                str(ROLE / "site.yml"), "--inventory", str(self.folder / "inventory"),
                "--extra-vars", json.dumps(given), *options,
            ),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_HOST_KEY_CHECKING": "false",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_TIMEOUT": "60",
                "ANSIBLE_PIPELINING": "true",
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            },
        )  # fmt: skip
        return Ran(done.returncode, done.stdout + done.stderr)

    def has_section(self) -> list[bool]:
        """Which hosts have the unit's section."""
        return [host.path(SECTION).exists() for host in self.hosts]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeHosts]:
    folder = tmp_path_factory.mktemp("control")
    key = folder / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
    with ExitStack() as stack:
        hosts = [
            stack.enter_context(
                boot_host(BOOKWORM, units={UNIT: SERVE}, configuration="", more="openssh-server")
            )
            for _ in range(3)
        ]
        for host in hosts:
            host.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text(), mode=0o600)
            host.systemctl("start", "ssh")
        network = f"graviton-agent-{os.getpid()}"
        addresses = stack.enter_context(bridged(network, hosts))
        lines = [
            f"host{number} ansible_host={address} ansible_user=root ansible_ssh_private_key_file={key} "
            "ansible_python_interpreter=/usr/bin/python3"
            for number, address in enumerate(addresses, start=1)
        ]
        (folder / "inventory").write_text("\n".join(["[graviton]", *lines, ""]))
        yield ThreeHosts(hosts, network, folder, addresses)


def test_check_mode_changes_nothing(three: ThreeHosts) -> None:
    ran = three.play("--check", graviton_agent_units={UNIT: {"calibrate": "manual"}})
    assert ran.code == 0, ran.text
    assert three.has_section() == [False] * 3
    assert [host.attempt("systemctl", "is-active", SERVICE).returncode for host in three.hosts] == [3, 3, 3]


def test_a_failing_canary_stops_everything_after_it(three: ThreeHosts) -> None:
    canary = three.hosts[0]
    canary.systemctl("mask", "--runtime", SERVICE)
    ran = three.play(graviton_agent_units={UNIT: {"calibrate": "manual"}})
    canary.systemctl("unmask", "--runtime", SERVICE)
    assert ran.code != 0
    assert three.has_section() == [True, False, False]


def test_a_section_that_is_wrong_fails_at_the_canary(three: ThreeHosts) -> None:
    ran = three.play(graviton_agent_units={UNIT: {"calibrate": "sometimes"}})
    assert ran.code != 0
    assert "Check the configuration" in ran.text
    assert three.has_section()[1:] == [False, False]


def test_all_hosts_are_configured_started_and_verified(three: ThreeHosts) -> None:
    collected = three.folder / "collected"
    collected.mkdir()
    units = {UNIT: {"calibrate": "manual", "pin": {"OMP_NUM_THREADS": "2"}, "allow_bf16": True}}
    three.variables = {"graviton_agent_units": units, "graviton_agent_collect": str(collected)}
    ran = three.play()
    assert ran.code == 0, ran.text
    assert [host.show(SERVICE, "ActiveState") for host in three.hosts] == ["active"] * 3
    said = [json.loads((collected / f"host{number}.json").read_text()) for number in (1, 2, 3)]
    assert [one["units"][0]["state"] for one in said] == ["not calibrated"] * 3


def test_a_second_run_changes_nothing(three: ThreeHosts) -> None:
    ran = three.play()
    assert ran.code == 0, ran.text
    assert ran.changed == {"host1": 0, "host2": 0, "host3": 0}


def test_what_needs_a_restart_is_reported_and_restarted_only_if_asked_for(three: ThreeHosts) -> None:
    host = three.hosts[1]
    host.systemctl("start", UNIT)
    host.calibrated(UNIT, "64")
    host.wait_for_file(UNIT)
    started = host.show(UNIT, "InvocationID")
    assert three.play("--limit", "host2").code == 0
    assert host.show(UNIT, "InvocationID") == started
    ran = three.play("--limit", "host2", graviton_agent_restart=True)
    assert ran.code == 0, ran.text
    assert host.told(UNIT) == "64"


def test_a_unit_that_is_named_no_more_loses_its_section(three: ThreeHosts) -> None:
    ran = three.play("--limit", "host3", graviton_agent_units={})
    assert ran.code == 0, ran.text
    assert three.has_section() == [True, True, False]
