"""The Ansible role on three booted hosts with addresses of their own, over ssh.

The agent is installed as the other tests install it; tests/packaging/test_ansible.py has the role install it.
"""

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from graviton_agent.installed import SERVICE
from tests.ansible.control import PROGRAMS, REASON, ROLE, SERVE, UNIT, Fleet, reached_by_ssh
from tests.systemd.installed import AgentHost, boot_host
from tests.systemd.rootfs import BOOKWORM

pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet[AgentHost]]:
    with ExitStack() as stack:
        hosts = [
            stack.enter_context(
                boot_host(BOOKWORM, units={UNIT: SERVE}, configuration="", more="openssh-server")
            )
            for _ in range(3)
        ]
        fleet = stack.enter_context(reached_by_ssh(hosts, tmp_path_factory.mktemp("control")))
        fleet.variables = {"graviton_agent_install": "none"}
        yield fleet


def test_a_section_is_toml_whatever_the_unit_is_called(tmp_path: Path) -> None:
    item = {"key": r"a-b\x2dc@.service", "value": {"pin": {"OMP_NUM_THREADS": "2"}, "forbid": ["bf16"]}}
    source, target = ROLE / "roles/graviton_agent/templates/unit.toml.j2", tmp_path / "unit.toml"
    template = ("-m", "ansible.builtin.template", "-a", f"src={source} dest={target}")
    command = (str(PROGRAMS / "ansible"), "localhost", *template, "-e", json.dumps({"item": item}))
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert tomllib.loads(target.read_text()) == {"units": {item["key"]: item["value"]}}


def test_check_mode_changes_nothing(three: Fleet[AgentHost]) -> None:
    ran = three.play("--check", graviton_agent_units={UNIT: {"calibrate": "manual"}})
    assert ran.code == 0, ran.text
    assert three.has_section() == [False] * 3
    assert [host.attempt("systemctl", "is-active", SERVICE).returncode for host in three.hosts] == [3, 3, 3]


def test_a_failing_canary_stops_everything_after_it(three: Fleet[AgentHost]) -> None:
    canary = three.hosts[0]
    canary.systemctl("mask", "--runtime", SERVICE)
    ran = three.play(graviton_agent_units={UNIT: {"calibrate": "manual"}})
    canary.systemctl("unmask", "--runtime", SERVICE)
    assert ran.code != 0
    assert three.has_section() == [True, False, False], ran.text


def test_a_section_that_is_wrong_fails_at_the_canary(three: Fleet[AgentHost]) -> None:
    ran = three.play(graviton_agent_units={UNIT: {"calibrate": "sometimes"}})
    assert ran.code != 0
    assert "Check the configuration" in ran.text
    assert three.has_section()[1:] == [False, False], ran.text


def test_all_hosts_are_configured_started_and_verified(three: Fleet[AgentHost]) -> None:
    collected = three.folder / "collected"
    collected.mkdir()
    units = {UNIT: {"calibrate": "manual", "pin": {"OMP_NUM_THREADS": "2"}, "allow_bf16": True}}
    three.variables |= {"graviton_agent_units": units, "graviton_agent_collect": str(collected)}
    ran = three.play()
    assert ran.code == 0, ran.text
    assert [host.show(SERVICE, "ActiveState") for host in three.hosts] == ["active"] * 3
    said = [json.loads((collected / f"host{number}.json").read_text()) for number in (1, 2, 3)]
    assert [one["units"][0]["state"] for one in said] == ["not calibrated"] * 3


def test_a_second_run_changes_nothing(three: Fleet[AgentHost]) -> None:
    ran = three.play()
    assert ran.code == 0, ran.text
    assert ran.changed == {"host1": 0, "host2": 0, "host3": 0}


def test_what_needs_a_restart_is_reported_and_restarted_only_if_asked_for(three: Fleet[AgentHost]) -> None:
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


def test_a_unit_that_is_named_no_more_loses_its_section(three: Fleet[AgentHost]) -> None:
    ran = three.play("--limit", "host3", graviton_agent_units={})
    assert ran.code == 0, ran.text
    assert three.has_section() == [True, True, False]
