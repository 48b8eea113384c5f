"""The commands about units on a booted host with the daemon, from `enable` to `disable`."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graviton_agent.errors import ExitCode
from graviton_agent.installed import ENVIRONMENT, SERVICE, STATE
from graviton_agent.units.assignments import parse_environment_block
from tests.systemd.believing import NAME, PATH, interpreter, torch_files
from tests.systemd.installed import COMPILED, LAUNCHER, OWN_PYTHON, AgentHost, boot_host
from tests.systemd.rootfs import Release

SERVE = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nUser=app\nExecStart=/usr/bin/sleep infinity\n"
LLM, ONE, TWO, NEW = "llm.service", "embed@1.service", r"embed@a\x2db.service", "embed@new.service"
WRAPPED = "wrapped.service"
UNITS = {
    LLM: f"{SERVE}CPUAffinity=0\nMemoryMax=2G\n",
    "embed@.service": SERVE,
    "other.service": SERVE,
    WRAPPED: SERVE.replace("/usr/bin/sleep infinity", f"/bin/sh -c 'exec env {NAME}=STRICT sleep infinity'"),
}
OPTIONS = (
    "--python", PATH, "--layers", "64x64,64x10", "--batch", "4,40", "--settings", "bf16", "--allow-bf16",
    "--calibrate", "manual",
)  # fmt: skip
OVERRIDE = "/etc/systemd/system/llm.service.d/60-override.conf"
SLOW = "/opt/believe/slow"
OWN_ENVIRONMENT = "/opt/own-environment"


def agent(host: AgentHost, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    """Runs a command that is to end with this exit code; returns what it printed."""
    done = host.attempt("graviton-agent", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def value(host: AgentHost, unit: str) -> str | None:
    """What the unit's main process has been given."""
    pid = host.show(unit, "MainPID")
    return parse_environment_block(host.path(f"/proc/{pid}/environ").read_bytes()).get(NAME)


def install(host: AgentHost, version: str) -> None:
    """Puts another torch in the place of the one that the interpreter speaks for."""
    for path, content in torch_files(version).items():
        host.write(path, content)


@pytest.fixture(scope="module")
def host(release: Release) -> Iterator[AgentHost]:
    """A host with three units that nobody manages yet, and with the daemon."""
    bind: list[tuple[Path, str]] = []
    launcher = LAUNCHER
    if release.python != OWN_PYTHON:
        if Path(sys.base_prefix).is_relative_to("/usr"):
            pytest.skip(f"{release.name} has Python {release.python}, and this Python can't be taken there")
        # The commands need compiled packages, so they run by this Python there. Its environment may lie below
        # /tmp, where the agent's services don't see it.
        bind = [(Path(sys.prefix), OWN_ENVIRONMENT), (Path(sys.base_prefix), sys.base_prefix)]
        launcher = LAUNCHER.replace("/usr/bin/python3 -ISB", f"{OWN_ENVIRONMENT}/bin/python -IB")
    with boot_host(release, units=UNITS, configuration="", bind=bind) as booted:
        booted.write("/usr/bin/graviton-agent", launcher, mode=0o755)
        booted.run("rm", "--force", COMPILED)
        booted.run("useradd", "--system", "app")
        for path, text in {PATH: interpreter(), SLOW: interpreter(pause=0.5), **torch_files()}.items():
            booted.write(path, text, mode=0o755)
        booted.systemctl("start", SERVICE)
        for name, unit in ((LLM, LLM), ("embed@.service", ONE)):
            agent(booted, "enable", name, *OPTIONS)
            agent(booted, "calibrate", unit, "--seed", "1")
        yield booted


@pytest.fixture
def calibrated(host: AgentHost) -> AgentHost:
    """The host with what was found in place, and llm.service running with it."""
    install(host, "2.9.1")
    host.run("rm", "--force", OVERRIDE)
    host.systemctl("start", SERVICE)
    host.systemctl("daemon-reload")
    agent(host, "apply", LLM, ONE)
    host.systemctl("restart", LLM)
    return host


