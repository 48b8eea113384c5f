"""Trials on real torch: small layers, in real processes of this interpreter."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from graviton_agent.calibration.pool import WorkerPool, WorkerTrial
from graviton_agent.calibration.trial import (
    AS_STARTED,
    DEFAULT,
    Configuration,
    Observation,
    Path,
    TrialError,
    TrialSpec,
)
from graviton_agent.workload import Case, Layer, Workload
from tests.calibration.stand_ins import Marked

WORKLOAD = Workload(layers=(Layer(64, 256), Layer(256, 10)), cases=(Case(batch=4), Case(batch=40)))
CPU = min(os.sched_getaffinity(0))
ONE_THREAD = Configuration.of({"OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def mark() -> Marked:
    return Marked()


@pytest.fixture(scope="module")
def pair(mark: Marked) -> Iterator[tuple[WorkerTrial, ...]]:
    """Two trials that live side by side, as the two arms of a comparison do."""
    leaky = {**mark.environment, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "active"}
    with WorkerPool(sys.executable, WORKLOAD, environment=leaky, seed=3) as pool:
        yield pool.start([TrialSpec(DEFAULT), TrialSpec(ONE_THREAD)])
    assert mark.vanish()


@pytest.fixture(scope="module")
def observed(pair: tuple[WorkerTrial, ...]) -> tuple[Observation, ...]:
    return tuple(trial.observe() for trial in pair)


def test_a_block_has_as_many_calls_as_were_asked_for(pair: tuple[WorkerTrial, ...]) -> None:
    block = pair[0].run(40, AS_STARTED, 7)
    assert (block.batch, block.iterations, len(block.calls_ns)) == (40, 7, 7)
    assert sum(block.calls_ns) == block.elapsed_ns


def test_a_block_says_how_quiet_the_host_was(pair: tuple[WorkerTrial, ...]) -> None:
    block = pair[0].run(4, AS_STARTED, 2)
    assert block.canary_ns > 0
    assert 0.0 <= block.steal <= 1.0
    assert 0.0 <= block.foreign <= 1.0


def test_every_path_can_be_run_in_one_process(pair: tuple[WorkerTrial, ...]) -> None:
    for way in (AS_STARTED, Path(frozenset({0})), Path(frozenset({0, 1}), threads=1), Path(threads=2)):
        assert pair[0].run(40, way, 2).iterations == 2


def test_both_trials_compute_on_the_same_weights_and_inputs(observed: tuple[Observation, ...]) -> None:
    first, second = observed
    for batch in (4, 40):
        ours, theirs = first.case(batch), second.case(batch)
        assert [p.blas_digest for p in ours.products] == [p.blas_digest for p in theirs.products]


def test_where_onednn_takes_nothing_the_flag_is_dead(observed: tuple[Observation, ...]) -> None:
    for observation in observed:
        if not any(case.kernels for case in observation.cases):
            assert not observation.flag_alive
            assert all(p.digest == p.blas_digest for case in observation.cases for p in case.products)


def test_fp32_is_accurate(observed: tuple[Observation, ...]) -> None:
    for case in observed[0].cases:
        assert case.finite
        assert 0.0 < case.error < 1e-5
        assert (case.argmax_flips, len(case.products)) == (0, 2)


def test_only_the_configuration_sets_the_threads(observed: tuple[Observation, ...]) -> None:
    # The caller's own OMP_NUM_THREADS=1 did not leak into the first of them.
    assert [observation.threads for observation in observed] == [len(os.sched_getaffinity(0)), 1]


def test_memory_is_that_of_torch_and_more(pair: tuple[WorkerTrial, ...]) -> None:
    memory = pair[0].memory()
    assert 50 << 20 < memory.rss_anon <= memory.peak < 4 << 30


def test_the_operators_of_a_forward_pass_are_counted(pair: tuple[WorkerTrial, ...]) -> None:
    rows = {row.name: row for row in pair[0].operators(40, warmup=1, iterations=3)}
    assert (rows["aten::addmm"].calls, rows["aten::clamp_min"].calls) == (6, 3)


def test_both_stand_still_when_nobody_is_measured(pair: tuple[WorkerTrial, ...], mark: Marked) -> None:
    pair[1].run(4, AS_STARTED, 2)
    assert len(mark.processes()) == 2
    assert mark.stand_still()


def test_a_group_is_measured_together_on_its_own_cpus(marked: Marked) -> None:
    group = replace(WORKLOAD, processes=2)
    with WorkerPool(sys.executable, group, environment=marked.environment) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT, cpus=(CPU,))])
        block = trial.run(4, AS_STARTED, 3)
        assert (block.iterations, len(block.calls_ns)) == (3, 6)
        assert trial.observe().threads == 1
        masks = {frozenset(os.sched_getaffinity(process)) for process in marked.processes()}
        assert masks == {frozenset({CPU})}


def test_a_failure_inside_torch_is_the_trial_s_own(marked: Marked) -> None:
    with WorkerPool(sys.executable, WORKLOAD, environment=marked.environment) as pool:
        good, bad = pool.start([TrialSpec(DEFAULT), TrialSpec(ONE_THREAD)])
        with pytest.raises(TrialError, match="RuntimeError: set_num_threads") as failure:
            bad.run(4, Path(threads=0), 1)
        assert failure.value.configuration == ONE_THREAD
        assert good.run(4, AS_STARTED, 1).iterations == 1


def test_a_real_worker_dies_with_the_agent(marked: Marked) -> None:
    """The kernel ends it: it stands still, and would never see its input end."""
    code = (
        "import os, sys\n"
        "from graviton_agent.calibration.pool import WorkerPool\n"
        "from graviton_agent.calibration.trial import DEFAULT, TrialSpec\n"
        "from graviton_agent.workload import Case, Layer, Workload\n"
        "workload = Workload(layers=(Layer(8, 4),), cases=(Case(batch=2),))\n"
        "WorkerPool(sys.executable, workload, environment=os.environ).start([TrialSpec(DEFAULT)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = {**marked.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    agent = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert agent.returncode == -signal.SIGKILL
    assert marked.vanish()
