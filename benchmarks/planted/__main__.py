"""Runs the benchmark: `python -m benchmarks.planted`, or `make bench-planted`."""

import itertools
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.planted import report, series
from graviton_agent.calibration.probe import probe
from graviton_agent.host import read_host
from graviton_agent.root import Root

RESULTS = Path(__file__).parent.parent / "results"


def main(
    *,
    slice_size: Annotated[
        int | None,
        typer.Option("--slice", min=0, help="Tasks to do now; 0 is the report alone; default: all."),
    ] = None,
    python: Annotated[Path, typer.Option(help="The interpreter with the torch to run on.")] = Path(
        sys.executable
    ),
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
) -> None:
    """Calibrations of planted gains with real processes on real torch.

    Each task is written down when it is done, and a later run goes on behind it. The report is made when
    nothing is left to do, and for `--slice 0`.
    """
    journal = output / "planted.jsonl"
    todo = list(series.left(journal))
    if todo and slice_size != 0:
        host, torch = read_host(Root()), probe(str(python))
        for task in itertools.islice(todo, slice_size):
            line = series.run(task, journal, host, torch.interpreter, torch.version)
            print(report.one_line(line), flush=True)
    done, more = series.read(journal), len(list(series.left(journal)))
    print(f"{len(done)} of {len(done) + more} tasks are done")
    if done and (not more or slice_size == 0):
        print(f"written: {', '.join(map(str, report.write(done, output)))}")


if __name__ == "__main__":
    typer.run(main)
