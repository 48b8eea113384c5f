"""Runs the suite over a few processes, with a progress bar and a journal that a later run goes on from."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import about
from benchmarks.decisions.methods import Run
from benchmarks.decisions.suite import Series, Task, first_number, series_of, tasks

Runs = dict[tuple[str, str, str], list[Run]]
"""By kind, preset and method."""
SOURCES = (about.SOURCES, "agent/graviton_agent/settings", "tests/simulator")
"""What a run depends on."""


def run_task(task: Task) -> list[Run]:
    """One stretch; runs in a process of its own."""
    return [task.method(task.series.scenario(number)) for number in range(task.first, task.last)]


class RunJournal:
    """Finished tasks as JSON lines. Those that other sources made are not taken for this one's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._code = about.code(*SOURCES)

    def read(self) -> dict[str, list[Run]]:
        """The runs of every finished task. A line that was being written when it was interrupted is none."""
        found: dict[str, list[Run]] = {}
        if self._path.exists():
            for text in self._path.read_text().splitlines():
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:
                    continue
                if line["code"] == self._code:
                    found[line["task"]] = [Run(**run) for run in line["runs"]]
        return found

    def write(self, task: Task, runs: Sequence[Run]) -> None:
        """Adds a finished task."""
        line = {"code": self._code, "task": task.name, "runs": [vars(run) for run in runs]}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write("\n" + json.dumps(line))


def run_all(
    all_series: Sequence[Series],
    processes: int,
    console: Console,
    journal: RunJournal,
    *,
    seconds: float | None = None,
) -> Runs:
    """Runs what the journal does not hold yet, until time is out. The order of completion leaves no trace.

    Every series advances by the same share at a time, so that a part of the work says something of each.
    """
    work = sorted(tasks(tuple(all_series)), key=lambda task: task.progress)
    found = journal.read()
    end = None if seconds is None else time.monotonic() + seconds
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with ProcessPoolExecutor(processes) as pool, Progress(*columns, console=console) as progress:
        total = sum(task.size for task in work)
        done = sum(task.size for task in work if task.name in found)
        bar = progress.add_task("simulated calibrations", total=total, completed=done)
        left = [task for task in work if task.name not in found]
        for task, runs in _finished(pool, left, processes, end):
            found[task.name] = runs
            journal.write(task, runs)
            before, done = done, done + task.size
            progress.advance(bar, task.size)
            if not console.is_terminal and 20 * done // total > 20 * before // total:
                # A bar that nobody sees move is no progress.
                console.print(f"{done} of {total} simulated calibrations are done")
    return grouped(all_series, found)


def grouped(all_series: Sequence[Series], found: Mapping[str, Sequence[Run]]) -> Runs:
    """All finished runs of these series, those too that were planned with another number of seeds."""
    by_series: dict[str, dict[str, Run]] = defaultdict(dict)
    for name in sorted(found, key=first_number):
        by_series[series_of(name)].update((run.scenario, run) for run in found[name])
    runs: Runs = {}
    for task in tasks(tuple(all_series)):
        if own := list(by_series[series_of(task.name)].values()):
            runs[task.series.kind, task.series.preset, own[0].method] = own
    return runs


def _finished(
    pool: ProcessPoolExecutor, work: Sequence[Task], processes: int, end: float | None
) -> Iterator[tuple[Task, list[Run]]]:
    """The tasks as they are finished; none is begun after the end."""
    waiting = iter(work)
    running: dict[Future[list[Run]], Task] = {}
    more = True
    while running or more:
        while more and len(running) < 2 * processes:
            task = next(waiting, None)
            more = task is not None and (end is None or time.monotonic() < end)
            if task is not None and more:
                running[pool.submit(run_task, task)] = task
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()
