"""The benchmark of planted gains: what it plants, its plan of work, and what it reads out of blocks."""

import math
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planted import report
from benchmarks.planted.components import Components, estimate
from benchmarks.planted.interpreter.sitecustomize import Repetition
from benchmarks.planted.laboratory import TimedBlock
from benchmarks.planted.planting import Planting
from benchmarks.planted.summary import by_sd, checked, expected_power
from benchmarks.planted.surroundings import watched
from benchmarks.planted.work import RATIOS, tasks
from tests.simulator.noise import PRESETS


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_ratio_is_a_whole_number_of_repeated_layers(ratio: float) -> None:
    planting = Planting.of(ratio)
    assert (planting.depth + planting.repeats) / planting.depth == pytest.approx(ratio, abs=1e-12)


@pytest.mark.parametrize(("depth", "repeats"), [(20, 0), (20, 1), (20, 2), (20, 10), (50, 1), (20, 20)])
def test_every_layer_runs_once_and_as_many_as_planted_run_again(depth: int, repeats: int) -> None:
    stack = _Stack(depth)
    steps = Repetition(repeats, fast=False).steps(stack)
    kept = [modules for modules, dropped in steps if not dropped]
    again = [tuple(modules) for modules, dropped in steps if dropped]
    assert [module for modules in kept for module in modules] == list(stack)
    assert len(again) == len(set(again)) == repeats


def test_a_fast_process_repeats_nothing() -> None:
    assert not any(dropped for _, dropped in Repetition(10, fast=True).steps(_Stack(20)))


def test_the_plan_has_a_hundred_nulls_and_twenty_of_each_gain() -> None:
    counts = Counter(task.ratio for task in tasks() if task.kind == "calibration")
    assert counts == {1.0: 100, 1.02: 20, 1.05: 20, 1.10: 20, 1.50: 20}


def test_no_two_tasks_share_a_name() -> None:
    names = [task.name for task in tasks()]
    assert len(set(names)) == len(names)


def test_the_components_of_noise_are_read_out_of_blocks() -> None:
    found = estimate("drawn", _lines(process=0.03, drift=0.05, white=0.02, interaction=0.3, ratio=1.1))
    assert isinstance(found, Components)
    assert found.process == pytest.approx(0.03, rel=0.1)
    assert found.drift == pytest.approx(0.05, rel=0.1)
    assert found.white == pytest.approx(0.02, rel=0.1)
    assert found.bulk == pytest.approx(0.02, rel=0.1)
    assert found.interaction == pytest.approx(0.3, abs=0.1)


def test_a_direct_measurement_is_read_over_both_batches() -> None:
    line = {"log_ratios": {"64": [math.log(1.04)] * 3, "16": [math.log(1.06)] * 3}}
    ratio, error = checked([line])
    assert ratio == pytest.approx(math.sqrt(1.04 * 1.06))
    assert error == 0.0


def test_a_large_gain_is_always_found_where_there_is_little_noise() -> None:
    assert expected_power(1.5, 0.01) == 1.0


def test_a_calibration_that_repeated_nothing_shows_no_sd() -> None:
    line: dict[str, Any] = {"ratio": 1.0, "confirmation": None, "screening_variances": []}
    assert [words for words, found in by_sd([line]) if found] == ["showed none"]


def test_the_report_puts_the_machines_noise_beside_the_simulators(tmp_path: Path) -> None:
    text = _reported(_journal(), tmp_path)
    rows = [row.split(" | ")[0].removeprefix("| ") for row in _rows(text, "The machine's noise")]
    assert rows == ["measured, all", "measured, alone", *PRESETS]
    drawn = _rows(text, "The machine's noise")[0].split(" | ")
    process, drift, white = (float(cell.rstrip("%")) for cell in drawn[1:4])
    assert (process, drift, white) == pytest.approx((3.0, 5.0, 2.0), rel=0.1)


def test_the_report_shows_power_by_the_measured_pair_sd(tmp_path: Path) -> None:
    rows = {
        row.split(" | ")[0]: row for row in _rows(_reported(_journal(), tmp_path), "Adopted, by the pair")
    }
    # Each calibration of the journal shows an SD of 3 %, and found its gain of 10 %.
    assert rows["| 2% to 4%"] == "| 2% to 4% | 0 of 100 | - | - | 500 of 500 | - |"


