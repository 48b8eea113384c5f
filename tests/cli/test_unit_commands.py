"""The commands about units, as their user meets them: what they print, and their exit codes."""

import errno
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import graviton_agent
from graviton_agent.cli import calibrate_units as calibrate_module
from graviton_agent.control import scene, sections
from graviton_agent.control.calibration import Calibrated
from graviton_agent.errors import AgentError, ExitCode
from graviton_agent.profiles.application import State
from graviton_agent.root import Root
from graviton_agent.units.bus import Bus, BusError
from graviton_agent.units.verify import Sync
from tests.cli.command import Command, failed
from tests.control.machine import Managed, managed_machine
from tests.control.systemd import missing, properties
from tests.profiles.host import install_torch
from tests.profiles.test_profile import KEEP
from tests.records import changed

BOTH = {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}
READING = ["plan", "apply", "verify", "status"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Managed:
    """A Graviton3 with llm.service, in the place of this machine."""
    machine = managed_machine(tmp_path / "root")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Bus, "connect", lambda: machine.bus)
    original = scene.Scene
    monkeypatch.setattr(scene, "Scene", lambda bus, _root: original(bus, machine.root))
    return machine


def test_every_state_and_every_command_is_documented() -> None:
    document = (Path(graviton_agent.__file__).parents[2] / "docs" / "commands.md").read_text()
    states = set(State) - {State.UNMANAGED}
    assert [state for state in states if f"| {state} |" not in document] == []
    assert [sync for sync in Sync if f"| {sync} |" not in document] == []
    commands = ("enable", "disable", "calibrate", "plan", "apply", "revert", "verify", "status")
    assert [name for name in commands if f"| `{name} " not in document] == []


# plan, apply, revert


def test_plan_shows_the_difference_and_writes_nothing(command: Command, machine: Managed) -> None:
    machine.calibrated()
    assert command("plan").out.splitlines() == [
        "  llm.service: at least 1.28x as fast, calibrated on 2026-11-23",
        "    + DNNL_DEFAULT_FPMATH_MODE=BF16",
        "    + TORCH_MKLDNN_MATMUL_MIN_DIM=64",
        "",
        "  1 of 1 would be given something else. `graviton-agent apply` does so; a running unit has it after",
        "  its next restart.",
    ]
    assert machine.environment() is None


def test_apply_does_what_plan_said(command: Command, machine: Managed) -> None:
    machine.calibrated()
    result = command("apply")
    assert result.code == ExitCode.OK
    assert machine.variables() == [f"{name}={value}" for name, value in BOTH.items()]
    assert command("plan").out.endswith("\n\n  Nothing is to be changed.\n")


def test_apply_names_the_units_that_a_restart_would_give_it_to(command: Command, machine: Managed) -> None:
    machine.calibrated()
    machine.start()
    assert "systemctl restart llm.service" in command("apply").out


def test_a_change_shows_what_goes_what_comes_and_what_stays(command: Command, machine: Managed) -> None:
    machine.calibrated(environment={"DNNL_DEFAULT_FPMATH_MODE": "BF16", "OMP_NUM_THREADS": "2"})
    command("apply")
    machine.calibrated(environment={"DNNL_DEFAULT_FPMATH_MODE": "BF16", "OMP_NUM_THREADS": "4"})
    assert command("plan").out.splitlines()[1:4] == [
        "      DNNL_DEFAULT_FPMATH_MODE=BF16",
        "    - OMP_NUM_THREADS=2",
        "    + OMP_NUM_THREADS=4",
    ]


def test_a_stale_profile_says_what_has_changed_and_what_to_do(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    install_torch(machine.host.tree, "2.10.0")
    result = command("plan", "llm.service")
    assert result.code == ExitCode.STALE
    assert result.out.splitlines()[:4] == [
        "  llm.service: stale, torch was 2.9.1, is 2.10.0",
        "    - DNNL_DEFAULT_FPMATH_MODE=BF16",
        "    - TORCH_MKLDNN_MATMUL_MIN_DIM=64",
        "    it is calibrated when the host is quiet, or now by: graviton-agent calibrate llm.service",
    ]


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("manual", "it is calibrated by: graviton-agent calibrate llm.service"),
        ("before-start", "it is calibrated before its next start, or now by: graviton-agent calibrate"),
    ],
)
def test_when_a_unit_is_calibrated_is_its_policys_word(
    command: Command, machine: Managed, when: str, words: str
) -> None:
    machine.manage("llm.service", f'[units."llm.service"]\ncalibrate = "{when}"\n')
    assert words in command("plan").out


