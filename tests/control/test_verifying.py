"""What runs against what is in place."""

import pytest

from graviton_agent.control.verifying import exit_code, still_changed, verify_unit
from graviton_agent.control.writing import apply, revert
from graviton_agent.errors import ExitCode
from graviton_agent.units.verify import Sync, Verification
from tests.control.machine import Managed
from tests.control.systemd import running
from tests.profiles.host import install_torch

BOTH = {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}


def verified(machine: Managed) -> tuple[Verification, ExitCode]:
    """What verify finds, and its exit code."""
    scene = machine.scene
    pairs = [(outlook, verify_unit(scene, outlook)) for outlook in scene.select([])]
    return pairs[0][1], exit_code(pairs)


@pytest.fixture
def applied(machine: Managed) -> Managed:
    """The machine with an environment in place."""
    machine.calibrated()
    apply(machine.scene, [])
    return machine


def test_a_unit_that_does_not_run_is_fine(applied: Managed) -> None:
    found, code = verified(applied)
    assert (found.sync, code) == (Sync.NOT_RUNNING, ExitCode.OK)


def test_a_process_that_has_what_is_in_place_is_in_sync(applied: Managed) -> None:
    applied.start(**BOTH)
    found, code = verified(applied)
    assert (found.sync, code) == (Sync.IN_SYNC, ExitCode.OK)
    assert [key.actual for key in found.keys] == ["BF16", "64"]


def test_one_that_was_started_before_needs_a_restart(applied: Managed) -> None:
    applied.start()
    assert verified(applied)[1] is ExitCode.RESTART_NEEDED


def test_one_whose_environment_was_taken_back_needs_a_restart_too(applied: Managed) -> None:
    applied.start(**BOTH)
    revert(applied.scene, [])
    assert verified(applied)[1] is ExitCode.RESTART_NEEDED


def test_what_somebody_else_decides_is_drift(applied: Managed) -> None:
    applied.start(**{**BOTH, "DNNL_DEFAULT_FPMATH_MODE": "STRICT"})
    unit = applied.bus.units["llm.service"]
    applied.bus.add({**unit, "Environment": ("as", ["DNNL_DEFAULT_FPMATH_MODE=STRICT"])})
    found, code = verified(applied)
    assert (found.sync, code) == (Sync.OVERRIDDEN, ExitCode.DRIFT)
    assert found.keys[0].source == "Environment="


def test_what_a_program_has_written_over_can_not_be_told_and_is_fine(applied: Managed) -> None:
    applied.start(**BOTH)
    applied.overwrite()
    found, code = verified(applied)
    assert (found.sync, code) == (Sync.UNTOLD, ExitCode.OK)


def test_a_unit_that_is_restarted_while_it_is_looked_at_is_looked_at_again(applied: Managed) -> None:
    scene = applied.scene
    applied.bus.add({**applied.bus.units["llm.service"], **running(99)})
    (outlook,) = scene.select([])
    applied.start(**BOTH)
    assert verify_unit(scene, outlook).sync is Sync.IN_SYNC


def test_a_stale_profile_is_told_where_all_else_is_fine(applied: Managed) -> None:
    install_torch(applied.host.tree, "2.10.0")
    apply(applied.scene, [])
    applied.start()
    found, code = verified(applied)
    assert (found.sync, code) == (Sync.IN_SYNC, ExitCode.STALE)


def test_what_a_template_gives_is_expected_of_its_instances(machine: Managed) -> None:
    machine.manage("embed@1.service")
    machine.calibrated("embed@1.service")
    apply(machine.scene, [])
    own = machine.host.tree.root / "run/graviton-agent/environment/embed@1.service.env"
    own.unlink()
    machine.start("embed@1.service", **BOTH)
    (found, _) = verified(machine)
    assert (found.unit, found.sync) == ("embed@1.service", Sync.IN_SYNC)
    assert len(found.keys) == 2


def test_a_unit_that_was_disabled_is_told_to_run_on_with_its_variables(applied: Managed) -> None:
    applied.start(**BOTH)
    assert still_changed(applied.scene, "llm.service") == ["llm.service"]
    applied.start()
    assert still_changed(applied.scene, "llm.service") == []


def test_so_are_the_instances_of_a_template(machine: Managed) -> None:
    machine.manage("embed@1.service")
    machine.start("embed@1.service", **BOTH)
    assert still_changed(machine.scene, "embed@.service") == ["embed@1.service"]
