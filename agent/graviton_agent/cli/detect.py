"""`graviton-agent detect`: says what this machine is, and how it knows."""

import json
from pathlib import Path
from typing import Annotated

import typer

from graviton_agent.errors import ExitCode, UsageError
from graviton_agent.host import Verdict, read_host
from graviton_agent.root import Root


def detect(
    as_json: Annotated[bool, typer.Option("--json", help="Print all facts as JSON.")] = False,
    root: Annotated[
        Path,
        typer.Option(
            "--root", metavar="DIR", help="Stand in another machine's tree, with its /proc and /sys."
        ),
    ] = Path("/"),
) -> ExitCode:
    """Say which Graviton this machine is. Exit code 0: a Graviton; 3: something else, or it can't be told."""
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", hint="--root wants a folder that holds proc/ and sys/")
    host = read_host(Root(root))
    typer.echo(json.dumps(host.to_json(), indent=2))
    return ExitCode.OK if host.verdict is Verdict.GRAVITON else ExitCode.NOT_GRAVITON
