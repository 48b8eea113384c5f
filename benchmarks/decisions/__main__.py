"""Runs the benchmark: `python -m benchmarks.decisions`, or `make bench-decisions`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.decisions import report
from benchmarks.decisions.runner import RunJournal, run_all
from benchmarks.decisions.suite import series, tasks
from benchmarks.decisions.targets import judge
from tests.simulator.noise import PRESETS

RESULTS = Path(__file__).parent.parent / "results"
QUICK = 150


def main(
    *,
    seeds: Annotated[int, typer.Option(help="Null surfaces for each preset; the other kinds follow.")] = 3000,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK} seeds: a look, not a proof.")] = False,
    preset: Annotated[list[str] | None, typer.Option(help="Noise presets; all if none is named.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help='Surfaces, such as "null"; all if none is named.')
    ] = None,
    processes: Annotated[int, typer.Option(help="How many processes work side by side.")] = os.cpu_count()
    or 1,
    minutes: Annotated[
        float | None, typer.Option(help="Time after which nothing more is begun; a later run goes on.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
) -> None:
    """How often the decision is right on simulated hosts, and what it costs.

    What is finished is written down at once, and a later run of the same sources goes on behind it.
    """
    presets = tuple(preset or PRESETS)
    if unknown := set(presets) - set(PRESETS):
        raise typer.BadParameter(f"there is no preset {', '.join(unknown)}; there are {', '.join(PRESETS)}")
    seeds = QUICK if quick else seeds
    console = Console(width=None if sys.stdout.isatty() else 160)
    wanted = [one for one in series(seeds, presets) if not kind or one.kind in kind]
    if not wanted:
        raise typer.BadParameter(f"there are no such surfaces as {', '.join(kind or ())}")
    journal = RunJournal(output / "decisions.jsonl")
    runs = run_all(wanted, processes, console, journal, seconds=None if minutes is None else 60 * minutes)
    command = f"python -m benchmarks.decisions --seeds {seeds}"
    paths = report.write(
        runs, output, planned=sum(task.size for task in tasks(tuple(wanted))), command=command
    )
    table = Table("preset", "what", "target", "found (95 % interval)", "", "stretch")
    for result in judge(runs):
        colour = "yellow" if result.open else "green" if result.met else "red"
        verdict = f"[{colour}]{result.verdict}[/]"
        table.add_row(result.preset, result.what, result.target, result.found, verdict, result.stretch)
    console.print(table)
    console.print(f"written: {', '.join(map(str, paths))}")


if __name__ == "__main__":
    typer.run(main)
