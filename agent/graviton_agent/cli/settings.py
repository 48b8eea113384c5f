"""`graviton-agent settings`: the catalogue, and what of it applies on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from graviton_agent.terminal import tell


def settings(
    python: Annotated[
        Path | None,
        typer.Option(
            "--python", metavar="PATH", help="The interpreter whose torch is asked; default: this one."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the catalogue as JSON.")] = False,
) -> None:
    """Print the catalogue of settings, and what of it can have an effect on this machine."""
    import json
    import sys

    from graviton_agent.calibration.probe import probe
    from graviton_agent.errors import InterpreterError
    from graviton_agent.host import read_host
    from graviton_agent.report.calibration import headline
    from graviton_agent.report.settings import render
    from graviton_agent.root import Root
    from graviton_agent.settings.catalogue import CATALOGUE, markers
    from graviton_agent.workload import make_workload

    host = read_host(Root())
    workload = make_workload()
    try:
        torch = probe(str(python or sys.executable), markers())
    except InterpreterError:
        # The catalogue is worth printing without torch; an interpreter that was named must work.
        if python is not None:
            raise
        torch = None
    rows = [
        (
            setting,
            setting.applies(host, torch) if torch else None,
            setting.candidates(host, torch, workload) if torch else (),
        )
        for setting in CATALOGUE
    ]
    if as_json:
        tell(json.dumps([setting.to_json(applies, values) for setting, applies, values in rows], indent=2))
    else:
        tell(render(rows, headline(host, torch) if torch else "no torch in this interpreter"))
