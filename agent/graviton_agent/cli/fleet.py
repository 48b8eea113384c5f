"""`graviton-agent fleet`: what many hosts have said of themselves, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from graviton_agent.terminal import tell

fleet = typer.Typer(name="fleet", no_args_is_help=True)


@fleet.callback()
def _about() -> None:
    """Look at many hosts at once, by the files that were collected from them."""


@fleet.command("report")
def report(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR|FILE...", help="What `status --json` printed on each host, or records."),
    ],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page as well, whole in one file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all names.")] = False,
) -> None:
    """Print a fleet by instance type, torch and unit: gain, stale, drift, not calibrated, outliers.

    A file that can't be read is named, and costs no other.
    """
    import json
    from datetime import UTC, datetime

    from graviton_agent.control.fleet_files import files_of, read_fleet
    from graviton_agent.control.fleet_groups import group
    from graviton_agent.errors import UsageError
    from graviton_agent.report.fleet import fleet_to_json, render_fleet

    found = read_fleet(files_of(paths))
    if not found.hosts and not found.broken:
        raise UsageError(
            "there is no file to read", hint="graviton-agent status --json > HOST.json, on each host"
        )
    groups = group(found.standings)
    tell(json.dumps(fleet_to_json(found, groups), indent=2) if as_json else render_fleet(found, groups))
    if html is not None:
        from graviton_agent.cli.output import write_output
        from graviton_agent.report.fleet_page import render_page

        write_output(html, render_page(found, groups, datetime.now(UTC)).encode())
