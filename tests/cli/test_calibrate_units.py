"""`graviton-agent calibrate UNIT`, as its user meets it; what is measured is made up."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.cli import calibrate_units as calibrate_module
from graviton_agent.control.calibration import Calibrated
from graviton_agent.errors import AgentError, ExitCode
from tests.cli.command import Command, failed
from tests.control.machine import Managed
from tests.control.systemd import missing
from tests.profiles.test_profile import KEEP
from tests.records import changed

BOTH = {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}


@pytest.fixture
def measured(machine: Managed, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """In place of measuring: results by unit, or errors."""
    results: dict[str, Any] = {}

    def measure(_scene: object, unit: str, wishes: object, narrate: Any) -> Calibrated:
        narrate(f"{unit}: measuring with {wishes}")
        reverted = machine.scene.reverts.read().of(unit)
        result = results.get(unit, {})
        if isinstance(result, AgentError):
            raise result
        result = dict(result)
        meanwhile = result.pop("meanwhile", lambda: None)
        profile = machine.calibrated(unit, **result)
        machine.store.remove(unit)
        meanwhile()
        return Calibrated(changed(), profile, reverted)

    monkeypatch.setattr(calibrate_module, "calibrate_unit", measure)
    return results


def test_a_calibrated_unit_has_a_profile_and_its_environment(
    command: Command, machine: Managed, measured: dict[str, Any]
) -> None:
    assert measured == {}
    result = command("calibrate", "llm.service")
    assert result.code == ExitCode.OK
    assert "    + DNNL_DEFAULT_FPMATH_MODE=BF16\n" in result.out
    assert machine.variables() == [f"{name}={value}" for name, value in BOTH.items()]


def test_a_dry_run_leaves_neither(command: Command, machine: Managed, measured: dict[str, Any]) -> None:
    assert measured == {}
    assert command("calibrate", "llm.service", "--dry-run").out.endswith(
        "  A dry run: there is a record, and no profile.\n"
    )
    assert machine.store.read("llm.service") is None
    assert machine.environment() is None


def test_what_was_measured_is_told_though_a_full_disk_keeps_no_profile(
    command: Command, machine: Managed, measured: dict[str, Any], full_disk: Callable[[], None]
) -> None:
    machine.calibrated(environment={"OMP_NUM_THREADS": "2"})
    command("apply")
    before = machine.store.read("llm.service")
    assert before is not None

    def meanwhile() -> None:
        machine.store.write(before)
        full_disk()

    measured["llm.service"] = {"meanwhile": meanwhile}
    result = command("calibrate", "llm.service")
    assert result.code == ExitCode.FAILED
    assert "Change: 2.00x" in result.out
    path = machine.store.path("llm.service")
    assert result.complaint[0] == f"graviton-agent: can't write {path}: No space left on device"
    assert machine.store.read("llm.service") == before
    assert machine.variables() == ["OMP_NUM_THREADS=2"]
    assert [found.name for found in path.parent.iterdir()] == ["llm.service.json"]


def test_what_torch_calls_its_version_can_not_speak_to_the_terminal(
    command: Command, machine: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.environment() is None
    record = changed()
    hostile = record.model_copy(update={"torch": replace(record.torch, version="2.9\x1b]0;owned\x07\u202e")})

    def measure(_scene: object, unit: str, _wishes: object, narrate: Any) -> Calibrated:
        narrate("torch \x1b[31mis red")
        return Calibrated(hostile, machine.calibrated(unit), None)

    monkeypatch.setattr(calibrate_module, "calibrate_unit", measure)
    result = command("calibrate", "llm.service")
    assert "torch 2.9\\u001b]0;owned\\u0007\\u202e" in result.out
    assert "torch \\u001b[31mis red" in result.err
    result = command("calibrate", "llm.service", "--json")
    assert json.loads(result.out)["torch"]["version"] == "2.9\x1b]0;owned\x07\u202e"
    assert result.out.replace("\n", "").isprintable()


def test_where_the_default_wins_the_former_environment_goes(
    command: Command, machine: Managed, measured: dict[str, Any]
) -> None:
    machine.calibrated()
    command("apply")
    measured["llm.service"] = KEEP
    assert "    - DNNL_DEFAULT_FPMATH_MODE=BF16\n" in command("calibrate", "llm.service").out
    assert machine.environment() is None


def test_a_consent_that_is_withdrawn_meanwhile_counts(
    command: Command, machine: Managed, measured: dict[str, Any]
) -> None:
    refusal = '[units."llm.service"]\nallow_bf16 = false\n'
    measured["llm.service"] = {"meanwhile": lambda: machine.manage("llm.service", refusal)}
    assert "llm.service: stale" in command("calibrate", "llm.service").out
    assert machine.environment() is None


def test_a_unit_that_is_disabled_meanwhile_gets_nothing(
    command: Command, machine: Managed, measured: dict[str, Any]
) -> None:
    disabled = '[units."llm.service"]\nenabled = false\n'
    measured["llm.service"] = {"meanwhile": lambda: machine.manage("llm.service", disabled)}
    assert "llm.service is managed no more" in command("calibrate", "llm.service").out
    assert machine.environment() is None


def test_one_unit_that_fails_costs_the_others_nothing(
    command: Command, machine: Managed, measured: dict[str, Any]
) -> None:
    machine.manage("web.service")
    measured["llm.service"] = AgentError("it has no torch")
    result = command("calibrate", "llm.service", "web.service")
    assert result.code == ExitCode.FAILED
    assert result.complaint == ["graviton-agent: llm.service: it has no torch"]
    assert machine.variables("web.service")


def test_all_names_are_looked_at_before_the_first_is_measured(
    command: Command, machine: Managed, measured: dict[str, Any]
) -> None:
    assert measured == {}
    machine.bus.add(missing("lm.service"))
    failed(command("calibrate", "llm.service", "lm.service"), ExitCode.USAGE, r"there is no unit lm\.service")
    assert machine.store.read("llm.service") is None


def test_the_record_is_printed_as_json(command: Command, machine: Managed, measured: dict[str, Any]) -> None:
    machine.manage("web.service")
    assert measured == {}
    assert "decision" in json.loads(command("calibrate", "llm.service", "--json").out)
    assert set(json.loads(command("calibrate", "llm.service", "web.service", "--json").out)) == {
        "llm.service",
        "web.service",
    }


def test_the_record_is_written_where_one_wants_it(
    command: Command, machine: Managed, measured: dict[str, Any], tmp_path: Path
) -> None:
    machine.manage("web.service")
    assert measured == {}
    command("calibrate", "llm.service", "--output", tmp_path / "record.json")
    assert "decision" in json.loads((tmp_path / "record.json").read_text())
    result = command("calibrate", "llm.service", "web.service", "--output", tmp_path / "record.json")
    failed(result, ExitCode.USAGE, "--output holds one record")


@pytest.mark.parametrize(
    "option",
    ["--python=/a", "--batch=1", "--layers=8x8", "--preset=llama", "--threads=1", "--processes=1",
     "--settings=bf16", "--forbid=bf16", "--min-cosine=0.5", "--memory-margin=1M"],
)  # fmt: skip
def test_what_is_measured_for_a_unit_is_the_configurations_word(command: Command, option: str) -> None:
    name = option.partition("=")[0]
    result = command("calibrate", "llm.service", option)
    failed(result, ExitCode.USAGE, f"{name} can't stand here")
    assert result.complaint[1] == f"hint: graviton-agent enable llm.service {name} ... puts it there"


def test_a_dry_run_is_for_units(command: Command) -> None:
    failed(command("calibrate", "--dry-run"), ExitCode.USAGE, "--dry-run is for units")