def test_elsewhere_than_on_a_graviton_nothing_is_given(command: Command, machine: Managed) -> None:
    machine.calibrated()
    machine.host.tree.write("proc/cpuinfo", "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n")
    for name in ("plan", "apply", "status"):
        result = command(name)
        assert result.code == ExitCode.NOT_GRAVITON
        assert "not a Graviton" in result.out
    assert machine.environment() is None


def test_apply_of_a_unit_without_a_profile_says_how_it_gets_one(command: Command, machine: Managed) -> None:
    assert machine.environment() is None
    result = command("apply", "llm.service")
    failed(result, ExitCode.FAILED, r"llm\.service: it has no profile")
    assert result.complaint[1] == "hint: graviton-agent calibrate llm.service"


def test_revert_takes_back_and_says_how_it_comes_again(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    result = command("revert", "llm.service")
    assert result.code == ExitCode.OK
    assert "    - DNNL_DEFAULT_FPMATH_MODE=BF16\n" in result.out
    assert "it is taken up again by: graviton-agent apply llm.service" in result.out
    assert machine.environment() is None


def test_a_template_is_reverted_and_applied_with_all_its_instances(
    command: Command, machine: Managed
) -> None:
    for name in ("embed@1.service", "embed@2.service"):
        machine.manage(name)
    machine.calibrated("embed@1.service")
    command("apply")
    reverted = command("revert", "embed@.service").out
    assert [line for line in reverted.splitlines() if "service: " in line and "by:" not in line] == [
        f"  embed@1.service: reverted on {datetime.now(UTC).date()}",
        f"  embed@2.service: reverted on {datetime.now(UTC).date()}",
    ]
    assert machine.environment("embed@1.service") is None
    assert command("apply", "embed@.service").code == ExitCode.OK
    assert machine.variables("embed@2.service") == machine.variables("embed@1.service") != []


def test_of_a_template_without_instances_it_says_so(command: Command, machine: Managed) -> None:
    machine.host.tree.write("etc/graviton-agent/conf.d/20-e.toml", '[units."embed@.service"]\n')
    for name in ("revert", "apply"):
        assert command(name, "embed@.service").out == "  No instance of embed@.service is known yet.\n"


def test_a_template_that_is_not_managed_can_not_be_reverted(command: Command, machine: Managed) -> None:
    assert machine.environment() is None
    failed(command("revert", "web@.service"), ExitCode.USAGE, r"web@\.service is not managed")


@pytest.mark.parametrize("arguments", [[], ["--all", "llm.service"]])
def test_revert_wants_to_know_which_units(command: Command, machine: Managed, arguments: list[str]) -> None:
    assert machine.environment() is None
    failed(command("revert", *arguments), ExitCode.USAGE, "which units")


def test_revert_all(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    assert command("revert", "--all").code == ExitCode.OK
    assert machine.environment() is None


def test_a_unit_that_can_not_be_managed_says_which_key_to_set(command: Command, machine: Managed) -> None:
    machine.bus.add(properties("llm.service", "/bin/sh", "-c", "serve"))
    result = command("plan")
    assert result.code == ExitCode.FAILED
    words = " ".join(result.out.split())
    assert "can't be managed: the Python of llm.service can't be told: /bin/sh is a shell" in words
    assert "set `python = ` for llm.service" in words


# verify and status


def test_verify_shows_each_variable_expected_and_actual(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    machine.start(DNNL_DEFAULT_FPMATH_MODE="BF16")
    result = command("verify")
    assert result.code == ExitCode.RESTART_NEEDED
    assert result.out == (
        "  llm.service: restart needed (1 process); at least 1.28x as fast, calibrated on 2026-11-23\n"
        "\n"
        "  variable                      expected   actual   state            decided by\n"
        "  DNNL_DEFAULT_FPMATH_MODE      BF16       BF16     in sync          -\n"
        "  TORCH_MKLDNN_MATMUL_MIN_DIM   64         -        restart needed   -\n"
        "\n"
        "  To give it to what runs: systemctl restart llm.service\n"
    )


def test_what_somebody_else_decides_is_drift(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    machine.start(**{**BOTH, "DNNL_DEFAULT_FPMATH_MODE": "STRICT"})
    unit = machine.bus.units["llm.service"]
    machine.bus.add({**unit, "Environment": ("as", ["DNNL_DEFAULT_FPMATH_MODE=STRICT"])})
    for name in ("verify", "status"):
        result = command(name)
        assert result.code == ExitCode.DRIFT
        assert "overridden" in result.out


def test_verify_as_json(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    machine.start(**BOTH)
    (found,) = json.loads(command("verify", "llm.service", "--json").out)
    assert (found["unit"], found["sync"], found["processes"]) == ("llm.service", "in sync", 1)
    assert found["variables"][0] == {
        "name": "DNNL_DEFAULT_FPMATH_MODE",
        "expected": "BF16",
        "actual": "BF16",
        "sync": "in sync",
        "decided_by": None,
        "process": None,
    }


def test_verify_tells_that_something_is_not_in_place(command: Command, machine: Managed) -> None:
    machine.calibrated()
    assert "It is to be given something else: graviton-agent plan llm.service" in command("verify").out


def test_status_is_the_host_the_agent_and_a_line_for_each_unit(command: Command, machine: Managed) -> None:
    machine.manage("web.service")
    machine.calibrated()
    command("apply")
    result = command("status")
    assert result.code == ExitCode.OK
    host, _, agent, _, header, llm, web, _, why = result.out.splitlines()
    assert host.startswith("c7g.xlarge   Graviton3")
    assert agent == "  agent active"
    assert header.split() == ["unit", "state", "promised", "calibrated", "runs"]
    assert llm.split()[:3] == ["llm.service", "applied", "1.28x"]
    assert web.split("   ")[1].strip() == "not calibrated"
    assert why == "  web.service   not calibrated"


def test_status_says_what_is_not_yet_in_place(command: Command, machine: Managed) -> None:
    machine.calibrated()
    assert "to be applied" in command("status").out


def test_status_as_json(command: Command, machine: Managed) -> None:
    machine.calibrated()
    found = json.loads(command("status", "--json").out)
    assert found["host"]["product"] == "Graviton3"
    assert found["agent"] == {"state": "active", "since": None, "status": ""}
    (unit,) = found["units"]
    assert (unit["state"], unit["planned"], unit["environment"]) == ("applied", BOTH, {})
    assert unit["profile"]["gain_interval"] == [1.28, 1.34]


@pytest.mark.parametrize("name", READING)
def test_without_any_unit_the_way_to_the_first_is_shown(
    command: Command, machine: Managed, name: str
) -> None:
    machine.host.tree.write("etc/graviton-agent/conf.d/20-llm.service.toml", "")
    result = command(name)
    assert result.code == ExitCode.OK
    assert "No unit is managed. `graviton-agent enable UNIT` manages one." in result.out


# What can't be


@pytest.mark.parametrize("name", ["plan", "apply", "revert", "verify", "calibrate"])
def test_a_unit_that_does_not_exist_is_wrong_usage(command: Command, machine: Managed, name: str) -> None:
    machine.bus.add(missing("lm.service"))
    result = command(name, "lm.service")
    failed(result, ExitCode.USAGE, r"there is no unit lm\.service")
    assert result.complaint[1] == "hint: did you mean llm.service?"


@pytest.mark.parametrize("name", [*READING, "revert --all", "calibrate llm.service", "disable llm.service"])
def test_who_is_not_root_gets_one_line(
    command: Command, machine: Managed, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert machine.environment() is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    failed(command(*name.split()), ExitCode.FAILED, "needs root")


@pytest.mark.parametrize("name", [*READING, "revert --all", "calibrate llm.service"])
def test_without_systemd_what_is_needed_is_said(
    command: Command, machine: Managed, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse() -> Bus:
        raise BusError("the system bus can't be reached (No such file or directory)", hint="start systemd")

    assert machine.environment() is None
    monkeypatch.setattr(Bus, "connect", refuse)
    failed(command(*name.split()), ExitCode.FAILED, "the system bus can't be reached")


# calibrate UNIT


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


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing can be written."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)


def test_what_was_measured_is_told_though_a_full_disk_keeps_no_profile(
    command: Command, machine: Managed, measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.calibrated(environment={"OMP_NUM_THREADS": "2"})
    command("apply")
    before = machine.store.read("llm.service")
    assert before is not None

    def meanwhile() -> None:
        machine.store.write(before)
        full_disk(monkeypatch)

    measured["llm.service"] = {"meanwhile": meanwhile}
    result = command("calibrate", "llm.service")
    assert result.code == ExitCode.FAILED
    assert "Change: 2.00x" in result.out
    path = machine.store.path("llm.service")
    assert result.complaint[0] == f"graviton-agent: can't write {path}: No space left on device"
    assert machine.store.read("llm.service") == before
    assert machine.variables() == ["OMP_NUM_THREADS=2"]
    assert [found.name for found in path.parent.iterdir()] == ["llm.service.json"]


def test_a_full_disk_keeps_no_environment_that_is_out_of_date(
    command: Command, machine: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.calibrated(environment={"OMP_NUM_THREADS": "2"})
    command("apply")
    machine.calibrated(environment={"OMP_NUM_THREADS": "4"})
    full_disk(monkeypatch)
    failed(command("apply"), ExitCode.FAILED, "can't write .*llm.service.env.*: No space left on device")
    assert machine.environment() is None


@pytest.mark.parametrize("arguments", [["revert", "llm.service"], ["enable", "llm.service"]])
def test_a_full_disk_is_one_line_and_leaves_what_was(
    command: Command, machine: Managed, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    machine.calibrated(environment={"OMP_NUM_THREADS": "2"})
    command("apply")
    before = machine.environment()
    machine.calibrated(environment={"OMP_NUM_THREADS": "4"})
    files = sorted(machine.host.tree.root.rglob("*"))
    full_disk(monkeypatch)
    if arguments[0] == "enable":
        arguments = [*arguments, "--root", str(machine.host.tree.root)]
    failed(command(*arguments), ExitCode.FAILED, "can't write .*: No space left on device")
    assert machine.environment() == before
    assert sorted(set(machine.host.tree.root.rglob("*")) - set(files)) in (
        [],
        [machine.host.tree.root / "var/lib/graviton-agent/reverted"],
    )


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


# enable and disable in another system's tree


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with a unit."""
    (tmp_path / "image/etc/systemd/system").mkdir(parents=True)
    (tmp_path / "image/etc/systemd/system/llm.service").write_text("[Service]\nExecStart=python3\n")
    return tmp_path / "image"


def test_a_unit_of_an_image_can_be_enabled_and_disabled(command: Command, image: Path) -> None:
    result = command(
        "enable", "llm.service", "--root", image, "--batch", "1,8", "--pin", "MALLOC_ARENA_MAX=2"
    )
    path = sections.path_of("llm.service", Root(image))
    assert result.code == ExitCode.OK
    assert "systemd has not read it yet: systemctl daemon-reload" in result.out
    assert path.read_text().splitlines()[2:] == [
        "enabled = true",
        'batches = "1,8"',
        'pin = { "MALLOC_ARENA_MAX" = "2" }',
    ]
    assert command("disable", "llm.service", "--root", image).code == ExitCode.OK
    assert "enabled = false" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "many"], "batches: 'many' in 'many' is no size"),
        (["--forbid", "bf16,bf61"], "forbid: 'bf61' is not known here"),
        (["--pin", "OMP_NUM_THREADS"], "'OMP_NUM_THREADS' is no assignment"),
        (["--calibrate", "never"], "calibrate: 'never' is not known here"),
        (["--budget", "soon"], "budget: 'soon' is no time"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_options_that_make_no_sense_leave_nothing_behind(
    command: Command, image: Path, arguments: list[str], words: str
) -> None:
    failed(command("enable", "llm.service", "--root", image, *arguments), ExitCode.USAGE, words)
    assert not sections.path_of("llm.service", Root(image)).exists()


def test_a_unit_that_the_image_lacks_can_not_be_enabled(command: Command, image: Path) -> None:
    failed(command("enable", "lm.service", "--root", image), ExitCode.USAGE, r"there is no unit lm\.service")


def test_status_prints_metrics(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    lines = command("status", "--prometheus").out.splitlines()
    assert 'graviton_agent_unit_gain_ratio{unit="llm.service"} 1.28' in lines
