"""What more time buys: power, regret and charged time by the budget, under one noise."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.about import about
from benchmarks.decisions import metrics
from benchmarks.decisions.methods import Run, graviton_agent
from benchmarks.decisions.report import table
from benchmarks.decisions.suite import Series
from graviton_agent.calibration.rules import Rules

BUDGETS = (30, 45, 60, 90, 120, 180)
"""Seconds."""
KINDS = ("random", "null", "planted 1.05", "planted 1.08")
RESULTS = Path(__file__).parent.parent / "results"

Point = tuple[int, str, str, int]
"""Budget, kind of surface, preset, number."""


def run_point(point: Point) -> Run:
    """One calibration with its budget."""
    budget, kind, preset, number = point
    scenario = Series(kind, preset, 1).scenario(number)
    return graviton_agent(scenario, replace(Rules(), budget_seconds=float(budget)))


def main(
    *,
    seeds: Annotated[int, typer.Option(help="Surfaces of each kind for each budget.")] = 200,
    preset: Annotated[str, typer.Option(help="Noise preset.")] = "noisy",
    processes: Annotated[int, typer.Option(help="How many processes work side by side.")] = os.cpu_count()
    or 1,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
) -> None:
    """What more time buys."""
    points = [(budget, kind, preset, n) for budget in BUDGETS for kind in KINDS for n in range(seeds)]
    with ProcessPoolExecutor(processes) as pool:
        runs = dict(zip(points, pool.map(run_point, points, chunksize=20), strict=True))
    rows = []
    for budget in BUDGETS:
        by_kind = {
            kind: [run for point, run in runs.items() if point[:2] == (budget, kind)] for kind in KINDS
        }
        everything = [run for found in by_kind.values() for run in found]
        rows.append(
            [
                f"{budget} s",
                str(metrics.share(by_kind["random"], metrics.success)),
                f"{metrics.mean_regret(by_kind['random']):.2%}",
                str(metrics.share(by_kind["null"], metrics.changed)),
                str(metrics.share(by_kind["planted 1.05"], metrics.changed)),
                str(metrics.share(by_kind["planted 1.08"], metrics.changed)),
                str(metrics.seconds(everything)),
            ]
        )
    header = ["budget", "success", "mean regret", "null changed", "5 % adopted", "8 % adopted", "seconds"]
    lines = [
        f"# What more time buys under {preset} noise",
        "",
        *(f"- {name}: {value}" for name, value in about().items()),
        "",
        *table(header, rows),
        "",
        "Seconds are median / 95th percentile / most, charged on the virtual clock.",
    ]
    output.mkdir(parents=True, exist_ok=True)
    (output / f"decisions-budget-{preset}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
