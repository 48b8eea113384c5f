"""`graviton-agent detect`: says what this machine is, and how it knows."""

import json
from pathlib import Path
from typing import Annotated

import typer

from graviton_agent.errors import ExitCode
from graviton_agent.host import Verdict, read_host
from graviton_agent.root import Root
from graviton_agent.terminal import tell


def detect(
    as_json: Annotated[bool, typer.Option("--json", help="Print all facts as JSON.")] = False,
    root: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Read another machine's tree, with its proc and sys.",
        ),
    ] = Path("/"),
) -> ExitCode:
    """Say which Graviton this machine is.

    Exit code 0 for a Graviton, 3 for anything else and for what can't be told.
    """
    host = read_host(Root(root))
    if as_json:
        tell(json.dumps(host.to_json(), indent=2))
    else:
        # The report is for people alone: programs that ask for JSON don't wait for its import.
        from graviton_agent.report.host import render

        tell(render(host))
    return ExitCode.OK if host.verdict is Verdict.GRAVITON else ExitCode.NOT_GRAVITON
