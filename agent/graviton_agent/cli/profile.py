"""`graviton-agent profile`: what was found for units here, and what a fleet's other hosts have found."""

from pathlib import Path
from typing import Annotated

import typer

from graviton_agent.cli.profile_check import check
from graviton_agent.cli.profile_package import package
from graviton_agent.cli.profile_travel import export, import_
from graviton_agent.errors import ExitCode
from graviton_agent.terminal import tell

profile = typer.Typer(name="profile", no_args_is_help=True)
profile.command("export")(export)
profile.command("import")(import_)
profile.command("package")(package)
profile.command("check")(check)

Root = Annotated[
    Path,
    typer.Option("--root", metavar="DIR", exists=True, file_okay=False, help="Another system's tree."),
]


@profile.callback()
def _about() -> None:
    """Keep, compare and pass on what calibrations have found."""


@profile.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False, root: Root = Path("/")
) -> None:
    """Print the profiles of this host's units, and the fleet's profiles that could be taken up."""
    import json
    from datetime import UTC, datetime

    from graviton_agent.control.scene import require_root
    from graviton_agent.profiles.fleet_folders import FleetFolders
    from graviton_agent.profiles.store import ProfileStore
    from graviton_agent.report.profiles import list_to_json, render_list
    from graviton_agent.root import Root as Tree

    tree = Tree(root)
    require_root(tree)
    profiles, unread = ProfileStore.below(tree).read_all()
    folders = FleetFolders(tree)
    fleet = folders.all()
    broken = [error.message for error in (*unread.values(), *folders.broken.values())]
    own = list(profiles.values())
    if as_json:
        tell(json.dumps(list_to_json(own, fleet, broken), indent=2))
    else:
        tell(render_list(own, fleet, broken, datetime.now(UTC)))


@profile.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="UNIT|FILE", help="A unit, or a fleet profile.")],
    root: Root = Path("/"),
) -> None:
    """Print one profile: which of its facts a fleet shares, and which are one host's alone."""
    from graviton_agent.control.fleet_profiles import find_profile
    from graviton_agent.control.scene import require_root
    from graviton_agent.report.profiles import render_profile
    from graviton_agent.root import Root as Tree

    require_root(Tree(root))
    tell(render_profile(find_profile(Tree(root), name)))


@profile.command("diff")
def diff(
    first: Annotated[str, typer.Argument(metavar="UNIT|FILE")],
    second: Annotated[str, typer.Argument(metavar="UNIT|FILE")],
    root: Root = Path("/"),
) -> ExitCode:
    """Print in which facts and results two profiles differ.

    Exit code 1 if they do, as diff's.
    """
    from graviton_agent.control.fleet_profiles import find_profile
    from graviton_agent.control.scene import require_root
    from graviton_agent.report.profiles import SAME, render_difference
    from graviton_agent.root import Root as Tree

    tree = Tree(root)
    require_root(tree)
    words = render_difference(find_profile(tree, first), find_profile(tree, second))
    tell(words)
    return ExitCode.OK if words == SAME else ExitCode.FAILED


@profile.command("prune")
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, and remove nothing.")] = False,
    root: Root = Path("/"),
) -> None:
    """Remove profiles whose unit or torch is gone, or which can't hold on this host."""
    from graviton_agent.control.fleet_profiles import prunable
    from graviton_agent.control.fleet_profiles import prune as remove
    from graviton_agent.control.scene import require_root
    from graviton_agent.report.profiles import render_pruned
    from graviton_agent.root import Root as Tree

    tree = Tree(root)
    require_root(tree)
    tell(render_pruned(prunable(tree) if dry_run else remove(tree), dry_run=dry_run))