def test_the_report_says_how_many_cpus_there_were_and_that_the_machine_was_busy(tmp_path: Path) -> None:
    text = _reported(_journal(others=0.4), tmp_path)
    assert "| all | 1 of 2 | 1.5 / 1.5 | 40.0% / 40.0% | 1.0% / 1.0% | 0.0%, 0.0% |" in text
    assert "**The machine was busy otherwise**" in text


@pytest.mark.parametrize(
    ("others", "words"), [(0.01, "The machine was quiet otherwise."), (None, "Nothing is known")]
)
def test_the_report_calls_a_machine_quiet_only_where_it_was(
    others: float | None, words: str, tmp_path: Path
) -> None:
    assert words in _reported(_journal(others=others), tmp_path)


def test_what_the_benchmark_itself_uses_is_not_others_work() -> None:
    with watched() as found:
        subprocess.run((sys.executable, "-c", "sum(range(10**6))"), check=True)
    assert 0 < found.usable_cpus <= found.cpus
    assert found.others is None or 0.0 <= found.others <= 1.0


def _reported(lines: list[dict[str, Any]], folder: Path) -> str:
    _, markdown = report.write(lines, folder)
    return markdown.read_text()


def _rows(text: str, title: str) -> list[str]:
    """The rows of the table under a title."""
    section = text.split(f"## {title}", 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def _journal(*, others: float | None = 0.01) -> list[dict[str, Any]]:
    """What a journal holds of nulls that were kept and gains of 10 % that were adopted."""
    lines = _lines(process=0.03, drift=0.05, white=0.02, interaction=0.3, ratio=1.1)
    surroundings = {"usable_cpus": 1, "cpus": 2, "load": 1.5, "others": others, "steal": 0.01}
    for number, line in enumerate(lines):
        ratio = 1.0 if number < 100 else 1.1
        centre = math.log(ratio)
        line |= {
            "kind": "calibration",
            "condition": "alone",
            "ratio": ratio,
            "about": {"machine": "made up"},
            "surroundings": surroundings,
            "outcome": "keep" if ratio == 1.0 else "change",
            "reason": "made up",
            "seconds": 20.0,
            "screening_variances": [],
            "confirmation": {
                "verdict": "adopt",
                "dropped": 0,
                "log_ratios": [centre - 0.03, centre + 0.03],
                "interval": (centre - 0.05, centre + 0.05),
                "covered": True,
            },
        }
        # The blocks were drawn with a ratio of 1.1: a null has none that are faster.
        if ratio == 1.0:
            line["blocks"] = [
                block._replace(nanoseconds=block.nanoseconds * 1.1, fast=False) if block.fast else block
                for block in line["blocks"]
            ]
    return lines


class _Stack(list[str]):
    """Stands for a stack of modules: names, and a place for the plan."""

    def __init__(self, depth: int) -> None:
        modules = ["flatten"]
        for layer in range(depth):
            modules += [f"linear {layer}", f"relu {layer}"]
        super().__init__(modules[:-1])


def _lines(
    *, process: float, drift: float, white: float, interaction: float, ratio: float, seed: int = 1
) -> list[dict[str, Any]]:
    """Calibrations of five pairs each, drawn from the components."""
    draw = random.Random(seed)
    lines = []
    for number in range(600):
        blocks = []
        for launch in range(5):
            level = draw.gauss(0.0, drift)
            common = [draw.gauss(0.0, process * math.sqrt(1 - interaction)) for _ in range(2)]
            for batch, base in ((64, 20.0), (16, 8.0)):
                own = [draw.gauss(0.0, process * math.sqrt(interaction)) for _ in range(2)]
                for arm in (0, 1, 1, 0):
                    noise = level + common[arm] + own[arm] + draw.gauss(0.0, white)
                    time = base * 1e6 * math.exp(noise) / (ratio if arm else 1.0)
                    blocks.append(TimedBlock(0.0, launch, arm, bool(arm), batch, time, 0, 0.0, 0.0))
        lines.append({"task": str(number), "ratio": ratio, "blocks": blocks})
    return lines
