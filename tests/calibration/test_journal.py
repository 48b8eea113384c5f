"""The journal: the budget, and what is kept of trials whatever ends them."""

import pytest

from graviton_agent.calibration.journal import Journal, OutOfTimeError
from graviton_agent.calibration.trial import AS_STARTED, DEFAULT, Configuration, TrialError, TrialSpec
from graviton_agent.workload import make_workload
from tests.scripted_laboratory import BF16, MEMORY, ScriptedLaboratory

PAIR = [TrialSpec(DEFAULT), TrialSpec(BF16)]


def laboratory() -> ScriptedLaboratory:
    """Passes of 0.1 s, starts of 1 s."""
    return ScriptedLaboratory(make_workload(batches="32"))


def failing(where: str) -> ScriptedLaboratory:
    """bf16 fails in a command."""

    def fails(configuration: Configuration, command: str, _turn: int) -> str | None:
        return "killed by SIGSEGV" if configuration == BF16 and command == where else None

    return ScriptedLaboratory(make_workload(batches="32"), fails=fails)


def run(journal: Journal, *blocks: tuple[int, int], end: type[BaseException] | None = None) -> None:
    """Runs blocks, each in one process of the pair with so many iterations, and raises something after."""
    with journal.trials_of("screening", PAIR) as trials:
        for trial, iterations in blocks:
            trials[trial].run(32, AS_STARTED, iterations)
        if end is not None:
            raise end


def test_time_is_counted_from_its_beginning() -> None:
    lab = laboratory()
    lab.seconds = 1000.0
    journal = Journal(lab, 60.0)
    lab.seconds = 1045.0
    assert journal.elapsed() == 45.0
    assert journal.left() == 15.0


def test_trials_are_kept_with_their_blocks_and_memory() -> None:
    journal = Journal(laboratory(), 60.0)
    with journal.trials_of("screening", PAIR) as (default, other):
        default.run(32, AS_STARTED, 5)
        other.run(32, AS_STARTED, 5)
        other.memory()
    first, second = journal.trials
    assert (first.configuration, second.configuration) == (DEFAULT, BF16)
    assert (first.purpose, first.failure, len(first.blocks)) == ("screening", None, 1)
    assert (first.memory, second.memory) == (None, MEMORY)
    assert second.seconds == pytest.approx(2.0)


def test_trials_end_with_the_block_that_used_them() -> None:
    lab = laboratory()
    with Journal(lab, 60.0).trials_of("screening", PAIR):
        assert lab.running == 2
    assert lab.running == 0


def test_nothing_is_started_when_the_budget_is_used_up() -> None:
    lab = laboratory()
    journal = Journal(lab, 5.0)
    lab.seconds = 5.0
    with pytest.raises(OutOfTimeError), journal.trials_of("screening", PAIR):
        pass
    assert lab.started == []


def test_no_block_is_begun_when_the_budget_is_used_up() -> None:
    lab = laboratory()
    journal = Journal(lab, 5.0)
    with pytest.raises(OutOfTimeError):
        run(journal, (0, 50), (0, 1))
    assert len(lab.blocks) == 1
    assert lab.running == 0
    assert [len(trial.blocks) for trial in journal.trials] == [1, 0]


def test_no_block_is_begun_that_would_end_too_late_if_it_were_slower_than_those_before() -> None:
    lab = laboratory()
    journal = Journal(lab, 5.0)
    # A start of 1 s and a block of 2.5 s leave less than such a block takes.
    with pytest.raises(OutOfTimeError):
        run(journal, (0, 25), (0, 15))
    assert len(lab.blocks) == 1
    assert journal.left() == pytest.approx(1.5)


def test_a_process_that_fails_to_start_is_kept_with_the_reason() -> None:
    journal = Journal(failing("start"), 60.0)
    with pytest.raises(TrialError), journal.trials_of("screening", PAIR):
        pass
    assert [(trial.configuration, trial.failure) for trial in journal.trials] == [(BF16, "killed by SIGSEGV")]


def test_of_two_processes_the_one_that_failed_is_named() -> None:
    lab = failing("run")
    journal = Journal(lab, 60.0)
    with pytest.raises(TrialError):
        run(journal, (0, 1), (1, 1))
    assert [trial.failure for trial in journal.trials] == [None, "killed by SIGSEGV"]
    assert [len(trial.blocks) for trial in journal.trials] == [1, 0]
    assert lab.running == 0


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_what_was_measured_before_an_interruption_is_kept(interruption: type[BaseException]) -> None:
    lab = laboratory()
    journal = Journal(lab, 60.0)
    with pytest.raises(interruption):
        run(journal, (0, 3), end=interruption)
    assert len(journal.trials[0].blocks) == 1
    assert lab.running == 0
