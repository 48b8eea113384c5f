"""The commands about units, as their user meets them: what they print, and their exit codes."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import graviton_agent
from graviton_agent.errors import ExitCode
from graviton_agent.profiles.application import State
from graviton_agent.units.bus import Bus, BusError
from graviton_agent.units.verify import Sync
from tests.cli.command import Command, failed
from tests.control.machine import Managed
from tests.control.systemd import missing, properties
from tests.profiles.host import install_torch

BOTH = {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}
READING = ["plan", "apply", "verify", "status"]


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


def test_what_can_not_be_told_is_said_and_no_failure(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    machine.start(**BOTH)
    machine.overwrite()
    for name in ("verify", "status"):
        result = command(name)
        assert result.code == ExitCode.OK
        assert "can't be told" in result.out
    (found,) = json.loads(command("verify", "--json").out)
    assert (found["sync"], found["processes_untold"]) == ("can't be told", 1)
    assert "as setproctitle does" in command("verify").out


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


def test_a_full_disk_keeps_no_environment_that_is_out_of_date(
    command: Command, machine: Managed, full_disk: Callable[[], None]
) -> None:
    machine.calibrated(environment={"OMP_NUM_THREADS": "2"})
    command("apply")
    machine.calibrated(environment={"OMP_NUM_THREADS": "4"})
    full_disk()
    failed(command("apply"), ExitCode.FAILED, "can't write .*llm.service.env.*: No space left on device")
    assert machine.environment() is None


@pytest.mark.parametrize("arguments", [["revert", "llm.service"], ["enable", "llm.service"]])
def test_a_full_disk_is_one_line_and_leaves_what_was(
    command: Command, machine: Managed, full_disk: Callable[[], None], arguments: list[str]
) -> None:
    machine.calibrated(environment={"OMP_NUM_THREADS": "2"})
    command("apply")
    before = machine.environment()
    machine.calibrated(environment={"OMP_NUM_THREADS": "4"})
    files = sorted(machine.host.tree.root.rglob("*"))
    full_disk()
    if arguments[0] == "enable":
        arguments = [*arguments, "--root", str(machine.host.tree.root)]
    failed(command(*arguments), ExitCode.FAILED, "can't write .*: No space left on device")
    assert machine.environment() == before
    assert sorted(set(machine.host.tree.root.rglob("*")) - set(files)) in (
        [],
        [machine.host.tree.root / "var/lib/graviton-agent/reverted"],
    )


def test_status_prints_metrics(command: Command, machine: Managed) -> None:
    machine.calibrated()
    command("apply")
    lines = command("status", "--prometheus").out.splitlines()
    assert 'graviton_agent_unit_gain_ratio{unit="llm.service"} 1.28' in lines
