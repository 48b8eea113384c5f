"""Metrics and fleet profiles with the real daemon: nobody asks it for anything."""

from collections.abc import Iterator

import pytest

from graviton_agent.installed import METRICS, SERVICE, STATE
from graviton_agent.profiles.fleet_folders import PACKAGED
from graviton_agent.profiles.fleet_profile import FleetProfile, leave_host
from graviton_agent.profiles.store import ProfileStore
from tests.systemd.installed import AgentHost, boot_host
from tests.systemd.rootfs import Release

UNIT = "llm.service"
SERVE = "[Service]\nType=exec\nExecStart=/opt/app/venv/bin/python -c 'import time; time.sleep(3600)'\n"
CONFIGURATION = f'[units."{UNIT}"]\ncalibrate = "manual"\n'
TEXT = f"{METRICS}/graviton-agent.prom"


@pytest.fixture(scope="module")
def host(release: Release) -> Iterator[AgentHost]:
    with boot_host(release, units={UNIT: SERVE}, configuration=CONFIGURATION) as booted:
        booted.systemctl("start", SERVICE)
        yield booted


def take_away(unit: str) -> FleetProfile:
    """What another host has found, as far as this one can tell."""
    store = ProfileStore()
    profile = store.read(unit)
    assert profile is not None
    store.remove(unit)
    return leave_host(profile)


def test_another_user_reads_the_metrics(host: AgentHost) -> None:
    host.wait(f"test -s {TEXT}")
    words = host.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", TEXT)
    assert f'graviton_agent_unit_info{{unit="{UNIT}",state="not calibrated"}} 1' in words


def test_a_fleets_profile_is_taken_as_soon_as_it_is_there_and_goes_with_its_file(host: AgentHost) -> None:
    host.systemctl("start", UNIT)
    host.calibrated(UNIT, "64")
    host.wait_for_file(UNIT)
    found = host.call(take_away, UNIT)
    host.wait_for_file(UNIT, there=False)
    host.write(f"{PACKAGED}/{found.name}", found.to_json())
    host.wait_for_file(UNIT)
    assert f"{UNIT} takes {PACKAGED}/{found.name}" in host.journal(SERVICE)
    host.wait(f"grep --quiet 'restart_needed.*{UNIT}.* 1$' {TEXT}")
    assert host.restarted(UNIT) == "64"
    host.wait(f"grep --quiet 'in_sync.*{UNIT}.* 1$' {TEXT}")
    host.run("rm", f"{PACKAGED}/{found.name}")
    host.wait_for_file(UNIT, there=False)
    host.run("test", "-e", f"{STATE}/profiles/{UNIT}.json")


def test_the_metrics_go_with_the_agent(host: AgentHost) -> None:
    host.systemctl("stop", SERVICE)
    assert not host.path(TEXT).exists()