def test_what_was_measured_reaches_the_units_process(calibrated: AgentHost) -> None:
    assert value(calibrated, LLM) == "BF16"
    assert "in sync" in agent(calibrated, "verify", LLM)


def test_nothing_is_found_stale_at_the_units_start(calibrated: AgentHost) -> None:
    # What the cage showed of CPUs and limits is what the unit sees.
    assert "withdrew" not in calibrated.journal(LLM)


def test_the_daemon_finds_everything_in_place(calibrated: AgentHost) -> None:
    path = calibrated.path(f"{ENVIRONMENT}/{LLM}.env")
    before = path.stat().st_ino
    # It is up again when all files are as it wants them.
    calibrated.systemctl("restart", SERVICE)
    assert path.stat().st_ino == before


def test_the_profile_says_what_was_found_and_where_the_record_is(calibrated: AgentHost) -> None:
    profile = json.loads(calibrated.path(f"{STATE}/profiles/{LLM}.json").read_text())
    assert profile["environment"] == {NAME: "BF16"}
    assert profile["fingerprint"]["local"]["cpus"] == "1"
    assert profile["fingerprint"]["shared"]["torch"] == "2.9.1"
    assert calibrated.path(profile["record"]).exists()


def test_status_shows_the_daemon_and_the_unit(calibrated: AgentHost) -> None:
    out = agent(calibrated, "status")
    assert "agent active since" in out
    assert re.search(r"(?m)^  llm\.service +applied +1\.9.x", out)
    found = json.loads(agent(calibrated, "status", "--json"))
    (llm,) = [unit for unit in found["units"] if unit["unit"] == LLM]
    assert (found["agent"]["state"], llm["sync"]) == ("active", "in sync")


def test_a_unit_that_was_started_before_needs_a_restart(calibrated: AgentHost) -> None:
    agent(calibrated, "revert", LLM)
    calibrated.systemctl("restart", LLM)
    agent(calibrated, "apply", LLM)
    assert "restart needed" in agent(calibrated, "verify", LLM, code=ExitCode.RESTART_NEEDED)


def test_what_was_reverted_stays_away_until_it_is_applied(calibrated: AgentHost) -> None:
    agent(calibrated, "revert", LLM)
    calibrated.systemctl("restart", SERVICE)
    calibrated.systemctl("restart", LLM)
    assert value(calibrated, LLM) is None
    agent(calibrated, "apply", LLM)
    calibrated.systemctl("restart", LLM)
    assert value(calibrated, LLM) == "BF16"


def test_plan_and_a_dry_run_change_nothing(calibrated: AgentHost) -> None:
    agent(calibrated, "revert", LLM)
    profile = calibrated.path(f"{STATE}/profiles/{LLM}.json").read_bytes()
    agent(calibrated, "plan")
    agent(calibrated, "calibrate", LLM, "--dry-run")
    assert calibrated.path(f"{STATE}/profiles/{LLM}.json").read_bytes() == profile
    assert not calibrated.has_file(LLM)


def test_what_the_operator_sets_wins_and_is_told(calibrated: AgentHost) -> None:
    calibrated.write(OVERRIDE, f"[Service]\nUnsetEnvironment={NAME}\n")
    # Even before systemd has read it, nothing is given that it may forbid.
    calibrated.systemctl("restart", LLM)
    assert value(calibrated, LLM) is None
    assert "systemctl daemon-reload" in agent(calibrated, "plan", LLM)
    calibrated.systemctl("daemon-reload")
    calibrated.wait_for_file(LLM, there=False)
    out = agent(calibrated, "plan", LLM, code=ExitCode.STALE)
    assert f"UnsetEnvironment={NAME} is set by others now" in " ".join(out.split())


def test_what_a_script_sets_is_drift(host: AgentHost) -> None:
    agent(host, "enable", WRAPPED, *OPTIONS)
    agent(host, "calibrate", WRAPPED, "--seed", "1")
    host.systemctl("restart", WRAPPED)
    out = agent(host, "verify", WRAPPED, code=ExitCode.DRIFT)
    assert "STRICT" in out
    assert "what starts the program, such as a script" in " ".join(out.split())
    host.systemctl("stop", WRAPPED)
    agent(host, "disable", WRAPPED)


