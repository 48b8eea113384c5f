"""What is resident: only what the daemon needs."""

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "agent"
HEAVY = {"torch", "numpy", "pydantic", "pydantic_core", "typer", "click", "rich", "ssl", "_ssl", "_hashlib"}


def loaded_by(*modules: str) -> set[str]:
    """The modules that are there when the daemon's entry has imported these."""
    script = (
        "import sys\n"
        "from graviton_agent.cli import entry\n"
        "entry._without_openssl()\n"
        f"import {', '.join(modules)}\n"
        "print('\\n'.join(name for name, module in sys.modules.items() if module is not None))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(SOURCE)},
    )
    return set(ran.stdout.split())


def test_the_resident_process_loads_nothing_heavy() -> None:
    found = loaded_by("graviton_agent.service.daemon", "graviton_agent.service.serving")
    assert "asyncio" in found
    assert not found & HEAVY
    assert not [
        name for name in found if name.startswith(("graviton_agent.report", "graviton_agent.control"))
    ]


def test_before_ready_it_does_not_even_load_asyncio() -> None:
    assert not loaded_by("graviton_agent.service.daemon") & {"asyncio", "logging", "subprocess", "ctypes"}


@pytest.mark.parametrize("command", ["daemon", "gate"])
def test_neither_the_daemon_nor_a_gate_goes_through_typer(command: str) -> None:
    script = (
        "import sys\n"
        "from graviton_agent.cli import entry\n"
        f"import graviton_agent.service.{command} as service\n"
        "told = lambda *given: print(*(x for x in given if type(x) is str), 'typer' in sys.modules)\n"
        "service.main = lambda *arguments: told(*arguments) or 7\n"
        "sys.exit(entry.main())"
    )
    arguments = [command] if command == "daemon" else [command, "llm.service"]
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert ran.stdout.split() == [*arguments[1:], "False"]
    assert ran.returncode == 7


@pytest.mark.parametrize("arguments", [["daemon", "--help"], ["gate", "--help"]])
def test_both_have_their_help(arguments: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "graviton_agent", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert f"graviton-agent {arguments[0]}" in ran.stdout
