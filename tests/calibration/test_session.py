"""A session: from a request to a kept record, in real processes, whatever happens to them."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from graviton_agent.calibration.cpu_time import CpuTime
from graviton_agent.calibration.launcher import PlainChild, PlainLauncher
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.session import Request, run_session
from graviton_agent.errors import AgentError, ExitCode, ResourceError
from graviton_agent.record import Record, read_record, record_path
from graviton_agent.workload import make_workload
from tests.calibration.stand_ins import Marked
from tests.make_believe import BATCHES, LAYERS, make_believe
from tests.simulator.builds import TORCH_2_9_1
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

WORKLOAD = make_workload(layers=LAYERS, batches=BATCHES)
REQUEST = Request(WORKLOAD, only=frozenset({"bf16"}), seed=4)
CPUS = tuple(sorted(os.sched_getaffinity(0)))
HOST = replace(host_of(Machine(3, 4, "madvise", TORCH_2_9_1)), usable_cpus=CPUS)
BF16 = {"DNNL_DEFAULT_FPMATH_MODE": "BF16"}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of this test's own."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def _a_quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else runs on this host decides nothing here."""
    monkeypatch.setattr(CpuTime, "read", lambda _root, _cpus: None)


def quiet(_words: str) -> None:
    """Nobody is told."""


def run(
    interpreter: Path, marked: Marked, *, request: Request = REQUEST, narrate: Callable[[str], None] = quiet
) -> Record:
    """A session with this interpreter."""
    torch = replace(TORCH_2_9_1, interpreter=str(interpreter), default_threads=len(CPUS))
    return run_session(request, HOST, torch, marked.environment, narrate)


def kept(state: Path) -> Record:
    """The one record that was kept."""
    (path,) = (state / "records").iterdir()
    return read_record(path)


def test_a_session_ends_with_a_record_that_is_kept(tmp_path: Path, state: Path, marked: Marked) -> None:
    record = run(make_believe(tmp_path), marked)
    assert record.decision.outcome is Outcome.CHANGE
    assert record.decision.environment == BF16
    assert record.decision.gain == pytest.approx(2.0)
    assert kept(state) == record


def test_it_tells_what_is_measured(tmp_path: Path, state: Path, marked: Marked) -> None:
    told: list[str] = []
    run(make_believe(tmp_path), marked, narrate=told.append)
    assert state.exists()
    assert told[0] == "screening: default against DNNL_DEFAULT_FPMATH_MODE=BF16"
    assert told[-1].startswith("confirming DNNL_DEFAULT_FPMATH_MODE=BF16: pair")


class Counting(PlainLauncher):
    """Starts plain children, and keeps what they were given."""

    def __init__(self) -> None:
        self.environments: list[Mapping[str, str]] = []

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> PlainChild:
        self.environments.append(environment)
        return super().launch(command, environment)


def test_what_a_unit_sets_is_in_each_trial_and_never_tried(
    tmp_path: Path, state: Path, marked: Marked
) -> None:
    launcher = Counting()
    request = replace(REQUEST, held={"OMP_PROC_BIND": "true", "MALLOC_ARENA_MAX": "2"})
    torch = replace(TORCH_2_9_1, interpreter=str(make_believe(tmp_path)), default_threads=len(CPUS))
    run_session(request, HOST, torch, marked.environment, quiet, launcher=launcher)
    assert state.exists()
    assert launcher.environments
    assert {environment["OMP_PROC_BIND"] for environment in launcher.environments} == {"true"}
    held = replace(REQUEST, held={"DNNL_DEFAULT_FPMATH_MODE": "STRICT"})
    record = run_session(held, HOST, torch, marked.environment, quiet)
    assert record.decision.environment == {}
    reason = next(found.reason for found in record.settings if found.setting == "bf16")
    assert reason == "held by the operator (DNNL_DEFAULT_FPMATH_MODE=STRICT)"


def test_a_units_record_is_kept_in_the_agents_own_state(tmp_path: Path, state: Path, marked: Marked) -> None:
    torch = replace(TORCH_2_9_1, interpreter=str(make_believe(tmp_path)), default_threads=len(CPUS))
    record = run_session(REQUEST, HOST, torch, marked.environment, quiet, state=tmp_path / "agents")
    assert read_record(record_path(record, tmp_path / "agents")) == record
    assert not state.exists()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("if fast: os.abort()", "crashed with SIGABRT"),
        ("if fast: os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL, perhaps for memory"),
        ("if fast: print('lies', flush=True); continue", "makes no sense"),
        ("if fast and name == 'run': say(dict(error='RuntimeError: stoi', missing=None)); continue", "stoi"),
        ("if fast and name == 'observe': sys.exit(3)", "exit code 3"),
        (
            "if fast and name == 'memory': print(json.dumps(memory) + '\\nmore', flush=True); continue",
            "more than",
        ),
    ],
)
def test_a_configuration_that_fails_leaves_the_default(
    tmp_path: Path, state: Path, marked: Marked, extra: str, words: str
) -> None:
    record = run(make_believe(tmp_path, extra), marked)
    assert (record.decision.outcome, record.decision.environment) == (Outcome.KEEP, {})
    assert words in next(found.reason for found in record.settings if found.setting == "bf16")
    assert [trial.environment for trial in record.trials if trial.failure] == [BF16]
    assert kept(state) == record