def test_an_upgraded_torch_makes_the_profile_stale(calibrated: AgentHost) -> None:
    install(calibrated, "2.10.0")
    calibrated.wait_for_file(LLM, there=False)
    assert "torch was 2.9.1, is 2.10.0" in agent(calibrated, "plan", LLM, code=ExitCode.STALE)
    agent(calibrated, "verify", LLM, code=ExitCode.RESTART_NEEDED)
    calibrated.systemctl("restart", LLM)
    agent(calibrated, "verify", LLM, code=ExitCode.STALE)


def test_a_disabled_unit_starts_with_its_own_values_and_keeps_its_profile(calibrated: AgentHost) -> None:
    assert f"systemctl restart {LLM}" in agent(calibrated, "disable", LLM)
    assert not calibrated.has_file(LLM)
    calibrated.systemctl("restart", LLM)
    assert value(calibrated, LLM) is None
    agent(calibrated, "plan", LLM, code=ExitCode.USAGE)
    agent(calibrated, "enable", LLM)
    calibrated.wait_for_file(LLM)
    calibrated.systemctl("restart", LLM)
    assert value(calibrated, LLM) == "BF16"


def test_an_interrupted_calibration_leaves_nothing_behind(calibrated: AgentHost) -> None:
    agent(calibrated, "enable", LLM, "--python", SLOW)
    before = calibrated.path(f"{STATE}/profiles/{LLM}.json").read_bytes()
    interrupt = ("timeout", "--preserve-status", "--signal=INT", "5")
    done = calibrated.attempt(*interrupt, "graviton-agent", "calibrate", LLM)
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
    assert done.stderr.splitlines()[-1] == "graviton-agent: interrupted"
    assert calibrated.systemctl("list-units", "--all", "--no-legend", "*graviton_agent_*", "*-trial-*") == ""
    assert calibrated.path(f"{STATE}/profiles/{LLM}.json").read_bytes() == before
    agent(calibrated, "enable", LLM, "--python", PATH)


# Without the agent


def test_while_the_agent_is_stopped_what_is_found_is_kept_and_put_in_place_when_it_starts(
    calibrated: AgentHost,
) -> None:
    calibrated.systemctl("stop", SERVICE)
    done = calibrated.attempt("graviton-agent", "apply", LLM)
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.splitlines()[-1] == "hint: systemctl start graviton-agent"
    words = "the agent isn't running: it is put in place when that starts"
    assert words in " ".join(agent(calibrated, "enable", LLM).split())
    assert calibrated.run("sh", "-c", f"ls {ENVIRONMENT} 2>/dev/null || true") == ""
    calibrated.systemctl("start", SERVICE)
    calibrated.wait_for_file(LLM)


def test_a_calibration_that_ends_after_the_agent_puts_nothing_in_place(calibrated: AgentHost) -> None:
    profile = calibrated.path(f"{STATE}/profiles/{LLM}.json").read_bytes()
    run = ("systemd-run", "--quiet", "--unit=long.service", "--remain-after-exit", "graviton-agent")
    calibrated.run(*run, "calibrate", LLM, "--seed", "1")
    calibrated.systemctl("stop", SERVICE)
    calibrated.wait("test $(systemctl show --value --property=SubState long.service) = exited")
    assert calibrated.run("sh", "-c", f"ls {ENVIRONMENT} 2>/dev/null || true") == ""
    calibrated.systemctl("stop", "long.service")
    # On a busy machine nothing may have been found.
    calibrated.path(f"{STATE}/profiles/{LLM}.json").write_bytes(profile)
    calibrated.systemctl("start", SERVICE)
    calibrated.wait_for_file(LLM)


