"""`graviton-agent calibrate`: measures what each setting does for a workload, on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graviton_agent.calibration.rules import Rules

LONGEST_WAIT_SECONDS = 600.0


def calibrate(
    python: Annotated[
        Path | None,
        typer.Option("--python", metavar="PATH", help="The interpreter that serves; default: this one."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", metavar="LIST", help="10,32,256, or 1:0.7,32:0.3 with shares of the calls."),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers", metavar="LIST", help="INPUTSxOUTPUTS of each linear layer: 4096x4096,4096x10."
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", metavar="NAME", help="tutorial, bert-base, vit-b or llama.")
    ] = "tutorial",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="The number of threads that the unit is held to.")
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", min=1, max=256, help="How many processes serve side by side.")
    ] = 1,
    settings: Annotated[
        str | None, typer.Option("--settings", metavar="NAMES", help="Try these settings only.")
    ] = None,
    forbid: Annotated[
        str | None, typer.Option("--forbid", metavar="NAMES", help="Settings that are not to be tried.")
    ] = None,
    min_cosine: Annotated[
        float, typer.Option("--min-cosine", min=0.0, max=1.0, help="Smallest cosine similarity with float64.")
    ] = 0.0,
    memory_margin: Annotated[
        str | None,
        typer.Option("--memory-margin", metavar="SIZE", help="Memory a setting may cost: 64M, or 10%."),
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option("--memory-limit", metavar="SIZE", help="Memory all workers may take: 4G.")
    ] = None,
    budget: Annotated[
        float, typer.Option("--budget", min=1.0, max=86400.0, metavar="SECONDS", help="Time for everything.")
    ] = 90.0,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**32 - 1, help="Of all random orders; default: random."),
    ] = None,
    operators: Annotated[
        bool, typer.Option("--operators", help="Print torch's table of operators, before and after.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write the JSON record there as well.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON record instead of the table.")
    ] = False,
) -> None:
    """Measure which settings make a workload faster here; change nothing.

    Every candidate runs in fresh processes of the interpreter, against the default, until the difference is
    certain or hopeless. What was measured is kept as a record.
    """
    # Imported here so that other commands start without pydantic.
    import os
    import random
    import sys

    from graviton_agent.calibration.probe import probe
    from graviton_agent.calibration.session import Request, check_memory, run_session
    from graviton_agent.cli.progress import progress
    from graviton_agent.host import read_host
    from graviton_agent.lock import only_calibration
    from graviton_agent.quantities import parse_size
    from graviton_agent.report.calibration import render
    from graviton_agent.root import Root
    from graviton_agent.settings.catalogue import markers
    from graviton_agent.state import write_atomically
    from graviton_agent.workload import make_workload

    request = Request(
        workload=make_workload(preset=preset, layers=layers, batches=batch, processes=processes),
        rules=_rules(budget, min_cosine, memory_margin),
        only=_names(settings),
        forbidden=_names(forbid) or frozenset(),
        threads=threads,
        memory_limit=None if memory_limit is None else parse_size(memory_limit),
        operators=operators,
        seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
    )
    host = read_host(Root())
    check_memory(request, host)
    with (
        progress(request.rules.budget_seconds) as narrate,
        only_calibration(wait_seconds=LONGEST_WAIT_SECONDS, tell=narrate),
    ):
        narrate("asking the interpreter about its torch")
        torch = probe(str(python or sys.executable), markers())
        record = run_session(request, host, torch, dict(os.environ), narrate)
    try:
        if output is not None:
            write_atomically(output, record.to_json().encode() + b"\n")
    finally:
        typer.echo(record.to_json() if as_json else render(record))


def _rules(budget: float, min_cosine: float, memory_margin: str | None) -> "Rules":
    """The declared rules, with the command line's bounds."""
    import math
    from dataclasses import replace

    from graviton_agent.calibration.rules import Rules
    from graviton_agent.errors import UsageError
    from graviton_agent.quantities import parse_percent, parse_size

    for option, number in (("--budget", budget), ("--min-cosine", min_cosine)):
        # Every comparison with nan is false, so that it passes for being within bounds.
        if not math.isfinite(number):
            raise UsageError(
                f"{option} wants a number, not {number}",
                hint="graviton-agent calibrate --help lists the options and their bounds",
            )
    rules = Rules(budget_seconds=budget, minimum_cosine=min_cosine)
    if memory_margin is None:
        return rules
    if memory_margin.endswith("%"):
        return replace(rules, memory_margin_bytes=0, memory_margin_share=parse_percent(memory_margin))
    return replace(rules, memory_margin_bytes=parse_size(memory_margin), memory_margin_share=0.0)


def _names(text: str | None) -> frozenset[str] | None:
    """A list of settings' names, each of which must be in the catalogue."""
    from graviton_agent.settings.catalogue import setting_named

    if text is None:
        return None
    return frozenset(setting_named(name.strip()).name for name in text.split(","))
