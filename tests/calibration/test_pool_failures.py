"""Workers that crash, hang, flood and lie, for real: each a program that does it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from graviton_agent.calibration.pool import TimeLimits, WorkerPool
from graviton_agent.calibration.trial import (
    AS_STARTED,
    DEFAULT,
    Block,
    Configuration,
    TrialError,
    TrialSpec,
)
from graviton_agent.workload import Case, Layer, Workload

StandIn = Callable[[str], str]

WORKLOAD = Workload(layers=(Layer(8, 4),), cases=(Case(batch=2),))
PATIENT = TimeLimits(start=30.0, answer=30.0)
BUSY = Configuration.of({"OMP_WAIT_POLICY": "active"})

FAILURES = {
    "killed": (
        "os.kill(os.getpid(), signal.SIGKILL)",
        "killed by SIGKILL, perhaps for memory",
    ),
    "crashed": ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
    "gave up": (
        "print('what a day\\nlibtorch\\x1b[31m: boom', file=sys.stderr, flush=True); sys.exit(7)",
        "ended with exit code 7 (libtorch [31m: boom)",
    ),
    "ended": ("sys.exit(0)", "ended with exit code 0"),
    "went on": ("os.close(1); time.sleep(60)", "closed its output and went on"),
    "failed": (
        "say(dict(error='RuntimeError: stoi', missing=None))",
        "RuntimeError: stoi",
    ),
    "many lines": (
        "say(dict(error='RuntimeError: a\\nb', missing=None))",
        "RuntimeError: a b",
    ),
    "garbage": ("print('hello', flush=True)", "gave an answer that makes no sense"),
    "not a number": (
        "print('{\"elapsed_ns\": NaN}', flush=True)",
        "gave an answer that makes no sense",
    ),
    "nested": ("print('[' * 100000, flush=True)", "gave an answer that makes no sense"),
    "binary": (
        "os.write(1, bytes(range(256)).replace(b'\\n', b'') + b'\\n')",
        "gave an answer that makes no sense",
    ),
    "twice": ("say(1); say(2); time.sleep(60)", "answer"),
    "endless line": (
        "while True: os.write(1, b'x' * 65536)",
        "answered with more than 8 MiB",
    ),
    "endless noise": (
        "while True: os.write(2, b'x' * 65536)",
        "printed more than 64 MiB",
    ),
    "another block": ("run([1, 2, 3])", "ran 3 iterations in place of 1"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_worker_that_fails_gives_its_reason_in_one_line(kind: str, stand_in: StandIn, marked) -> None:
    body, reason = FAILURES[kind]
    with WorkerPool(stand_in(body), WORKLOAD, environment=marked.environment, limits=PATIENT) as pool:
        (trial,) = pool.start([TrialSpec(BUSY)])
        with pytest.raises(TrialError) as failure:
            trial.run(2, AS_STARTED, 1)
        assert reason in failure.value.reason
        assert "\n" not in failure.value.reason
        assert failure.value.configuration == BUSY
        assert not marked.processes()


@pytest.mark.parametrize(
    "body", ["time.sleep(60)", "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]
)
def test_a_worker_that_hangs_is_given_up_after_its_time(body: str, stand_in: StandIn, marked) -> None:
    limits = TimeLimits(start=30.0, answer=0.2)
    with WorkerPool(stand_in(body), WORKLOAD, environment=marked.environment, limits=limits) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        with pytest.raises(TrialError, match=r"gave no answer within 0\.2 s"):
            trial.run(2, AS_STARTED, 1)
        assert not marked.processes()


def test_the_other_trial_goes_on(stand_in: StandIn, marked) -> None:
    body = "os.abort() if os.environ.get('OMP_WAIT_POLICY') else run([5])"
    with WorkerPool(stand_in(body), WORKLOAD, environment=marked.environment, limits=PATIENT) as pool:
        good, bad = pool.start([TrialSpec(DEFAULT), TrialSpec(BUSY)])
        with pytest.raises(TrialError, match="crashed with SIGABRT"):
            bad.run(2, AS_STARTED, 1)
        assert good.run(2, AS_STARTED, 1).elapsed_ns == 5


def test_a_trial_that_failed_stays_failed(stand_in: StandIn, marked) -> None:
    pool = WorkerPool(stand_in("os.abort()"), WORKLOAD, environment=marked.environment, limits=PATIENT)
    with pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        for reason in ("crashed with SIGABRT", "was stopped"):
            with pytest.raises(TrialError, match=reason):
                trial.run(2, AS_STARTED, 1)
        trial.stop()


def test_one_that_can_not_load_ends_those_started_with_it(tmp_path: Path, marked) -> None:
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\n[ "$OMP_WAIT_POLICY" ] && exit 3\nexec sleep 60\n')
    script.chmod(0o755)
    with WorkerPool(str(script), WORKLOAD, environment=marked.environment, limits=PATIENT) as pool:
        with pytest.raises(TrialError, match="ended with exit code 3") as failure:
            pool.start([TrialSpec(DEFAULT), TrialSpec(BUSY)])
        assert failure.value.configuration == BUSY
        assert not marked.processes()


def test_an_interpreter_that_is_gone_is_a_failed_trial(marked) -> None:
    with WorkerPool("/nonexistent/python", WORKLOAD, environment=marked.environment) as pool:
        with pytest.raises(TrialError, match=r"can't be started \(No such file or directory\)"):
            pool.start([TrialSpec(DEFAULT)])


def test_what_is_printed_before_the_greeting_is_no_answer(tmp_path: Path, stand_in: StandIn, marked) -> None:
    inner = stand_in("run([5])")
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\necho "hello from sitecustomize"\nprintf "no line break"\nexec {inner}\n')
    script.chmod(0o755)
    with WorkerPool(str(script), WORKLOAD, environment=marked.environment, limits=PATIENT) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        assert trial.run(2, AS_STARTED, 1).elapsed_ns == 5


def test_a_worker_that_waits_stands_still(stand_in: StandIn, marked) -> None:
    body = "run([5])"
    with WorkerPool(stand_in(body), WORKLOAD, environment=marked.environment, limits=PATIENT) as pool:
        (trial,) = pool.start([TrialSpec(BUSY)])
        trial.run(2, AS_STARTED, 1)
        assert _states(marked.processes()) == ["T"]


def test_what_a_worker_starts_ends_with_it(stand_in: StandIn, marked) -> None:
    body = "import subprocess; subprocess.Popen(['sleep', '60']); run([5])"
    with WorkerPool(stand_in(body), WORKLOAD, environment=marked.environment, limits=PATIENT) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        trial.run(2, AS_STARTED, 1)
        assert len(marked.processes()) == 2
        trial.stop()
        assert marked.vanish(1.0)


def test_what_a_crashed_worker_had_started_ends_too(stand_in: StandIn, marked) -> None:
    body = "import subprocess; subprocess.Popen(['sleep', '60'], stdout=2); os.abort()"
    with WorkerPool(stand_in(body), WORKLOAD, environment=marked.environment, limits=PATIENT) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        with pytest.raises(TrialError, match="crashed with SIGABRT"):
            trial.run(2, AS_STARTED, 1)
        assert marked.vanish(1.0)


def test_a_group_s_block_takes_as_long_as_its_slowest_process(stand_in: StandIn, marked) -> None:
    body = "run([len(os.environ['GRAVITON_AGENT_PADDING']), 1])"
    group = Workload(layers=WORKLOAD.layers, cases=WORKLOAD.cases, processes=3)
    with WorkerPool(stand_in(body), group, environment=marked.environment, limits=PATIENT) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        block = trial.run(2, AS_STARTED, 2)
    assert len(set(block.calls_ns[::2])) == 3, "each process draws a padding of its own"
    assert (len(block.calls_ns), block.elapsed_ns) == (6, max(block.calls_ns) + 1)


def test_a_group_fails_with_any_of_its_processes(stand_in: StandIn, marked) -> None:
    body = "os.abort() if len(os.environ['GRAVITON_AGENT_PADDING']) % 2 else run([5])"
    group = Workload(layers=WORKLOAD.layers, cases=WORKLOAD.cases, processes=8)
    with WorkerPool(stand_in(body), group, environment=marked.environment, limits=PATIENT, seed=1) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        with pytest.raises(TrialError, match="crashed with SIGABRT"):
            trial.run(2, AS_STARTED, 1)
        assert not marked.processes()


AGENT = textwrap.dedent(
    """
    import os, signal, sys
    from graviton_agent.calibration.pool import WorkerPool
    from graviton_agent.calibration.trial import AS_STARTED, DEFAULT, Block, TrialSpec
    from graviton_agent.workload import Case, Layer, Workload

    workload = Workload(layers=(Layer(8, 4),), cases=(Case(batch=2),), processes=2)
    environment = {**os.environ, "GRAVITON_AGENT_TEST": sys.argv[2]}
    with WorkerPool(sys.argv[1], workload, environment=environment) as pool:
        trials = pool.start([TrialSpec(DEFAULT), TrialSpec(DEFAULT)])
        print("ready", flush=True)
        trials[0].run(2, AS_STARTED, 1)
    """
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_no_worker_outlives_an_interrupted_agent(
    number: signal.Signals, tmp_path: Path, stand_in: StandIn, marked
) -> None:
    # The stand-in asks for the same protection as the real worker; two of the four stand still meanwhile.
    protection = "import ctypes; ctypes.CDLL(None).prctl(1, 9)"
    script = Path(stand_in("time.sleep(60)"))
    script.write_text(script.read_text().replace("for line in", f"{protection}\nfor line in", 1))
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(script), marked.value],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"ready\n"
        assert len(marked.processes()) == 4
        agent.send_signal(number)
        agent.wait(20)
        assert marked.vanish(5.0)


def _states(processes: list[int]) -> list[str]:
    """The processes' states once they have settled."""
    time.sleep(0.05)
    return [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in processes]
