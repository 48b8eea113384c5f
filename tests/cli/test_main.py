"""The command line as a whole: versions, help, and every failure as one line and an exit code."""

import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

import graviton_agent
from graviton_agent import errors
from graviton_agent.calibration import memory
from graviton_agent.cli.main import Terminated
from graviton_agent.errors import AgentError, ExitCode
from tests.cli.command import Command, failed


def test_the_exit_codes_are_a_contract() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_GRAVITON": 3,
        "INTERPRETER": 4,
        "RESOURCES": 5,
        "BUSY": 6,
        "DRIFT": 10,
        "RESTART_NEEDED": 11,
        "STALE": 12,
        "UNCONFIRMED": 13,
        "UNDECIDED": 14,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_every_exit_code_is_documented() -> None:
    document = (Path(graviton_agent.__file__).parents[2] / "docs" / "exit-codes.md").read_text()
    cells = re.findall(r"(?m)^\| ([0-9, ]+) \|", document)
    assert {int(code) for cell in cells for code in cell.split(",")} == set(map(int, ExitCode))


def test_the_version_is_printed(command: Command) -> None:
    result = command("--version")
    assert (result.code, result.out) == (0, f"graviton-agent {graviton_agent.__version__}\n")


def test_help_names_the_commands(command: Command) -> None:
    result = command("--help")
    assert result.code == 0
    assert all(name in result.out for name in ("detect", "settings", "calibrate"))


@pytest.mark.parametrize("group", [[], ["config"], ["profile"], ["fleet"]])
def test_without_a_command_the_list_of_them_is_the_answer(command: Command, group: list[str]) -> None:
    result = command(*group)
    assert result.code == ExitCode.USAGE
    assert result.out == ""
    assert result.complaint[0].startswith(f"Usage: {' '.join(['graviton-agent', *group])} ")
    assert "Commands:" in result.complaint


@pytest.mark.parametrize("arguments", [["nonsense"], ["calibrate", "--nonsense"], ["detect", "surplus"]])
def test_what_does_not_exist_is_wrong_usage(command: Command, arguments: list[str]) -> None:
    result = command(*arguments)
    failed(result, ExitCode.USAGE, "")
    assert result.complaint[1].startswith("hint: graviton-agent --help")


FAILURES = [
    (AgentError("it failed", hint="do this"), 1, "it failed"),
    (errors.UsageError("no sense"), 2, "no sense"),
    (errors.InterpreterError("no torch"), 4, "no torch"),
    (errors.ResourceError("too little"), 5, "too little"),
    (errors.BusyError("measuring"), 6, "measuring"),
    (errors.StateError("broken"), 1, "broken"),
    (PermissionError(errno.EACCES, "Permission denied", "/etc/shadow"), 1, "/etc/shadow: Permission denied"),
    (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (Terminated(), 143, "terminated"),
]


@pytest.mark.parametrize(("failure", "code", "words"), FAILURES, ids=lambda value: type(value).__name__)
def test_a_failure_is_one_line_and_its_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, words: str
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise failure

    monkeypatch.setattr(memory, "check_memory", fail)
    failed(command("calibrate"), code, words)


def test_a_hint_stands_below_its_failure(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise AgentError("it failed", hint="do this")

    monkeypatch.setattr(memory, "check_memory", fail)
    assert command("calibrate").err == "graviton-agent: it failed\nhint: do this\n"


def test_a_reader_that_goes_away_is_no_failure() -> None:
    script = "import sys; from graviton_agent.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "detect"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors_written = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) in {0, 3}
    assert errors_written == b""
