"""Putting environments in place, taking them back, and keeping new profiles."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from graviton_agent.control.scene import exit_code
from graviton_agent.control.writing import apply, keep, revert, settle, withdraw
from graviton_agent.errors import AgentError, ExitCode, StateError
from graviton_agent.installed import SERVICE
from graviton_agent.profiles.application import State
from tests.control.machine import Managed
from tests.control.systemd import missing, properties
from tests.profiles.host import install_torch, managed
from tests.profiles.test_profile import KEEP

ONE, TWO, TEMPLATE = "embed@1.service", "embed@2.service", "embed@.service"
NOW = datetime.now(UTC)
BF16 = ["DNNL_DEFAULT_FPMATH_MODE=BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM=64"]


@pytest.fixture
def instances(machine: Managed) -> Managed:
    """The machine with two instances of a template that are loaded."""
    machine.manage(ONE)
    machine.manage(TWO)
    return machine


def test_what_follows_from_a_profile_is_put_in_place(machine: Managed) -> None:
    machine.calibrated()
    (outlook,) = apply(machine.scene, [])
    assert machine.variables() == BF16
    assert (outlook.before, list(outlook.after.items())) == ({}, [tuple(pair.split("=")) for pair in BF16])


def test_put_in_place_again_nothing_changes(machine: Managed) -> None:
    # A file says no more than two decimals of a gain.
    machine.calibrated(gain=1.312345, gain_interval=(1.2812345, 1.345678))
    apply(machine.scene, [])
    (outlook,) = apply(machine.scene, [])
    assert not outlook.changes
    assert not outlook.renews


def test_a_stale_profile_takes_its_file_away(machine: Managed) -> None:
    machine.calibrated()
    apply(machine.scene, [])
    install_torch(machine.host.tree, "2.10.0")
    (outlook,) = apply(machine.scene, [])
    assert machine.environment() is None
    assert exit_code([outlook]) is ExitCode.STALE


def test_a_file_of_somebody_elses_is_replaced(machine: Managed) -> None:
    machine.calibrated()
    machine.host.tree.write("run/graviton-agent/environment/llm.service.env", "LD_PRELOAD=/a\n")
    apply(machine.scene, [])
    assert machine.variables() == BF16


def test_the_file_of_a_unit_that_is_managed_no_more_is_removed(machine: Managed) -> None:
    machine.calibrated()
    apply(machine.scene, [])
    machine.host.tree.write("etc/graviton-agent/conf.d/20-llm.service.toml", "")
    (outlook,) = apply(machine.scene, [])
    assert machine.environment() is None
    assert outlook.state is State.UNMANAGED


def test_what_a_change_of_the_units_files_has_outdated_is_renewed(machine: Managed) -> None:
    machine.calibrated()
    apply(machine.scene, [])
    path = "/etc/systemd/system/llm.service.d/restart.conf"
    machine.host.tree.write(path[1:], "[Service]\nRestart=always\n")
    machine.bus.add(properties("llm.service", DropInPaths=("as", [path])))
    (outlook,) = apply(machine.scene, [])
    assert outlook.renews
    assert "file /etc/systemd/system/llm.service.d = absent" not in (machine.environment() or "")
    assert not apply(machine.scene, [])[0].renews


def test_other_units_are_left_alone(machine: Managed) -> None:
    machine.manage("other.service")
    machine.calibrated("other.service")
    machine.calibrated()
    apply(machine.scene, ["llm.service"])
    assert machine.environment("other.service") is None


def test_a_reverted_unit_has_no_file_and_stays_so(machine: Managed) -> None:
    machine.calibrated()
    apply(machine.scene, [])
    (outlook,) = revert(machine.scene, ["llm.service"])
    assert dict(outlook.before) == dict(pair.split("=") for pair in BF16)
    assert machine.environment() is None
    assert apply(machine.scene, [])[0].state is State.REVERTED
    assert machine.environment() is None


def test_applied_by_its_name_it_is_taken_up_again(machine: Managed) -> None:
    machine.calibrated()
    revert(machine.scene, [])
    apply(machine.scene, ["llm.service"])
    assert machine.variables() == BF16


def test_a_new_calibration_takes_it_up_again(machine: Managed) -> None:
    profile = machine.calibrated()
    revert(machine.scene, [])
    kept = keep(machine.scene, profile, reverted=machine.scene.reverts.read().of("llm.service"))
    assert kept is not None
    assert kept.state is State.APPLIED
    assert machine.variables() == BF16


def test_without_names_all_units_are_reverted(machine: Managed) -> None:
    machine.manage("other.service")
    for name in ("llm.service", "other.service"):
        machine.calibrated(name)
    apply(machine.scene, [])
    assert {outlook.state for outlook in revert(machine.scene, [])} == {State.REVERTED}


def test_what_was_reverted_while_it_was_calibrated_stays_so(machine: Managed) -> None:
    profile = machine.calibrated()
    revert(machine.scene, ["llm.service"])
    kept = keep(machine.scene, profile, reverted=None)
    assert kept is not None
    assert kept.state is State.REVERTED
    assert machine.environment() is None


def test_a_reverted_unit_stays_so_whatever_changes(machine: Managed) -> None:
    machine.calibrated()
    revert(machine.scene, ["llm.service"])

    def another_kernel() -> None:
        machine.host.tree.write("proc/sys/kernel/osrelease", "6.18.0\n")

    def another_torch() -> None:
        install_torch(machine.host.tree, "2.10.0")

    def another_boot() -> None:
        machine.host.tree.write("proc/sys/kernel/random/boot_id", "3b1fd4e0-0000-4000-8000-000000000000\n")

    def another_profile() -> None:
        machine.calibrated(environment={"OMP_NUM_THREADS": "4"})

    def no_profile() -> None:
        machine.store.remove("llm.service")

    for change in (another_kernel, another_torch, another_boot, another_profile, no_profile):
        change()
        (outlook,) = apply(machine.scene, [])
        assert (outlook.state, machine.environment()) == (State.REVERTED, None)


@pytest.mark.parametrize("results", [None, KEEP])
def test_a_unit_with_nothing_to_take_back_is_reverted_for_what_may_come(
    machine: Managed, results: dict[str, Any] | None
) -> None:
    if results:
        machine.calibrated(**results)
    (outlook,) = revert(machine.scene, ["llm.service"])
    assert outlook.state is State.REVERTED
    machine.calibrated()
    assert apply(machine.scene, [])[0].state is State.REVERTED


def test_a_word_that_can_not_be_read_counts_as_reverted(machine: Managed) -> None:
    machine.calibrated()
    machine.host.tree.write("var/lib/graviton-agent/reverted/llm.service", "\xff\n")
    assert apply(machine.scene, [])[0].state is State.REVERTED
    apply(machine.scene, ["llm.service"])
    assert machine.variables() == BF16


def test_a_state_directory_of_somebody_elses_is_not_believed(
    machine: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.calibrated()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StateError, match="belongs to user"):
        _ = machine.scene


def test_a_profile_that_is_kept_replaces_the_former_one(machine: Managed) -> None:
    machine.calibrated()
    apply(machine.scene, [])
    kept = keep(machine.scene, machine.calibrated(**KEEP), reverted=None)
    assert kept is not None
    assert kept.state is State.DEFAULT
    assert machine.environment() is None


def test_the_profile_of_a_unit_that_is_managed_no_more_is_kept_for_later(machine: Managed) -> None:
    profile = machine.calibrated()
    machine.store.remove("llm.service")
    machine.host.tree.write("etc/graviton-agent/conf.d/20-llm.service.toml", "")
    assert keep(machine.scene, profile, reverted=None) is None
    assert machine.store.read("llm.service") == profile
    assert machine.environment() is None


def test_a_consent_that_is_withdrawn_takes_its_file_away_at_once(machine: Managed) -> None:
    machine.calibrated()
    apply(machine.scene, [])
    machine.manage("llm.service", '[units."llm.service"]\nallow_bf16 = false\n')
    outlook = settle(machine.scene, "llm.service")
    assert outlook is not None
    assert outlook.state is State.STALE
    assert machine.environment() is None


def test_a_new_section_leaves_reverted_what_was(machine: Managed) -> None:
    machine.calibrated()
    revert(machine.scene, [])
    settle(machine.scene, "llm.service")
    assert machine.environment() is None


# Templates


def test_a_templates_new_section_concerns_all_its_instances(instances: Managed) -> None:
    instances.calibrated(ONE)
    apply(instances.scene, [])
    instances.host.tree.write(f"etc/graviton-agent/conf.d/20-{TEMPLATE}.toml", f'[units."{TEMPLATE}"]\n')
    assert settle(instances.scene, TEMPLATE) is None
    assert [instances.environment(name) for name in (ONE, TWO, TEMPLATE)] == [None, None, None]


def test_the_profile_of_one_instance_serves_its_siblings_and_those_to_come(instances: Managed) -> None:
    instances.calibrated(ONE)
    apply(instances.scene, [ONE])
    assert instances.variables(ONE) == instances.variables(TWO) == instances.variables(TEMPLATE) == BF16


def test_reverting_one_leaves_its_siblings_what_they_have(instances: Managed) -> None:
    instances.calibrated(ONE)
    apply(instances.scene, [ONE])
    revert(instances.scene, [ONE])
    assert instances.environment(ONE) is None
    assert instances.environment(TEMPLATE) is None
    assert instances.variables(TWO) == BF16


def test_reverting_one_without_a_profile_of_its_own_leaves_the_profiles_owner_alone(
    instances: Managed,
) -> None:
    profile = instances.calibrated(ONE)
    revert(instances.scene, [TWO])
    assert instances.store.read(ONE) == profile
    assert instances.environment(TWO) is None
    assert instances.variables(ONE) == BF16


@pytest.mark.parametrize("change", ["6.18.0", "6.1.0"])
def test_a_reverted_instance_lives_on_nothing_of_its_siblings(instances: Managed, change: str) -> None:
    """Neither when its own profile is out of date and a sibling's is not, nor through its template's file."""
    instances.calibrated(ONE)
    revert(instances.scene, [ONE])
    instances.host.tree.write("proc/sys/kernel/osrelease", f"{change}\n")
    instances.calibrated(TWO)
    apply(instances.scene, [])
    assert instances.variables(TWO) == BF16
    assert [instances.environment(name) for name in (ONE, TEMPLATE)] == [None, None]


def test_a_reverted_template_takes_it_from_all_instances_and_those_to_come(instances: Managed) -> None:
    instances.calibrated(ONE)
    apply(instances.scene, [])
    found = revert(instances.scene, [TEMPLATE])
    assert [(outlook.name, outlook.state) for outlook in found] == [
        (ONE, State.REVERTED),
        (TWO, State.REVERTED),
    ]
    instances.manage("embed@3.service")
    instances.calibrated("embed@3.service")
    apply(instances.scene, [])
    names = (ONE, TWO, "embed@3.service", TEMPLATE)
    assert [instances.environment(name) for name in names] == [None] * 4


def test_one_instance_of_a_reverted_template_can_be_taken_up_and_the_rest_with_the_template(
    instances: Managed,
) -> None:
    instances.calibrated(ONE)
    revert(instances.scene, [TEMPLATE])
    apply(instances.scene, [ONE])
    assert instances.variables(ONE) == BF16
    assert [instances.environment(name) for name in (TWO, TEMPLATE)] == [None, None]
    apply(instances.scene, [TEMPLATE])
    assert instances.variables(ONE) == instances.variables(TWO) == instances.variables(TEMPLATE) == BF16


def test_a_template_that_is_reverted_ends_what_was_said_of_its_instances(instances: Managed) -> None:
    instances.calibrated(ONE)
    revert(instances.scene, [TEMPLATE])
    apply(instances.scene, [ONE])
    revert(instances.scene, [TEMPLATE])
    assert instances.environment(ONE) is None


def test_all_that_is_managed_can_be_reverted_with_the_instances_to_come(instances: Managed) -> None:
    instances.calibrated(ONE)
    instances.calibrated()
    apply(instances.scene, [])
    revert(instances.scene, [])
    instances.manage("embed@3.service")
    apply(instances.scene, [])
    assert instances.variables("embed@3.service") == []
    assert {outlook.state for outlook in instances.scene.select([])} == {State.REVERTED}


def test_an_instance_that_differs_keeps_the_template_from_having_a_file(instances: Managed) -> None:
    instances.calibrated(ONE)
    apply(instances.scene, [])
    instances.bus.add(properties(TWO, CPUQuotaPerSecUSec=("t", 1_000_000)))
    apply(instances.scene, [])
    assert instances.variables(ONE) == BF16
    assert instances.environment(TWO) is None
    assert instances.environment(TEMPLATE) is None


def test_an_instance_that_nobody_has_loaded_is_known_by_its_profile(machine: Managed) -> None:
    machine.manage(ONE)
    machine.calibrated(ONE)
    machine.bus.units.pop(ONE)
    machine.bus.add(missing(ONE))
    assert [outlook.name for outlook in machine.scene.select([])] == [ONE, "llm.service"]


def test_the_files_of_a_template_that_is_managed_no_more_are_withdrawn(instances: Managed) -> None:
    instances.calibrated(ONE)
    instances.calibrated()
    apply(instances.scene, [])
    instances.host.tree.write(f"etc/graviton-agent/conf.d/20-{TEMPLATE}.toml", "")
    withdraw(instances.scene, TEMPLATE)
    assert [instances.environment(name) for name in (ONE, TWO, TEMPLATE)] == [None, None, None]
    assert instances.variables() == BF16


def test_an_instance_that_is_managed_no_more_leaves_its_siblings_alone(instances: Managed) -> None:
    instances.calibrated(ONE)
    apply(instances.scene, [])
    instances.host.tree.write("etc/graviton-agent/conf.d/30-two.toml", f'[units."{TWO}"]\nenabled = false\n')
    withdraw(instances.scene, TWO)
    assert instances.environment(TWO) is None
    assert instances.variables(ONE) == instances.variables(TEMPLATE) == BF16


def test_the_profiles_that_tests_keep_are_those_of_their_units(machine: Managed) -> None:
    # The helper reads the configuration as the agent does; were it another one, all would be stale.
    host = replace(machine.host, managed=managed())
    assert machine.calibrated().fingerprint == host.profile().fingerprint


# Without the agent


def test_a_new_profile_is_kept_and_put_in_place_only_when_the_agent_is_up(machine: Managed) -> None:
    profile = machine.calibrated()
    machine.agent("inactive")
    outlook = keep(machine.scene, profile, reverted=None)
    assert outlook is not None
    assert (outlook.state, outlook.changes, outlook.is_agent_up) == (State.APPLIED, False, False)
    assert machine.environment() is None
    machine.agent("active")
    apply(machine.scene, [])
    assert machine.variables() == BF16


@pytest.mark.parametrize("state", ["inactive", "failed", "deactivating"])
def test_nothing_can_be_applied_while_the_agent_is_not_up(machine: Managed, state: str) -> None:
    machine.calibrated()
    machine.agent(state)
    with pytest.raises(AgentError, match="isn't running") as caught:
        apply(machine.scene, [])
    assert caught.value.hint == "systemctl start graviton-agent"
    assert machine.environment() is None


def test_what_a_killed_and_masked_agent_has_left_goes_with_the_next_command(machine: Managed) -> None:
    machine.calibrated()
    apply(machine.scene, [])
    machine.bus.add(properties(SERVICE, ActiveState=("s", "failed"), LoadState=("s", "masked")))
    settle(machine.scene, "llm.service")
    assert machine.environment() is None
