"""A unit is calibrated in its cage with real torch, and what is found is kept and put in place."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graviton_agent.errors import ExitCode
from graviton_agent.installed import SERVICE, STATE
from graviton_agent.profiles.profile import Profile, parse_profile
from graviton_agent.record import Record, read_record
from tests.systemd.installed import AgentHost, boot_host, folder_of
from tests.systemd.rootfs import Release

torch = pytest.importorskip("torch")

UNIT = "llm.service"
SERVE = """[Service]
Type=exec
User=app
CPUAffinity=0
Environment=PYTHONPATH=/opt/torch OMP_PROC_BIND=true
ExecStart=/usr/bin/python3 -c 'import time; time.sleep(3600)'
"""
CONFIGURATION = f"""[units."{UNIT}"]
layers = "64x64,64x10"
batches = "4,16"
budget = "30s"
calibrate = "manual"
"""


@pytest.fixture(scope="module")
def host(release: Release) -> Iterator[AgentHost]:
    """A host whose unit has run a calibration, and was started anew."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if release.python != own:
        pytest.skip(f"{release.name} has Python {release.python}, and the torch of these tests is for {own}")
    bind = [(folder_of("torch").parent, "/opt/torch")]
    with boot_host(release, units={UNIT: SERVE}, configuration=CONFIGURATION, bind=bind) as booted:
        booted.run("useradd", "--system", "app")
        booted.systemctl("start", SERVICE, UNIT)
        done = booted.attempt("graviton-agent", "calibrate", UNIT, "--seed", "1")
        assert done.returncode == ExitCode.OK, done.stderr
        booted.systemctl("restart", UNIT)
        yield booted


@pytest.fixture(scope="module")
def profile(host: AgentHost) -> Profile:
    """What was kept of it."""
    return parse_profile(host.path(f"{STATE}/profiles/{UNIT}.json").read_bytes())


@pytest.fixture(scope="module")
def record(host: AgentHost, profile: Profile) -> Record:
    """What was measured."""
    assert profile.record is not None
    return read_record(Path(host.path(profile.record)))


def test_the_torch_that_the_unit_loads_was_measured(record: Record) -> None:
    assert record.torch.version == torch.__version__
    assert record.torch.location == "/opt/torch/torch"
    assert record.torch.interpreter == "/usr/bin/python3"


def test_on_the_cpus_that_the_unit_has(record: Record, profile: Profile) -> None:
    assert record.host.usable_cpus == (0,)
    assert record.torch.default_threads == 1
    assert profile.fingerprint.local["cpus"] == "1"


def test_the_profile_knows_the_torch_by_its_files(profile: Profile) -> None:
    assert profile.fingerprint.shared["torch"] == torch.__version__
    assert profile.fingerprint.local["location"] == "/opt/torch/torch"


def test_what_the_unit_sets_is_part_of_what_the_result_holds_for(profile: Profile) -> None:
    assert profile.fingerprint.shared["held"] == "OMP_PROC_BIND=true"
    assert profile.fingerprint.local["search"] == "PYTHONPATH=/opt/torch"


def test_the_profile_says_what_the_record_decided(record: Record, profile: Profile) -> None:
    assert profile.outcome is record.decision.outcome
    assert profile.environment == record.decision.environment
    assert profile.gain_interval == record.decision.gain_interval


def test_it_holds_after_the_calibration(host: AgentHost, profile: Profile) -> None:
    found = json.loads(host.run("graviton-agent", "status", "--json"))
    (unit,) = found["units"]
    assert unit["state"] in {"applied", "default", "inconclusive"}
    assert unit["environment"] == profile.environment
    assert unit["sync"] == "in sync"


def test_nothing_is_left_of_it(host: AgentHost) -> None:
    assert host.systemctl("list-units", "--all", "--no-legend", "*graviton_agent_*", "*-trial-*") == ""
    assert "withdrew" not in host.journal(UNIT)
