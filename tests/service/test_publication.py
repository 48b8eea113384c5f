"""What the daemon reads of units' processes for its metrics, which a unit may make as many of as it likes."""

import time
from typing import Any

import pytest

from graviton_agent.installed import ENVIRONMENT, METRICS
from graviton_agent.service import publication
from graviton_agent.service.publication import SETTLE_SECONDS
from graviton_agent.service.upkeep import Upkeep
from graviton_agent.units import environment_file
from graviton_agent.units.processes import POLL_SECONDS
from graviton_agent.units.verify import Verification, verify
from tests.control.machine import UNIT, Managed
from tests.service.daemon import make_upkeep

FIRST, SECOND = "embed@1.service", "embed@2.service"
OTHER = "web.service"


@pytest.fixture
def upkeep(machine: Managed) -> Upkeep:
    (machine.root.path / METRICS[1:]).mkdir(parents=True)
    return make_upkeep(machine)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The units whose processes were looked at."""
    names = []

    def note(unit: Any, *arguments: Any, **options: Any) -> Verification:
        names.append(unit.name)
        return verify(unit, *arguments, **options)

    monkeypatch.setattr(publication, "verify", note)
    return names


def text(machine: Managed) -> str:
    return (machine.root.path / METRICS[1:] / "graviton-agent.prom").read_text()


def test_only_units_that_were_looked_at_are_verified_anew(
    machine: Managed, upkeep: Upkeep, verified: list[str]
) -> None:
    machine.manage(OTHER)
    machine.start(UNIT)
    machine.start(OTHER)
    upkeep.look()
    upkeep.publish()
    assert verified == [UNIT, OTHER]
    upkeep.look(frozenset({OTHER}))
    upkeep.publish()
    assert verified == [UNIT, OTHER, OTHER]
    assert f'in_sync{{unit="{UNIT}"}} 1' in text(machine)


def test_a_look_at_everything_verifies_all(machine: Managed, upkeep: Upkeep, verified: list[str]) -> None:
    machine.start(UNIT)
    for _ in range(2):
        upkeep.look()
        upkeep.publish()
    assert verified == [UNIT, UNIT]


def test_an_instance_whose_template_gives_it_something_else_is_verified_anew(
    machine: Managed, upkeep: Upkeep, verified: list[str]
) -> None:
    machine.manage(FIRST)
    machine.calibrated(FIRST)
    machine.start(FIRST)
    upkeep.look()
    upkeep.publish()
    verified.clear()
    for name in (FIRST, "embed@.service"):
        environment_file.remove(machine.root.path / ENVIRONMENT[1:], name)
    upkeep.publish()
    assert verified == [FIRST]


def test_a_unit_that_is_gone_is_told_of_no_more(machine: Managed, upkeep: Upkeep) -> None:
    machine.manage(OTHER)
    upkeep.look()
    upkeep.publish()
    (machine.root.path / f"etc/graviton-agent/conf.d/20-{OTHER}.toml").unlink()
    upkeep.look()
    upkeep.publish()
    assert OTHER not in text(machine)


def test_units_whose_processes_never_show_an_environment_share_one_short_wait(
    machine: Managed, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        machine.manage(f"silent-{number}.service")
        machine.start(f"silent-{number}.service")
    machine.overwrite(b"")
    upkeep.look()
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    upkeep.publish()
    assert now[0] <= SETTLE_SECONDS + POLL_SECONDS
    assert 'in_sync{unit="silent-' not in text(machine)
