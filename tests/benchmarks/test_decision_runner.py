"""The benchmark of decisions goes on from what is done, and says of what it is a part."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import about
from benchmarks.decisions import report
from benchmarks.decisions.methods import Run
from benchmarks.decisions.runner import RunJournal, Runs, grouped, run_all, run_task
from benchmarks.decisions.suite import Series, tasks
from benchmarks.decisions.targets import judge

TUTORIAL = Series("tutorial 10", "quiet", 3, others=0)
NULLS = Series("null", "quiet", 41, others=0)


def ran(journal: RunJournal, *, seconds: float | None = None) -> Runs:
    """The runs of a small suite."""
    return run_all([TUTORIAL], 1, Console(file=io.StringIO()), journal, seconds=seconds)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    first = ran(RunJournal(path))
    size = path.stat().st_size
    assert ran(RunJournal(path)) == first
    assert path.stat().st_size == size


def test_after_the_end_nothing_is_begun(tmp_path: Path) -> None:
    assert ran(RunJournal(tmp_path / "runs.jsonl"), seconds=0.0) == {}


def test_a_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    first = ran(RunJournal(path))
    path.write_text(path.read_text()[:-20])
    assert RunJournal(path).read() == {}
    assert ran(RunJournal(path)) == first


def test_runs_of_other_sources_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.jsonl"
    ran(RunJournal(path))
    monkeypatch.setattr(about, "code", lambda *_: "other sources")
    assert RunJournal(path).read() == {}


def test_what_a_journal_holds_is_what_was_run(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path / "runs.jsonl")
    (task,) = [task for task in tasks((TUTORIAL,)) if task.size]
    runs = run_task(task)
    journal.write(task, runs)
    assert journal.read() == {task.name: runs}


def test_runs_that_were_planned_with_other_numbers_count_once() -> None:
    short, long = (Series("tutorial 10", "quiet", count) for count in (2, 3))
    found = {task.name: run_task(task) for one in (short, long) for task in tasks((one,)) if task.size}
    ((key, runs),) = grouped([long], found).items()
    assert key == ("tutorial 10", "quiet", "graviton-agent")
    assert [run.scenario for run in runs] == [f"tutorial 10 quiet {number}" for number in range(3)]


def test_every_series_advances_by_the_same_share() -> None:
    work = sorted(tasks((TUTORIAL, NULLS)), key=lambda task: task.progress)
    assert [task.series.kind for task in work] == ["tutorial 10", "null", "null", "null"]


def test_the_report_says_how_much_of_the_plan_was_run(tmp_path: Path) -> None:
    runs = ran(RunJournal(tmp_path / "runs.jsonl"))
    _, markdown = report.write(runs, tmp_path, planned=7, command="a test")
    assert "- simulated runs: 3 of 7 planned" in markdown.read_text()


@pytest.mark.parametrize(
    ("changed", "of", "verdict"),
    [(0, 100, "not proved"), (0, 3000, "met"), (30, 3000, "missed"), (9, 1000, "missed")],
)
def test_a_bound_that_few_runs_leave_open_is_neither_met_nor_missed(
    changed: int, of: int, verdict: str
) -> None:
    runs = [_null_run(number, "change" if number < changed else "keep") for number in range(of)]
    (result,) = [one for one in judge({("null", "typical", "graviton-agent"): runs}) if "null" in one.what]
    assert result.verdict == verdict


def test_a_share_above_its_target_is_not_proved_by_few_runs() -> None:
    runs = [_null_run(number, "keep") for number in range(20)]
    (result,) = [one for one in judge({("random", "quiet", "graviton-agent"): runs}) if one.what == "success"]
    assert (result.met, result.verdict) == (True, "met, not proved")


def _null_run(number: int, outcome: str) -> Run:
    return Run(f"made up {number}", "graviton-agent", outcome, {}, 1.0, 1.0, 1.0, 20.0, 4, 50)
