"""Runs tasks, and writes what came of each to a journal of JSON lines, so that a later run can go on."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.about import about
from benchmarks.planted.direct import measure
from benchmarks.planted.laboratory import TimedLaboratory
from benchmarks.planted.neighbour import neighbour
from benchmarks.planted.planting import BATCHES, THREADS, WIDTH, Planting
from benchmarks.planted.surroundings import watched
from benchmarks.planted.work import ALONE, Task, tasks
from graviton_agent.calibration.calibrate import Calibration, calibrate
from graviton_agent.calibration.confirmation import Confirmation
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.pool import WorkerPool
from graviton_agent.calibration.rules import Rules
from graviton_agent.host import Host
from graviton_agent.settings.threads import Threads

CHECK_SECONDS = 6.0
Line = dict[str, Any]
"""What a journal holds of one task."""


def read(journal: Path) -> list[Line]:
    """The tasks that are done."""
    if not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_text().splitlines()]


def left(journal: Path) -> Iterator[Task]:
    """The tasks that aren't done, in their order."""
    done = {line["task"] for line in read(journal)}
    return (task for task in tasks() if task.name not in done)


def run(task: Task, journal: Path, host: Host, python: str, torch: str) -> Line:
    """Does one task and writes it down; an interrupted one leaves no trace."""
    with watched() as surroundings:
        found = check(task, python) if task.kind == "check" else calibration(task, host, python)
    line = {
        "task": task.name,
        **vars(task),
        "about": about() | {"torch": torch},
        "surroundings": surroundings.to_json(),
        **found,
    }
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return line


def check(task: Task, python: str) -> Line:
    """Measures the ratio directly."""
    planting = Planting.of(task.ratio)
    layers = [[WIDTH, WIDTH]] * planting.depth
    arguments = {"layers": layers, "batches": list(BATCHES), "seconds": CHECK_SECONDS}
    return {"log_ratios": measure(python, planting.environment, arguments)}


def calibration(task: Task, host: Host, python: str) -> Line:
    """Calibrates the planted network under the task's condition."""
    rules = Rules()
    disturber = contextlib.nullcontext() if task.condition == ALONE else neighbour(task.condition, task.seed)
    planting = Planting.of(task.ratio)
    with (
        disturber,
        WorkerPool(
            python,
            planting.workload,
            environment=planting.environment,
            held={Threads.variable: str(THREADS)},
            seed=task.seed,
        ) as pool,
    ):
        laboratory = TimedLaboratory(pool)
        plan = planting.plan(host, task.seed)
        done = calibrate(Journal(laboratory, rules.budget_seconds), plan, rules)
    return summary(done, task.ratio, rules) | {"blocks": laboratory.blocks}


def summary(done: Calibration, ratio: float, rules: Rules) -> Line:
    """What came of a calibration."""
    decision = done.decision
    predicted = [p.gain for p in done.screening.predictions if p.arm.configuration.variables]
    return {
        "outcome": decision.outcome.value,
        "reason": decision.reason,
        "seconds": round(done.seconds, 2),
        "predicted": predicted[0] if predicted else None,
        "alive": [effect.alive for effect in done.screening.effects],
        "screening_variances": list(done.screening.pair_variances),
        "confirmation": confirmed(done.confirmations[0], ratio, rules) if done.confirmations else None,
    }


def confirmed(confirmation: Confirmation, ratio: float, rules: Rules) -> Line:
    """The comparison of planted and default, beside the truth."""
    found = confirmation.estimate
    interval = (
        None
        if found is None
        else (found.lower(rules.coverage_alpha / 2), found.upper(rules.coverage_alpha / 2))
    )
    return {
        "verdict": confirmation.verdict.value,
        "reason": confirmation.reason,
        "dropped": confirmation.dropped,
        "log_ratios": [pair.log_ratio for pair in confirmation.pairs],
        "interval": interval,
        "covered": None if interval is None else interval[0] <= math.log(ratio) <= interval[1],
    }
