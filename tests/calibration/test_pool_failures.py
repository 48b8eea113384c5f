"""Workers that crash, hang, flood and lie, for real: each a program that does it."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from graviton_agent.calibration import process
from graviton_agent.calibration.launcher import PlainLauncher
from graviton_agent.calibration.pool import TimeLimits, WorkerPool
from graviton_agent.calibration.trial import AS_STARTED, DEFAULT, Configuration, TrialError, TrialSpec
from graviton_agent.workload import Case, Layer, Workload
from tests.calibration.stand_ins import Marked, StandIn, make_executable

ALONE = Workload(layers=(Layer(8, 4),), cases=(Case(batch=2),))
BUSY = Configuration.of({"OMP_WAIT_POLICY": "active"})


@contextmanager
def laboratory(
    interpreter: Path | str, marked: Marked, *, processes: int = 1, answer_seconds: float = 30.0
) -> Iterator[WorkerPool]:
    with WorkerPool(
        str(interpreter),
        replace(ALONE, processes=processes),
        environment=marked.environment,
        limits=TimeLimits(start=30.0, answer=answer_seconds),
    ) as pool:
        yield pool


FAILURES = {
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL, perhaps for memory"),
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
    "gives up": (
        "print('what a day\\nlibtorch\\x1b[31m: boom', file=sys.stderr, flush=True); sys.exit(7)",
        "ended with exit code 7 (libtorch [31m: boom)",
    ),
    "ends": ("sys.exit(0)", "ended with exit code 0"),
    "closes its output": ("os.close(1); time.sleep(60)", "closed its output and went on"),
    "tells of a failure": ("say(dict(error='RuntimeError: a\\nb', missing=None))", "RuntimeError: a b"),
    "prints garbage": ("print('hello', flush=True)", "gave an answer that makes no sense"),
    "prints no number": ("print('{\"elapsed_ns\": NaN}', flush=True)", "gave an answer that makes no sense"),
    "nests without end": ("print('[' * 100000, flush=True)", "gave an answer that makes no sense"),
    "prints bytes": (
        "os.write(1, bytes(range(128, 256)) + b'\\n')",
        "gave an answer that makes no sense",
    ),
    "answers twice": ("os.write(1, b'1\\n2\\n'); time.sleep(60)", "answered more than it was asked"),
    "answers without end": ("while True: os.write(1, b'x' * 65536)", "answered with more than 8 MiB"),
    "prints without end": ("while True: os.write(2, b'x' * 65536)", "printed more than 64 MiB"),
    "runs another block": ("run([1, 2, 3])", "ran 3 iterations in place of 1"),
    "takes no time": ("run([0])", "gave an answer that makes no sense"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_worker_that_fails_gives_its_reason_in_one_line(
    kind: str, stand_in: StandIn, marked: Marked
) -> None:
    body, reason = FAILURES[kind]
    with laboratory(stand_in(body), marked) as pool:
        (trial,) = pool.start([TrialSpec(BUSY)])
        with pytest.raises(TrialError) as failure:
            trial.run(2, AS_STARTED, 1)
        assert reason in failure.value.reason
        assert "\n" not in failure.value.reason
        assert failure.value.configuration == BUSY
        assert not marked.processes()


def test_a_worker_that_hangs_is_given_up_after_its_time(stand_in: StandIn, marked: Marked) -> None:
    with laboratory(stand_in("time.sleep(60)"), marked, answer_seconds=0.2) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        with pytest.raises(TrialError, match=r"gave no answer within 0\.2 s"):
            trial.run(2, AS_STARTED, 1)
        assert not marked.processes()


def test_a_worker_that_never_reads_holds_nobody_up(
    tmp_path: Path, marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "READING_SECONDS", 0.1)
    script = make_executable(tmp_path, "#!/bin/sh\nexec sleep 60\n")
    worker = process.Worker.start(PlainLauncher(), str(script), marked.environment)
    try:
        with pytest.raises(process.WorkerError, match="does not read its commands"):
            worker.send("load", more_than_a_pipe_holds="x" * 1_000_000)
    finally:
        worker.stop()


def test_the_other_trial_goes_on(stand_in: StandIn, marked: Marked) -> None:
    body = "os.abort() if os.environ.get('OMP_WAIT_POLICY') else run([5])"
    with laboratory(stand_in(body), marked) as pool:
        good, bad = pool.start([TrialSpec(DEFAULT), TrialSpec(BUSY)])
        with pytest.raises(TrialError, match="crashed with SIGABRT"):
            bad.run(2, AS_STARTED, 1)
        assert good.run(2, AS_STARTED, 1).elapsed_ns == 5


def test_a_trial_that_failed_stays_failed(stand_in: StandIn, marked: Marked) -> None:
    with laboratory(stand_in("os.abort()"), marked) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        for reason in ("crashed with SIGABRT", "was stopped"):
            with pytest.raises(TrialError, match=reason):
                trial.run(2, AS_STARTED, 1)
        trial.stop()


def test_one_that_can_not_load_ends_those_started_with_it(tmp_path: Path, marked: Marked) -> None:
    script = make_executable(tmp_path, '#!/bin/sh\n[ "$OMP_WAIT_POLICY" ] && exit 3\nexec sleep 60\n')
    with laboratory(script, marked) as pool:
        with pytest.raises(TrialError, match="ended with exit code 3") as failure:
            pool.start([TrialSpec(DEFAULT), TrialSpec(BUSY)])
        assert failure.value.configuration == BUSY
        assert not marked.processes()


def test_an_interpreter_that_is_gone_is_a_failed_trial(marked: Marked) -> None:
    with (
        laboratory("/nonexistent/python", marked) as pool,
        pytest.raises(TrialError, match=r"can't be started \(No such file or directory\)"),
    ):
        pool.start([TrialSpec(DEFAULT)])


def test_what_is_printed_before_the_greeting_is_no_answer(
    tmp_path: Path, stand_in: StandIn, marked: Marked
) -> None:
    inner = stand_in("run([5])")
    text = f'#!/bin/sh\necho "hello from sitecustomize"\nprintf "no line break"\nexec {inner}\n'
    with laboratory(make_executable(tmp_path, text), marked) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        assert trial.run(2, AS_STARTED, 1).elapsed_ns == 5


def test_a_worker_that_waits_stands_still(stand_in: StandIn, marked: Marked) -> None:
    with laboratory(stand_in("run([5])"), marked, processes=2) as pool:
        (trial,) = pool.start([TrialSpec(BUSY)])
        trial.run(2, AS_STARTED, 1)
        assert marked.stand_still()


def test_what_a_worker_starts_ends_with_it(stand_in: StandIn, marked: Marked) -> None:
    body = "import subprocess; subprocess.Popen(['sleep', '60'], stdout=2); run([5])"
    with laboratory(stand_in(body), marked) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        trial.run(2, AS_STARTED, 1)
        assert marked.gather(2)
        trial.stop()
        assert marked.vanish()


def test_what_a_crashed_worker_had_started_ends_too(stand_in: StandIn, marked: Marked) -> None:
    body = "import subprocess; subprocess.Popen(['sleep', '60'], stdout=2); os.abort()"
    with laboratory(stand_in(body), marked) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        with pytest.raises(TrialError, match="crashed with SIGABRT"):
            trial.run(2, AS_STARTED, 1)
        assert marked.vanish()


def test_a_group_s_block_takes_as_long_as_its_slowest_process(stand_in: StandIn, marked: Marked) -> None:
    body = "run([1 + len(os.environ['GRAVITON_AGENT_PADDING']), 1])"
    with laboratory(stand_in(body), marked, processes=3) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        block = trial.run(2, AS_STARTED, 2)
    assert len(set(block.calls_ns[::2])) == 3, "each process draws a padding of its own"
    assert (len(block.calls_ns), block.elapsed_ns) == (6, max(block.calls_ns) + 1)


def test_a_group_fails_with_any_of_its_processes(stand_in: StandIn, marked: Marked) -> None:
    body = "os.abort() if len(os.environ['GRAVITON_AGENT_PADDING']) % 2 else run([5])"
    with laboratory(stand_in(body), marked, processes=4) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        with pytest.raises(TrialError, match="crashed with SIGABRT"):
            trial.run(2, AS_STARTED, 1)
        assert not marked.processes()


AGENT = textwrap.dedent(
    """
    import os, sys
    from graviton_agent.calibration.pool import WorkerPool
    from graviton_agent.calibration.trial import AS_STARTED, DEFAULT, TrialSpec
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
    number: signal.Signals, stand_in: StandIn, marked: Marked
) -> None:
    # The stand-in asks to die with its parent as the real worker does. Two of the four stand still meanwhile.
    script = stand_in("time.sleep(60)")
    protection = "import ctypes; ctypes.CDLL(None).prctl(1, 9)"
    script.write_text(script.read_text().replace("for line in", f"{protection}\nfor line in", 1))
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(script), marked.value],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"ready\n"
        assert len(marked.processes()) == 4
        agent.send_signal(number)
        assert agent.wait(20) == -number
        assert marked.vanish()
