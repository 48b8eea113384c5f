"""`graviton-agent calibrate`, as its user meets it: options, errors, and what is printed where."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.calibration import probe as probe_module
from graviton_agent.calibration import session
from graviton_agent.calibration.session import Request
from graviton_agent.errors import ExitCode
from graviton_agent.host import Host
from graviton_agent.record import Record
from graviton_agent.report.calibration import render
from graviton_agent.root import MIB
from graviton_agent.torch_build import TorchBuild
from tests.calibration.stand_ins import make_executable
from tests.cli.command import PROGRESS, Command, Result, failed
from tests.records import changed
from tests.simulator.builds import TORCH_2_13_0_X86

SMALL = ("--layers", "8x8", "--batch", "4")


# Wrong usage, refused before anything is started


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "many"], "'many' in 'many' is no size"),
        (["--batch", "10,10"], "stands twice"),
        (["--batch", "1:0.5,2"], "weight"),
        (["--layers", "8x9,8x8"], "can't follow"),
        (["--layers", "8"], "'8' is no layer"),
        (["--preset", "gpt"], "no preset 'gpt'"),
        (["--settings", "bf16,nonsense"], "no setting 'nonsense'"),
        (["--forbid", "everything"], "no setting 'everything'"),
        (["--settings", ""], "no setting ''"),
        (["--threads", "0"], "--threads"),
        (["--threads", "two"], "--threads"),
        (["--processes", "0"], "--processes"),
        (["--min-cosine", "1.5"], "--min-cosine"),
        (["--min-cosine", "nan"], "--min-cosine"),
        (["--memory-margin", "lots"], "'lots' is no size"),
        (["--memory-margin", "-5%"], "'-5%' is no share"),
        (["--memory-margin", "1.5%"], "'1.5%' is no share"),
        (["--memory-limit", "4T"], "'4T' is no size"),
        (["--memory-limit", "-1"], "'-1' is no size"),
        (["--budget", "0"], "--budget"),
        (["--budget", "nan"], "--budget"),
        (["--budget", "inf"], "--budget"),
        (["--seed", "-1"], "--seed"),
        (["--seed", "4294967296"], "--seed"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_refused_in_one_line(command: Command, arguments: list[str], words: str) -> None:
    result = command("calibrate", *arguments)
    failed(result, ExitCode.USAGE, words)
    assert len(result.complaint) == 2


# Interpreters that can't be used


def shell(folder: Path, line: str) -> Path:
    """An executable that runs one line."""
    return make_executable(folder, f"#!/bin/sh\n{line}\n")


def without_torch(folder: Path) -> Path:
    """This Python without its packages."""
    return shell(folder, f'exec "{sys.executable}" -S -E "$@"')


def with_torch(folder: Path, content: str) -> Path:
    """This Python with a torch of another make."""
    (folder / "path" / "torch").mkdir(parents=True)
    (folder / "path" / "torch" / "__init__.py").write_text(content)
    return shell(folder, f'PYTHONPATH="{folder}/path" exec "{sys.executable}" "$@"')


def missing(folder: Path) -> Path:
    return folder / "python"


def not_executable(folder: Path) -> Path:
    (folder / "python").touch()
    return folder / "python"


def a_folder(folder: Path) -> Path:
    return folder


def not_python(folder: Path) -> Path:
    return shell(folder, "echo I am no Python >&2; exit 3")


def silent(folder: Path) -> Path:
    return shell(folder, "exit 0")


def garbage(folder: Path) -> Path:
    return shell(folder, "head -c 100000 /dev/urandom")


def megabytes(folder: Path) -> Path:
    return shell(folder, "yes graviton")


def no_program(folder: Path) -> Path:
    return make_executable(folder, "\x7fELF but not really")


def broken_torch(folder: Path) -> Path:
    return with_torch(folder, "raise ImportError('libgomp.so.1: cannot open shared object file')")


def crashing_torch(folder: Path) -> Path:
    return with_torch(folder, "import os; os.abort()")


def illegal_torch(folder: Path) -> Path:
    return with_torch(folder, "import os, signal; os.kill(os.getpid(), signal.SIGILL)")


def exiting_torch(folder: Path) -> Path:
    return with_torch(folder, "import sys; sys.exit('no licence')")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, "does not exist"),
        (not_executable, "is not executable"),
        (a_folder, "is a folder, not a Python interpreter"),
        (not_python, "does not behave like Python 3.8 or later.*exit code 3.*I am no Python"),
        (silent, "does not behave like Python 3.8 or later"),
        (garbage, "does not behave like Python 3.8 or later"),
        (megabytes, "does not behave like Python 3.8 or later.*printed much"),
        (no_program, "can't be run|does not behave like Python"),
        (without_torch, "has no torch"),
        (broken_torch, "torch of .* can't be used: .*libgomp"),
        (crashing_torch, "torch of .* can't be used: crashed with SIGABRT"),
        (illegal_torch, "torch of .* can't be used: crashed with SIGILL"),
        (exiting_torch, "torch of .* can't be used: ended with exit code 1.*no licence"),
    ],
)
@pytest.mark.parametrize("name", ["calibrate", "settings"])
def test_an_interpreter_that_cannot_be_used_is_one_line(
    command: Command, tmp_path: Path, name: str, make: Callable[[Path], Path], words: str
) -> None:
    arguments = SMALL if name == "calibrate" else ()
    result = command(name, *arguments, "--python", make(tmp_path))
    failed(result, ExitCode.INTERPRETER, words)
    assert len(result.complaint) == 2


def test_a_name_that_is_not_in_the_path_is_named(command: Command) -> None:
    failed(command("calibrate", *SMALL, "--python", "no-such-python"), ExitCode.INTERPRETER, "in PATH")


# Memory


def test_a_model_that_does_not_fit_is_refused_before_anything_is_started(command: Command) -> None:
    result = command("calibrate", "--layers", "1048576x1048576", "--python", "/nonexistent")
    failed(result, ExitCode.RESOURCES, r"needs [0-9.]+ GiB .*, and this host has free [0-9.]+ [GM]iB")
    assert len(result.err.splitlines()) == 2


def test_the_limit_on_memory_is_respected(command: Command) -> None:
    result = command("calibrate", "--memory-limit", "700M", "--python", "/nonexistent")
    failed(result, ExitCode.RESOURCES, r"needs [0-9.]+ GiB .*, and --memory-limit allows 700 MiB")


# What is printed, and where


class Session:
    """Stands in the place of probe and session: remembers the request, and returns a record."""

    def __init__(self) -> None:
        self.request: Request
        self.environment: Mapping[str, str]
        self.interpreter = ""

    def probe(self, interpreter: str, *_arguments: Any) -> TorchBuild:
        self.interpreter = interpreter
        return replace(TORCH_2_13_0_X86, interpreter=interpreter)

    def run(
        self, request: Request, _host: Host, _torch: TorchBuild, environment: Mapping[str, str], narrate: Any
    ) -> Record:
        self.request, self.environment = request, environment
        narrate("screening: default against BF16")
        return changed()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Session:
    found = Session()
    monkeypatch.setattr(probe_module, "probe", found.probe)
    monkeypatch.setattr(session, "run_session", found.run)
    return found


def calibrate(command: Command, *arguments: str | Path) -> Result:
    """A calibration that goes well."""
    result = command("calibrate", *SMALL, *arguments)
    assert result.code == 0, result.err
    return result


def test_the_report_goes_to_standard_output_and_progress_to_standard_error(
    command: Command, stand_in: Session
) -> None:
    result = calibrate(command)
    assert result.out == render(changed()) + "\n"
    assert [bool(PROGRESS.fullmatch(line)) for line in result.err.splitlines()] == [True, True]
    assert "screening: default against BF16" in result.err
    assert stand_in.request.workload.layers


@pytest.mark.usefixtures("stand_in")
def test_with_json_nothing_but_json_goes_to_standard_output(command: Command) -> None:
    result = calibrate(command, "--json")
    assert json.loads(result.out)["decision"]["environment"] == {"DNNL_DEFAULT_FPMATH_MODE": "BF16"}
    assert "screening" in result.err


@pytest.mark.usefixtures("stand_in")
def test_the_record_is_also_written_where_it_is_asked_for(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "record.json"
    result = calibrate(command, "--json", "--output", file)
    assert json.loads(file.read_text()) == json.loads(result.out)


@pytest.mark.usefixtures("stand_in")
def test_a_file_that_cannot_be_written_does_not_lose_the_report(command: Command) -> None:
    result = command("calibrate", *SMALL, "--output", "/proc/record.json")
    assert result.code == ExitCode.FAILED
    assert result.complaint[0].startswith("graviton-agent: can't write /proc/record.json: ")
    assert "Change: 2.00x" in result.out


def test_the_default_interpreter_is_the_agents_own(command: Command, stand_in: Session) -> None:
    calibrate(command)
    assert stand_in.interpreter == sys.executable
    calibrate(command, "--python", "/opt/app/bin/python")
    assert stand_in.interpreter == "/opt/app/bin/python"


def test_options_become_a_request(command: Command, stand_in: Session) -> None:
    calibrate(
        command,
        *("--threads", "3", "--processes", "2", "--settings", "bf16, threshold", "--forbid", "bf16"),
        *("--min-cosine", "0.99", "--memory-limit", "8g", "--budget", "30", "--seed", "7", "--operators"),
    )
    request = stand_in.request
    assert (request.threads, request.workload.processes, request.seed) == (3, 2, 7)
    assert request.only == frozenset({"bf16", "threshold"})
    assert request.forbidden == {"bf16"}
    assert request.memory_limit == 8 * 1024 * MIB
    assert request.operators
    assert (request.rules.budget_seconds, request.rules.minimum_cosine) == (30.0, 0.99)


@pytest.mark.parametrize(
    ("margin", "expected"), [("64M", (64 * MIB, 0.0)), ("1000", (1000, 0.0)), ("10%", (0, 0.1))]
)
def test_a_margin_is_a_size_or_a_share(
    command: Command, stand_in: Session, margin: str, expected: tuple[int, float]
) -> None:
    calibrate(command, "--memory-margin", margin)
    rules = stand_in.request.rules
    assert (rules.memory_margin_bytes, rules.memory_margin_share) == expected


def test_without_a_seed_one_is_drawn(command: Command, stand_in: Session) -> None:
    seeds = set()
    for _ in range(3):
        calibrate(command)
        seeds.add(stand_in.request.seed)
    assert len(seeds) == 3


def test_nothing_is_forbidden_unless_asked(command: Command, stand_in: Session) -> None:
    calibrate(command)
    assert stand_in.request.only is None
    assert stand_in.request.forbidden == frozenset()
    assert stand_in.request.threads is None
