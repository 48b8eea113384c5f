"""`graviton-agent calibrate`: measures what each setting does, for units or for any workload."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graviton_agent.errors import ExitCode
from graviton_agent.lock import LONGEST_WAIT_SECONDS
from graviton_agent.terminal import tell

if TYPE_CHECKING:
    from graviton_agent.calibration.rules import Rules


def calibrate(
    units: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[UNIT]...",
            help="Managed units, with the workload of their configuration; default: none, but this Python.",
        ),
    ] = None,
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
        str | None,
        typer.Option(
            "--preset", metavar="NAME", help="tutorial, bert-base, vit-b or llama; default: tutorial."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="The number of threads that the unit is held to.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", min=1, max=256, help="How many processes serve side by side; default: 1."
        ),
    ] = None,
    settings: Annotated[
        str | None, typer.Option("--settings", metavar="NAMES", help="Try these settings only.")
    ] = None,
    forbid: Annotated[
        str | None, typer.Option("--forbid", metavar="NAMES", help="Settings that are not to be tried.")
    ] = None,
    min_cosine: Annotated[
        float | None,
        typer.Option("--min-cosine", min=0.0, max=1.0, help="Smallest cosine similarity with float64."),
    ] = None,
    memory_margin: Annotated[
        str | None,
        typer.Option("--memory-margin", metavar="SIZE", help="Memory a setting may cost: 64M, or 10%."),
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option("--memory-limit", metavar="SIZE", help="Memory all workers may take: 4G.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget", min=1.0, max=86400.0, metavar="SECONDS", help="Time for everything; default: 90."
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", min=0.0, max=86400.0, metavar="SECONDS", help="For another calibration to end."
        ),
    ] = LONGEST_WAIT_SECONDS,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**32 - 1, help="Of all random orders; default: random."),
    ] = None,
    operators: Annotated[
        bool, typer.Option("--operators", help="Print torch's table of operators, before and after.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure a unit, and neither keep nor apply its profile.")
    ] = False,
    unasked: Annotated[
        bool, typer.Option("--unasked", hidden=True, help="The agent wants it: not of what was reverted.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write the JSON record there as well.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON record instead of the table.")
    ] = False,
) -> ExitCode:
    """Measure which settings make a workload faster here.

    Every candidate runs in fresh processes of the interpreter, against the default, until the difference is
    certain or hopeless. What was measured is kept as a record. A unit's result is kept as its profile and put
    in place for its next start; without units nothing is changed.
    """
    # Imported here so that other commands start without pydantic.
    import os
    import random
    import sys

    from graviton_agent.calibration.memory import check_memory
    from graviton_agent.calibration.probe import probe
    from graviton_agent.calibration.session import Request, run_session
    from graviton_agent.cli.calibrate_units import calibrate_units
    from graviton_agent.cli.output import write_output
    from graviton_agent.cli.progress import progress
    from graviton_agent.control.calibration import Wishes
    from graviton_agent.errors import UsageError
    from graviton_agent.host import read_host
    from graviton_agent.lock import only_calibration
    from graviton_agent.quantities import parse_size
    from graviton_agent.report.calibration import render
    from graviton_agent.root import Root
    from graviton_agent.settings.catalogue import markers
    from graviton_agent.workload import make_workload

    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    limit = None if memory_limit is None else parse_size(memory_limit)
    if units:
        configured = {
            "--python": python,
            "--batch": batch,
            "--layers": layers,
            "--preset": preset,
            "--threads": threads,
            "--processes": processes,
            "--settings": settings,
            "--forbid": forbid,
            "--min-cosine": min_cosine,
            "--memory-margin": memory_margin,
        }
        _refuse_for_units(units[0], [option for option, value in configured.items() if value is not None])
        seconds = _rules(budget, None, None).budget_seconds if budget else None
        wishes = Wishes(seed, seconds, limit, operators, unasked)
        return calibrate_units(
            units, wishes, wait_seconds=wait, dry_run=dry_run, output=output, as_json=as_json
        )
    if dry_run:
        raise UsageError("--dry-run is for units", hint="without units nothing is applied anyway")
    request = Request(
        workload=make_workload(
            preset=preset or "tutorial", layers=layers, batches=batch, processes=processes or 1
        ),
        rules=_rules(budget, min_cosine, memory_margin),
        only=_names(settings),
        forbidden=_names(forbid) or frozenset(),
        threads=threads,
        memory_limit=limit,
        operators=operators,
        seed=seed,
    )
    host = read_host(Root())
    check_memory(request.workload, host, asked=limit)
    with (
        progress(request.rules.budget_seconds) as narrate,
        only_calibration(wait_seconds=wait, tell=narrate),
    ):
        narrate("asking the interpreter about its torch")
        torch = probe(str(python or sys.executable), markers())
        record = run_session(request, host, torch, dict(os.environ), narrate)
    tell(record.to_json() if as_json else render(record))
    if output is not None:
        write_output(output, record.to_json().encode() + b"\n")
    return ExitCode.OK


def _refuse_for_units(unit: str, options: list[str]) -> None:
    """A profile holds for what the configuration says, so that is what is measured."""
    from graviton_agent.errors import UsageError

    if options:
        raise UsageError(
            f"{options[0]} can't stand here: the configuration says what is measured for a unit",
            hint=f"graviton-agent enable {unit} {options[0]} ... puts it there",
        )


def _rules(budget: float | None, min_cosine: float | None, memory_margin: str | None) -> "Rules":
    """The declared rules, with the command line's bounds."""
    import math
    from dataclasses import replace

    from graviton_agent.calibration.rules import Rules
    from graviton_agent.errors import UsageError
    from graviton_agent.quantities import parse_percent, parse_size

    for option, number in (("--budget", budget), ("--min-cosine", min_cosine)):
        # Every comparison with nan is false, so that it passes for being within bounds.
        if number is not None and not math.isfinite(number):
            raise UsageError(
                f"{option} wants a number, not {number}",
                hint="graviton-agent calibrate --help lists the options and their bounds",
            )
    rules = Rules(
        budget_seconds=Rules.budget_seconds if budget is None else budget,
        minimum_cosine=Rules.minimum_cosine if min_cosine is None else min_cosine,
    )
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