def test_while_the_agent_is_masked_nothing_is_put_in_place_and_nothing_read(calibrated: AgentHost) -> None:
    calibrated.systemctl("mask", "--runtime", "--now", SERVICE)
    agent(calibrated, "enable", LLM)
    assert not calibrated.has_file(LLM)
    assert "50-graviton-agent.conf" not in calibrated.show(LLM, "DropInPaths")
    calibrated.systemctl("restart", LLM)
    assert value(calibrated, LLM) is None
    calibrated.systemctl("unmask", "--runtime", SERVICE)
    calibrated.systemctl("start", SERVICE)
    calibrated.wait_for_file(LLM)
    calibrated.systemctl("restart", LLM)
    assert value(calibrated, LLM) == "BF16"


def test_of_a_masked_agent_that_was_killed_nothing_is_read(calibrated: AgentHost) -> None:
    calibrated.systemctl("mask", "--runtime", SERVICE)
    calibrated.systemctl("kill", "--kill-whom=main", "--signal=KILL", SERVICE)
    calibrated.wait(f"! systemctl is-active --quiet {SERVICE}")
    calibrated.systemctl("restart", LLM)
    assert value(calibrated, LLM) is None
    # Whatever was left behind: a command takes it away.
    agent(calibrated, "enable", LLM)
    assert not calibrated.has_file(LLM)
    calibrated.systemctl("unmask", "--runtime", SERVICE)
    calibrated.systemctl("reset-failed", SERVICE)
    calibrated.systemctl("start", SERVICE)
    calibrated.wait_for_file(LLM)


# Templates


def test_every_instance_gets_what_was_found_for_one(calibrated: AgentHost) -> None:
    calibrated.systemctl("restart", ONE, TWO, NEW)
    assert [value(calibrated, unit) for unit in (ONE, TWO, NEW)] == ["BF16"] * 3
    assert agent(calibrated, "verify", ONE, TWO, NEW).count("in sync (1 process)") == 3


def test_one_instance_can_be_reverted(calibrated: AgentHost) -> None:
    calibrated.systemctl("restart", ONE, NEW)
    agent(calibrated, "revert", ONE)
    calibrated.systemctl("restart", ONE, NEW)
    assert [value(calibrated, unit) for unit in (ONE, NEW)] == [None, "BF16"]


def test_an_instance_with_a_section_of_its_own_gets_nothing_of_its_siblings(calibrated: AgentHost) -> None:
    agent(calibrated, "enable", NEW, "--forbid-bf16", "--calibrate", "manual")
    calibrated.systemctl("restart", NEW)
    assert value(calibrated, NEW) is None
    agent(calibrated, "disable", NEW)
    calibrated.run("rm", f"/etc/graviton-agent/conf.d/50-{NEW}.toml")


# What can't be


def test_names_that_make_no_sense_get_one_line_and_the_next_step(host: AgentHost) -> None:
    for arguments, message, hint in (
        (("plan", "other.service"), "other.service is not managed: it has no", "graviton-agent enable"),
        (("plan", "oter.service"), "there is no unit oter.service", "did you mean other.service?"),
        (("enable", "oter.service"), "there is no unit oter.service", "did you mean other.service?"),
        (("plan", "embed@.service"), "embed@.service is a template", "name one of its instances"),
        (("plan", "other"), "'other' doesn't end in .service", "write other.service"),
    ):
        done = host.attempt("graviton-agent", *arguments)
        assert done.returncode == ExitCode.USAGE
        first, second = done.stderr.splitlines()
        assert first.startswith(f"graviton-agent: {message}")
        assert second.startswith(f"hint: {hint}")


def test_a_unit_whose_python_can_not_be_told_says_which_key_to_set(host: AgentHost) -> None:
    out = " ".join(agent(host, "enable", "other.service").split())
    assert "the Python of other.service can't be told: /usr/bin/sleep is a program of its own" in out
    assert "set `python = ` for other.service" in out
    done = host.attempt("graviton-agent", "calibrate", "other.service")
    assert done.returncode == ExitCode.INTERPRETER
    agent(host, "disable", "other.service")
