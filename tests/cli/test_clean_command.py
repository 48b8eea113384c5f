"""`clean`: what is only this host's goes, what the operator has said stays."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from graviton_agent.control import cleaning
from graviton_agent.errors import AgentError
from graviton_agent.installed import STATE
from graviton_agent.profiles.fleet_folders import IMPORTED
from graviton_agent.profiles.reverts import RevertStore
from graviton_agent.root import Root
from tests.cli.command import Command
from tests.control.machine import Managed, managed_machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Managed:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    machine = managed_machine(tmp_path / "image")
    machine.calibrated()
    machine.host.tree.write(f"{STATE[1:]}/records/20261123T080000Z-00000000.json", "{}")
    machine.host.tree.write("run/graviton-agent/environment/llm.service.env", "A=b\n")
    RevertStore(machine.store.state).revert("old.service", datetime.now(UTC))
    return machine


def left(machine: Managed) -> set[str]:
    state = machine.store.state
    return {str(path.relative_to(state)) for path in state.rglob("*") if path.is_file()}


def test_what_is_only_this_hosts_goes(command: Command, machine: Managed) -> None:
    command("clean", f"--root={machine.root.path}")
    assert left(machine) == {"reverted/old.service"}
    assert machine.environment() is None


def test_results_can_be_kept_for_the_fleet(command: Command, machine: Managed) -> None:
    out = command("clean", "--keep-results", f"--root={machine.root.path}").out
    (kept,) = left(machine) - {"reverted/old.service", "lock"}
    assert kept.startswith(f"{Path(IMPORTED).name}/c7g.xlarge-llm-2.9.1--")
    assert f"kept as {machine.store.state / kept}" in out


def test_a_dry_run_removes_nothing(command: Command, machine: Managed) -> None:
    before = left(machine)
    out = command("clean", "--dry-run", f"--root={machine.root.path}").out
    assert f"would be removed: {machine.store.folder}" in out
    assert left(machine) == before


def test_cleaned_twice_there_is_nothing_to_remove(command: Command, machine: Managed) -> None:
    command("clean", f"--root={machine.root.path}")
    assert command("clean", f"--root={machine.root.path}").out == "nothing was to be removed\n"


def test_a_running_agent_would_make_it_all_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "ENVIRONMENT", str(tmp_path))
    with pytest.raises(AgentError, match="the agent is running"):
        cleaning.require_stopped(Root())
