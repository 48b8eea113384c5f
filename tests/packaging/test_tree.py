"""What can be said of the packages without building them."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from graviton_agent.control.cleaning import OF_RUN
from graviton_packages import manuals
from graviton_packages.bytecode import MORE_PYTHONS
from graviton_packages.commands import read_commands
from graviton_packages.layout import TREE, UNITS, pieces
from graviton_packages.libraries import LOCK
from graviton_packages.target import MINORS

LAUNCHER = TREE / "packaging" / "launcher"
SCRIPTS = sorted((TREE / "packaging" / "scripts").glob("*/*"))
SHELLCHECK = Path(sysconfig.get_path("scripts")) / "shellcheck"


def test_the_launcher_tries_the_supported_pythons_newest_first() -> None:
    found = re.search(r"for minor in ([0-9 ]+);", LAUNCHER.read_text())
    assert found is not None
    assert [f"3.{minor}" for minor in found[1].split()] == list(reversed(MINORS))


def _launch(folder: Path, *minors: str) -> "subprocess.CompletedProcess[str]":
    """Runs the launcher where these are all the Pythons of /usr/bin; each prints its name and arguments."""
    for minor in minors:
        python = folder / f"python3.{minor}"
        python.write_text('#!/bin/sh\necho "${0##*/} $*"\n')
        python.chmod(0o755)
    text = LAUNCHER.read_text().replace("/usr/bin/python", f"{folder}/python")
    command = ("sh", "-c", text, "graviton-agent", "detect", "--json")
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_launcher_runs_the_newest_supported_python_that_is_there(tmp_path: Path) -> None:
    launched = _launch(tmp_path, "9", "11", "13", "15")
    assert launched.stdout == "python3.13 -ISB /usr/lib/graviton-agent/run.py detect --json\n"


def test_the_launcher_says_what_it_would_need(tmp_path: Path) -> None:
    refused = _launch(tmp_path, "9")
    assert refused.returncode == 1
    assert "there is no Python 3.11, 3.12, 3.13 or 3.14 in /usr/bin" in refused.stderr


@pytest.mark.parametrize(
    "script", [LAUNCHER, TREE / "packaging" / "install-tools", *SCRIPTS], ids=lambda path: path.name
)
def test_scripts_are_sound(script: Path) -> None:
    done = subprocess.run(
        (str(SHELLCHECK), "--severity=style", str(script)), capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_scripts_of_packages_say_nothing_and_run_systemd_s_programs_alone(script: Path) -> None:
    code = [line.strip() for line in script.read_text().splitlines() if not line.strip().startswith("#")]
    assert not any(line.startswith(("echo", "printf", "graviton-agent")) for line in code)
    for line in code:
        if "systemctl" in line or (
            "deb-systemd-" in line and "--quiet" not in line and "command -v" not in line
        ):
            assert ">/dev/null" in line


@pytest.mark.parametrize("name", ["deb/postrm", "rpm/postun"])
def test_a_removal_takes_all_of_run_that_the_agent_makes(name: str) -> None:
    script = (TREE / "packaging" / "scripts" / name).read_text()
    found = re.search(r"for name in ([a-z ]+); do\n +rm -rf \"/run/graviton-agent/\$name\"", script)
    assert found is not None
    assert {f"/run/graviton-agent/{word}" for word in found[1].split()} == set(OF_RUN)


def test_everything_that_is_installed_exists() -> None:
    assert [piece.source for piece in pieces() if not piece.source.exists()] == []


def test_every_unit_of_the_tree_is_installed() -> None:
    installed = {piece.source.name for piece in pieces() if piece.target.startswith(UNITS)}
    assert installed == {path.name for path in (TREE / "systemd").glob("*.*")}


def test_packages_carry_the_versions_that_are_tested() -> None:
    tested = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", (TREE / "locks" / "requirements.txt").read_text()))
    tested = {name.lower().replace("_", "-"): version for name, version in tested.items()}
    carried = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", LOCK.read_text()))
    assert carried != {}
    assert carried == {name: tested[name] for name in carried}


def test_packages_carry_no_torch() -> None:
    assert not re.search(r"(?m)^(torch|numpy|nvidia)", LOCK.read_text())


def test_the_manual_describes_every_option_of_the_configuration() -> None:
    written = re.findall(r"(?m)^#([a-z_0-9]+) = ", (TREE / "etc" / "graviton-agent.toml").read_text())
    described = re.findall(r"(?m)^\*([a-z_0-9\\]+)\* = ", manuals.options())
    assert [name.replace("\\", "") for name in described] == written


def test_the_manual_describes_every_command() -> None:
    headings = re.findall(r"(?m)^## (.+)$", manuals.commands())
    assert [heading.replace("\\", "") for heading in headings] == [
        command.name for command in read_commands().all_below()
    ]


def test_fetched_pythons_lie_outside_of_what_is_versioned() -> None:
    assert MORE_PYTHONS.is_relative_to(TREE / ".cache")
