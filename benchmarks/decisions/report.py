"""The results as JSON and as Markdown."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import about as benchmarks_about
from benchmarks.decisions import metrics
from benchmarks.decisions.methods import Run
from benchmarks.decisions.runner import Runs
from benchmarks.decisions.targets import Result, judge

Table = list[list[str]]


def write(runs: Runs, folder: Path, *, planned: int, command: str) -> tuple[Path, Path]:
    """Writes decisions.json and decisions.md; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    about = benchmarks_about.about() | {
        "command": command,
        "simulated runs": f"{sum(map(len, runs.values()))} of {planned} planned",
    }
    results = judge(runs)
    as_json = folder / "decisions.json"
    groups = [
        {"kind": kind, "preset": preset, "method": method} | _summary(found)
        for (kind, preset, method), found in runs.items()
    ]
    document = {"about": about, "targets": [vars(result) for result in results], "groups": groups}
    as_json.write_text(json.dumps(document, indent=1) + "\n")
    as_markdown = folder / "decisions.md"
    as_markdown.write_text("\n".join(_markdown(runs, results, about)) + "\n")
    return as_json, as_markdown


def _summary(runs: Sequence[Run]) -> dict[str, object]:
    shares = {
        "within 2 % of the best": metrics.share(runs, metrics.close),
        "success": metrics.share(runs, metrics.success),
        "changed": metrics.share(runs, metrics.changed),
        "inconclusive": metrics.share(runs, metrics.inconclusive),
        "more than 0.5 % slower": metrics.share(runs, metrics.harmful),
        "superfluous variables": metrics.share(runs, metrics.superfluous),
        "covered": metrics.coverage(runs, adopted=False),
        "covered, adopted": metrics.coverage(runs, adopted=True),
    }
    times = metrics.seconds(runs)
    return {
        name: {"count": found.count, "of": found.of, "interval": found.interval}
        for name, found in shares.items()
        if found.of
    } | {
        "mean regret": metrics.mean_regret(runs),
        "seconds": {"median": times.median, "p95": times.p95, "most": times.most},
        "starts": sum(run.starts for run in runs) / len(runs),
        "blocks": sum(run.blocks for run in runs) / len(runs),
    }


def _markdown(runs: Runs, results: Sequence[Result], about: dict[str, str]) -> Iterator[str]:
    yield "# Decisions on simulated hosts"
    yield ""
    yield (
        "Simulated, so nothing here is a speed of any real machine: it says how often the decision is right, "
        "and what it costs. Shares carry the exact 95 % interval of Clopper and Pearson."
    )
    yield ""
    yield from (f"- {name}: {value}" for name, value in about.items())
    yield ""
    yield "## Targets"
    yield ""
    yield (
        "Not proved: the interval lies on both sides of the target, so that more runs could tell. A target "
        'that says "bound" is for the upper end of the interval. What a longer budget would buy is in '
        "[decisions-budget-noisy.md](decisions-budget-noisy.md)."
    )
    yield ""
    rows = [
        [r.preset, r.what, r.target, r.found, r.verdict if r.met or r.open else f"**{r.verdict}**", r.stretch]
        for r in results
    ]
    yield from table(["preset", "what", "target", "found", "", "stretch"], rows)
    yield ""
    yield "## By kind of surface"
    yield ""
    yield (
        "Success: within 2 % of the true best, or the default kept where the best gains less than 4 %. "
        "Superfluous: a chosen variable brings less than 0.5 %."
    )
    yield ""
    yield from table(
        [
            "preset",
            "surfaces",
            "success",
            "within 2 %",
            "mean regret",
            "changed",
            "inconclusive",
            "slower",
            "superfluous",
            "covered",
            "covered, adopted",
            "seconds (median / p95 / most)",
            "starts",
        ],
        _kinds(runs),
    )
    yield ""
    yield "## Beside other methods, on the same surfaces and the same noise"
    yield ""
    yield from table(
        [
            "preset",
            "surfaces",
            "method",
            "within 2 %",
            "mean regret",
            "changed",
            "slower",
            "seconds (median)",
        ],
        _methods(runs),
    )


def _kinds(runs: Runs) -> Table:
    rows = []
    for (kind, preset, method), found in runs.items():
        if method != "graviton-agent":
            continue
        rows.append(
            [
                preset,
                kind,
                _short(metrics.share(found, metrics.success)),
                _short(metrics.share(found, metrics.close)),
                f"{metrics.mean_regret(found):.2%}",
                _short(metrics.share(found, metrics.changed)),
                _short(metrics.share(found, metrics.inconclusive)),
                _short(metrics.share(found, metrics.harmful)),
                f"{metrics.share(found, metrics.superfluous).value:.1%}",
                _short(metrics.coverage(found, adopted=False)),
                _short(metrics.coverage(found, adopted=True)),
                str(metrics.seconds(found)),
                f"{sum(run.starts for run in found) / len(found):.1f}",
            ]
        )
    return rows


def _methods(runs: Runs) -> Table:
    rows = []
    for (kind, preset, method), found in runs.items():
        if method == "graviton-agent":
            continue
        same = {run.scenario for run in found}
        first = (kind, preset, "graviton-agent")
        if method == "measure each once" and first in runs:
            own = [run for run in runs[first] if run.scenario in same]
            rows.append(_method_row(kind, preset, "graviton-agent", own))
        rows.append(_method_row(kind, preset, method, found))
    return rows


def _method_row(kind: str, preset: str, method: str, found: Sequence[Run]) -> list[str]:
    return [
        preset,
        kind,
        method,
        _short(metrics.share(found, metrics.close)),
        f"{metrics.mean_regret(found):.2%}",
        _short(metrics.share(found, metrics.changed)),
        _short(metrics.share(found, metrics.harmful)),
        f"{metrics.seconds(found).median:.0f}",
    ]


def _short(found: metrics.Share) -> str:
    if not found.of:
        return "-"
    low, high = found.interval
    return f"{found.value:.1%} [{low:.1%}, {high:.1%}]"


def table(header: Sequence[str], rows: Table) -> Iterator[str]:
    """A Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
