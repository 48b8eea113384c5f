"""The results as JSON and as Markdown."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.decisions.metrics import Share
from benchmarks.decisions.report import Table, table
from benchmarks.planted import components, summary
from benchmarks.planted.components import Components
from benchmarks.planted.planting import BATCHES, DEPTHS, THREADS, WIDTH
from benchmarks.planted.work import CONDITIONS, RATIOS, tasks
from tests.simulator.noise import PRESETS

Line = dict[str, Any]


def one_line(line: Line) -> str:
    """What came of a task, for whoever watches."""
    if line["kind"] == "check":
        ratio, error = summary.checked([line])
        return f"{line['task']}: {ratio:.4f} +- {error:.4f}"
    sd = summary.measured_sd([line])
    shown = "" if sd is None else f", pair SD {sd:.1%}"
    return f"{line['task']}: {line['outcome']} in {line['seconds']:.1f} s{shown} ({line['reason']})"


def write(lines: Sequence[Line], folder: Path) -> tuple[Path, Path]:
    """Writes planted.json and planted.md; returns their paths."""
    done = [line for line in lines if line["kind"] == "calibration"]
    noise = [found for found in map(_components(done), ("all", *CONDITIONS)) if found is not None]
    as_json = folder / "planted.json"
    document = {
        "about": _about(lines),
        "components": [one.to_json() for one in noise],
        "calibrations": [
            {name: value for name, value in line.items() if name not in {"blocks", "about"}} for line in done
        ],
        "checks": {
            f"{ratio:.2f}": summary.checked(own) for ratio in RATIOS if (own := _of(lines, "check", ratio))
        },
    }
    as_json.write_text(json.dumps(document, indent=1) + "\n")
    as_markdown = folder / "planted.md"
    as_markdown.write_text("\n".join(_markdown(lines, done, noise)) + "\n")
    return as_json, as_markdown


def _components(done: Sequence[Line]) -> Any:
    def of(condition: str) -> Components | None:
        own = [line for line in done if condition in {"all", line["condition"]}]
        return components.estimate(f"measured, {condition}", own)

    return of


def _of(lines: Sequence[Line], kind: str, ratio: float, condition: str | None = None) -> list[Line]:
    return [
        line
        for line in lines
        if line["kind"] == kind and line["ratio"] == ratio and condition in {None, line["condition"]}
    ]


def _about(lines: Sequence[Line]) -> dict[str, str]:
    """What the lines have in common, and how many have each where they differ."""
    found = {}
    for name in lines[0]["about"]:
        values = Counter(str(line["about"].get(name)) for line in lines)
        found[name] = next(iter(values)) if len(values) == 1 else _counted(values)
    return found | {"tasks": f"{len(lines)} of {len(tasks())} done"}


def _counted(values: Counter[str]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in sorted(values.items()))


def _markdown(lines: Sequence[Line], done: Sequence[Line], noise: Sequence[Components]) -> Iterator[str]:
    yield "# Planted gains on real hardware"
    yield ""
    yield (
        "Real worker processes on real torch, through the agent's own `calibrate()` with its default rules. "
        f"Each process has {THREADS} thread. The network has {' or '.join(map(str, DEPTHS))} equal layers "
        f"of {WIDTH} by {WIDTH} at batches {' and '.join(map(str, BATCHES))}, some of which the default "
        "computes twice, so that the true gain is known. `memory` and `bursts` are noisy neighbours that the "
        "benchmark starts itself. Shares carry the exact 95 % interval of Clopper and Pearson. The times are "
        "this machine's and say nothing of a Graviton."
    )
    yield ""
    yield from (f"- {name}: {value}" for name, value in _about(lines).items())
    yield from _section("The machine meanwhile", _machine(done))
    yield _quietness(done)
    yield from _section("The planted ratios, measured directly", _checks(lines))
    yield from _section("False changes (true ratio 1.00)", _nulls(done))
    yield from _section("Gains found", _gains(done))
    yield (
        "Expected is the power of the confirmation's test on normal pairs of the measured SD, drawn "
        f"{summary.SIMULATED} times; screening may already have passed over a small gain."
    )
    yield from _section("Adopted, by the pair SD that a calibration showed itself", _power(done))
    yield from _section("Intervals", _intervals(done))
    yield from _section("The machine's noise beside the simulator's", _noise(noise))
    yield (
        "SDs of log time. Steps is the drift from one launch of processes to the next, bulk is white by the "
        "median, without tails. The presets' bursts come on top of their figures."
    )
    yield from _section("Time of a calibration, in seconds", _times(done))


def _section(title: str, rows: Table) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from table(rows[0], rows[1:])
    yield ""


def _machine(done: Sequence[Line]) -> Table:
    rows = [
        ["condition", "CPUs", "load", "others' share of the machine", "steal", "others and steal in blocks"]
    ]
    for condition in (None, *CONDITIONS):
        own = [line for line in done if condition in {None, line["condition"]}]
        if own:
            shares = summary.block_shares(own)
            rows.append(
                [
                    condition or "all",
                    summary.cpus(own),
                    _range(summary.meanwhile(own, "load"), "{:.1f}"),
                    *(_range(summary.meanwhile(own, name), "{:.1%}") for name in ("others", "steal")),
                    "-" if shares is None else f"{shares[1]:.1%}, {shares[0]:.1%}",
                ]
            )
    return rows


def _quietness(done: Sequence[Line]) -> str:
    """What the reader has to know of the machine, in words."""
    explained = (
        "Load and shares are median / most over the calibrations; the load is of the minute before each. "
        "Others are processes that the benchmark did not start; the shares in blocks are means on the "
        "measured CPUs themselves, and its noisy neighbours count there."
    )
    match summary.quiet(done):
        case None:
            return f"{explained} Nothing is known of what else ran on this machine."
        case True:
            return f"{explained} The machine was quiet otherwise."
        case False:
            return (
                f"{explained} **The machine was busy otherwise**: what is called alone had neighbours that "
                "the benchmark did not start, and shared caches and memory with them."
            )


def _range(values: Sequence[float], form: str) -> str:
    return f"{form.format(median(values))} / {form.format(values[-1])}" if values else "-"


def _checks(lines: Sequence[Line]) -> Table:
    rows = [["planted", "measured", "standard error", "rounds"]]
    for ratio in RATIOS:
        if own := _of(lines, "check", ratio):
            measured, error = summary.checked(own)
            rounds = sum(len(ratios) for line in own for ratios in line["log_ratios"].values())
            rows.append([f"{ratio:.2f}", f"{measured:.4f}", f"{error:.4f}", str(rounds)])
    return rows


def _nulls(done: Sequence[Line]) -> Table:
    rows = [["condition", "calibrations", "false changes", "inconclusive", "confirmations", "pair SD"]]
    for condition in (None, *CONDITIONS):
        own = _of(done, "calibration", 1.0, condition)
        if own:
            rows.append(
                [
                    condition or "all",
                    str(len(own)),
                    _share(summary.outcomes(own, "change")),
                    _share(summary.outcomes(own, "inconclusive")),
                    str(len(summary.confirmations(own))),
                    _percent(summary.measured_sd(own)),
                ]
            )
    return rows


def _gains(done: Sequence[Line]) -> Table:
    header = ["true ratio", "condition", "calibrations", "adopted", "expected", "inconclusive"]
    rows = [[*header, "pairs dropped", "pair SD"]]
    for ratio in RATIOS[1:]:
        for condition in (None, *CONDITIONS):
            own = _of(done, "calibration", ratio, condition)
            sd = summary.measured_sd(own)
            if not own:
                continue
            rows.append(
                [
                    f"{ratio:.2f}",
                    condition or "all",
                    str(len(own)),
                    _share(summary.outcomes(own, "change")),
                    "-" if sd is None else f"{summary.expected_power(ratio, round(sd, 4)):.2f}",
                    str(summary.outcomes(own, "inconclusive").count),
                    _share(summary.disturbed(own)),
                    _percent(sd),
                ]
            )
    return rows


def _power(done: Sequence[Line]) -> Table:
    rows = [["pair SD", *(f"{ratio:.2f}" for ratio in RATIOS)]]
    for words, own in summary.by_sd(done):
        shares = [summary.outcomes(_of(own, "calibration", ratio), "change") for ratio in RATIOS]
        rows.append([words, *(f"{found.count} of {found.of}" if found.of else "-" for found in shares)])
    return rows


def _intervals(done: Sequence[Line]) -> Table:
    rows = [["condition", "holds the true gain", "the same, adopted", "true gain at least as promised"]]
    for condition in (None, *CONDITIONS):
        own = [line for line in done if condition in {None, line["condition"]}]
        rows.append(
            [
                condition or "all",
                _share(summary.coverage(own)),
                _share(summary.adopted_coverage(own)),
                _share(summary.promises_kept(own)),
            ]
        )
    return rows


def _noise(noise: Sequence[Components]) -> Table:
    rows = [["", "process", "drift", "white", "interaction", "pair", "steps", "bulk", "launches"]]
    for one in (*noise, *map(components.of_preset, PRESETS.values())):
        figures = (one.process, one.drift, one.white)
        rows.append(
            [
                one.name,
                *map(_percent, figures),
                "-" if one.interaction is None else f"{one.interaction:.2f}",
                *map(_percent, (one.pair, one.steps, one.bulk)),
                str(one.launches or "-"),
            ]
        )
    return rows


def _times(done: Sequence[Line]) -> Table:
    rows = [["true ratio", "calibrations", "median", "95th percentile", "most"]]
    groups = [(ratio, _of(done, "calibration", ratio)) for ratio in RATIOS]
    rows.extend(
        [f"{ratio:.2f}", str(len(own)), *(f"{value:.1f}" for value in summary.seconds(own).values())]
        for ratio, own in groups
        if own
    )
    return rows


def _share(found: Share) -> str:
    if not found.of:
        return "-"
    low, high = found.interval
    return f"{found.count} of {found.of} [{low:.1%}, {high:.1%}]"


def _percent(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.2%}"
