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
        int | None, typer.Option("--slice", min=0, help="Do so many more tasks and end; default: all.")
    ] = None,
    python: Annotated[Path, typer.Option(help="The interpreter with the torch to run on.")] = Path(
        sys.executable
    ),
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
) -> None:
    """Calibrations of planted gains with real processes on real torch.

    Each task is written down when it is done, and a later run goes on behind it. The report is made anew
    from all that is done.
    """
    journal = output / "planted.jsonl"
    todo = list(series.left(journal))
    if todo and slice_size != 0:
        host, torch = read_host(Root()), probe(str(python))
        for task in itertools.islice(todo, slice_size):
            line = series.run(task, journal, host, torch.interpreter, torch.version)
            print(report.one_line(line), flush=True)
    done = series.read(journal)
    if done:
        print(f"{len(done)} of {len(done) + len(list(series.left(journal)))} tasks are done")
        print(f"written: {', '.join(map(str, report.write(done, output)))}")


if __name__ == "__main__":
    typer.run(main)
