"""Fleet profiles as files: what they carry, what they leave behind, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.errors import StateError
from graviton_agent.profiles.fleet_profile import key_in, leave_host, parse_fleet_profile
from tests.profiles.fleet import Fleet, make_fleet
from tests.profiles.host import AgentHost, managed
from tests.profiles.test_profile import KEEP


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path)


def test_what_was_written_is_read(host: AgentHost) -> None:
    found = leave_host(host.profile())
    assert parse_fleet_profile(found.to_json().encode()) == found


def test_only_the_layout_travels_of_what_is_one_hosts_alone(host: AgentHost) -> None:
    found = leave_host(host.profile(record="/var/lib/graviton-agent/records/x.json"))
    assert set(found.layout) == {"python", "location", "search"}
    assert found.shared == host.profile().fingerprint.shared
    assert found.profile.record is None


def test_that_the_default_is_best_travels_too(host: AgentHost) -> None:
    assert leave_host(host.profile(**KEEP)).profile.outcome is Outcome.KEEP


def test_a_result_that_says_nothing_does_not_travel(host: AgentHost) -> None:
    with pytest.raises(StateError, match="inconclusive"):
        leave_host(host.profile(**{**KEEP, "outcome": Outcome.INCONCLUSIVE}))


def test_the_name_says_what_it_is_for_and_ends_with_its_key(host: AgentHost) -> None:
    found = leave_host(host.profile())
    assert found.name == f"c7g.xlarge-llm-2.9.1--{found.key}.json"
    assert key_in(found.name) == found.key


def test_the_same_workload_has_the_same_key_whatever_torch(fleet: Fleet) -> None:
    before = fleet.found().key
    fleet.golden.tree.write("proc/sys/kernel/osrelease", "6.12.0\n")
    assert fleet.found().key == before
    fleet.golden.managed = managed(batches=None, preset="llama")
    assert fleet.found().key != before


@pytest.mark.parametrize("name", ["a.json", "a--0123.json", ".a--0123456789abcdef.json", "lock"])
def test_other_files_have_no_key(name: str) -> None:
    assert key_in(name) is None


def spoiled(host: AgentHost, **values: Any) -> bytes:
    return json.dumps({**json.loads(leave_host(host.profile()).to_json()), **values}).encode()


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"kind": "fleet profile 9"}, "another version's"),
        ({"environment": {"LD_PRELOAD": "/tmp/x.so"}}, "no variable that a setting writes"),
        ({"environment": {"DNNL_DEFAULT_FPMATH_MODE": "BF16\nLD_PRELOAD=/tmp/x"}}, "a text is expected"),
        ({"environment": {"DNNL_DEFAULT_FPMATH_MODE": "$(reboot)"}}, "no value for"),
        ({"unit": "../../etc/passwd"}, "no name of a service"),
        ({"gain": 1e9}, "has no gain"),
        ({"gain": "NaN"}, "has no gain"),
        ({"shared": {}}, "doesn't say for which"),
        ({"shared": []}, "a table of texts"),
        ({"layout": {"python": "/usr/bin/python3"}}, "doesn't say what"),
        ({"calibrated": "2026-11-23"}, "without its zone"),
        ({"surprise": 1}, "says more"),
    ],
)
def test_nothing_in_it_is_trusted(host: AgentHost, values: dict[str, Any], what: str) -> None:
    with pytest.raises(StateError, match=what):
        parse_fleet_profile(spoiled(host, **values))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_profile_is_told(content: bytes) -> None:
    with pytest.raises(StateError):
        parse_fleet_profile(content)