@pytest.mark.parametrize("name", ["run", "observe", "memory"])
def test_a_default_that_fails_is_an_error_and_what_was_measured_is_kept(
    tmp_path: Path, state: Path, marked: Marked, name: str
) -> None:
    interpreter = make_believe(tmp_path, f"if name == '{name}' and not fast: os.abort()")
    with pytest.raises(AgentError) as raised:
        run(interpreter, marked)
    assert raised.value.message == "the default configuration can't be run: crashed with SIGABRT"
    assert raised.value.hint == f"try the interpreter by hand: {interpreter} -c 'import torch'"
    assert raised.value.exit_code == ExitCode.FAILED
    record = kept(state)
    assert record.decision.outcome is Outcome.INCONCLUSIVE
    assert record.decision.reason == raised.value.message
    assert [trial.failure for trial in record.trials if not trial.environment] == ["crashed with SIGABRT"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("step", ["screening", "confirming"])
def test_what_was_measured_before_an_interruption_is_kept(
    tmp_path: Path, state: Path, marked: Marked, interruption: type[BaseException], step: str
) -> None:
    def interrupt(words: str) -> None:
        if words.startswith(step):
            raise interruption

    with pytest.raises(interruption):
        run(make_believe(tmp_path), marked, narrate=interrupt)
    record = kept(state)
    assert (record.decision.outcome, record.decision.reason) == (Outcome.INCONCLUSIVE, "interrupted")
    assert bool(record.trials) == (step == "confirming")
    assert not marked.processes()


def test_operators_are_profiled_before_and_after(tmp_path: Path, state: Path, marked: Marked) -> None:
    record = run(make_believe(tmp_path), marked, request=replace(REQUEST, operators=True))
    assert state.exists()
    assert [(table.environment, table.batch) for table in record.operators] == [
        ({}, 4),
        ({}, 40),
        (BF16, 4),
        (BF16, 40),
    ]
    assert record.operators[0].rows[0].name == "aten::addmm"


def test_operators_of_the_default_alone_where_it_is_kept(tmp_path: Path, state: Path, marked: Marked) -> None:
    request = replace(REQUEST, operators=True, forbidden=frozenset({"bf16"}))
    record = run(make_believe(tmp_path), marked, request=request)
    assert state.exists()
    assert [table.environment for table in record.operators] == [{}, {}]


def test_a_given_number_of_threads_reaches_every_process(tmp_path: Path, state: Path, marked: Marked) -> None:
    extra = "if threads != 1: os.abort()"
    record = run(make_believe(tmp_path, extra), marked, request=replace(REQUEST, threads=1))
    assert state.exists()
    assert record.decision.outcome is Outcome.CHANGE
    assert "OMP_NUM_THREADS" not in record.decision.environment


def test_what_a_shell_exports_for_torch_reaches_no_process(
    tmp_path: Path, state: Path, marked: Marked
) -> None:
    leaking = {"OMP_NUM_THREADS": "7", "ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "LD_PRELOAD": ""}
    marked.environment = {**marked.environment, **leaking}
    record = run(make_believe(tmp_path, f"if set(os.environ) & {set(leaking)!r}: os.abort()"), marked)
    assert state.exists()
    assert not [trial.failure for trial in record.trials if trial.failure]


def test_a_group_of_processes_is_measured_together(tmp_path: Path, state: Path, marked: Marked) -> None:
    workload = replace(WORKLOAD, processes=2)
    record = run(make_believe(tmp_path), marked, request=replace(REQUEST, workload=workload))
    assert state.exists()
    assert record.decision.environment == BF16
    block = record.trials[0].blocks[0]
    assert len(block.calls_ns) == 2 * block.iterations


def test_a_state_directory_that_cannot_be_written_is_told_and_costs_no_result(
    tmp_path: Path, marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/proc/nothing")
    told: list[str] = []
    record = run(make_believe(tmp_path), marked, narrate=told.append)
    assert record.decision.environment == BF16
    assert any("the record is not kept: can't write /proc/nothing" in words for words in told)


def test_a_model_that_does_not_fit_starts_nothing(tmp_path: Path, state: Path, marked: Marked) -> None:
    witness = tmp_path / "started"
    interpreter = make_believe(tmp_path, f"open({str(witness)!r}, 'w').close()")
    with pytest.raises(ResourceError):
        run(interpreter, marked, request=replace(REQUEST, memory_limit=1))
    assert not witness.exists()
    assert not state.exists()


# Real torch


def test_a_lever_that_kills_real_torch_leaves_the_default(
    tmp_path: Path, state: Path, marked: Marked
) -> None:
    """The rest of the calibration is real: a Python with torch, and small layers."""
    script = tmp_path / "python"
    script.write_text(
        f'#!/bin/sh\n[ "$DNNL_DEFAULT_FPMATH_MODE" ] && kill -ILL $$\nexec "{sys.executable}" "$@"\n'
    )
    script.chmod(0o755)
    record = run(script, marked, request=replace(REQUEST, rules=Rules(budget_seconds=8.0)))
    assert record.decision.environment == {}
    assert record.refusals[0].environment == BF16
    assert record.refusals[0].reason == "crashed with SIGILL"
    assert kept(state) == record
