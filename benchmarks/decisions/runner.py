"""Runs the suite over a few processes, with a progress bar."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.decisions.methods import Run
from benchmarks.decisions.suite import Series, Task, tasks

Runs = dict[tuple[str, str, str], list[Run]]
"""By kind, preset and method."""


def run_task(task: Task) -> list[Run]:
    """One stretch; runs in a process of its own."""
    return [task.method(task.series.scenario(number)) for number in range(task.first, task.last)]


def run_all(all_series: Sequence[Series], processes: int, console: Console) -> Runs:
    """Runs everything. The order of completion leaves no trace: runs are sorted by task."""
    work = list(tasks(tuple(all_series)))
    found: dict[int, list[Run]] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with ProcessPoolExecutor(processes) as pool, Progress(*columns, console=console) as progress:
        total = sum(task.last - task.first for task in work)
        bar = progress.add_task("simulated calibrations", total=total)
        done = 0
        futures = {pool.submit(run_task, task): index for index, task in enumerate(work)}
        for future in as_completed(futures):
            index = futures[future]
            found[index] = future.result()
            before, done = done, done + len(found[index])
            progress.advance(bar, len(found[index]))
            if not console.is_terminal and 20 * done // total > 20 * before // total:
                # A bar that nobody sees move is no progress.
                console.print(f"{done} of {total} simulated calibrations are done")
    runs: Runs = defaultdict(list)
    for index, task in enumerate(work):
        for run in found[index]:
            runs[task.series.kind, task.series.preset, run.method].append(run)
    return dict(runs)
