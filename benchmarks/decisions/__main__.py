"""Runs the benchmark: `python -m benchmarks.decisions`, or `make bench-decisions`."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.decisions import report
from benchmarks.decisions.runner import run_all
from benchmarks.decisions.suite import series
from benchmarks.decisions.targets import judge
from tests.simulator.noise import PRESETS

RESULTS = Path(__file__).parent.parent / "results"
QUICK = 150


def main(
    *,
    seeds: Annotated[int, typer.Option(help="Null surfaces for each preset; the other kinds follow.")] = 3000,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK} seeds: a look, not a proof.")] = False,
    preset: Annotated[list[str] | None, typer.Option(help="Noise presets; all if none is named.")] = None,
    processes: Annotated[int, typer.Option(help="How many processes work side by side.")] = os.cpu_count()
    or 1,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
) -> None:
    """How often the decision is right on simulated hosts, and what it costs."""
    presets = tuple(preset or PRESETS)
    if unknown := set(presets) - set(PRESETS):
        raise typer.BadParameter(f"there is no preset {', '.join(unknown)}; there are {', '.join(PRESETS)}")
    seeds = QUICK if quick else seeds
    console = Console(width=None if sys.stdout.isatty() else 160)
    began = time.monotonic()
    runs = run_all(series(seeds, presets), processes, console)
    command = f"python -m benchmarks.decisions --seeds {seeds}"
    paths = report.write(runs, output, seeds=seeds, took_seconds=time.monotonic() - began, command=command)
    table = Table("preset", "what", "target", "found (95 % interval)", "", "stretch")
    for result in judge(runs):
        met = "[green]met[/]" if result.met else "[red]missed[/]"
        table.add_row(result.preset, result.what, result.target, result.found, met, result.stretch)
    console.print(table)
    console.print(f"written: {', '.join(map(str, paths))}")


if __name__ == "__main__":
    typer.run(main)
