"""`graviton-agent profile export` and `import`: between hosts of a fleet, as files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graviton_agent.terminal import tell

if TYPE_CHECKING:
    from graviton_agent.root import Root

Folder = Annotated[
    Path,
    typer.Option(
        "--root", metavar="DIR", exists=True, file_okay=False, help="Another system's tree: an image's."
    ),
]


def export(
    units: Annotated[list[str] | None, typer.Argument(metavar="[UNIT]...", help="Default: all.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Write a file for each; default: print the only one."),
    ] = None,
    root: Folder = Path("/"),
) -> None:
    """Print what was calibrated here as a fleet profile, or write it into a folder."""
    from graviton_agent.control.fleet_profiles import export as exported
    from graviton_agent.control.scene import require_root
    from graviton_agent.errors import UsageError
    from graviton_agent.profiles.store import ProfileStore
    from graviton_agent.root import Root
    from graviton_agent.state import write_atomically

    tree = Root(root)
    require_root(tree)
    found = exported(ProfileStore.below(tree), units or [])
    if output is None:
        if len(found) > 1:
            raise UsageError(f"there are {len(found)} of them", hint="name one unit, or: --output DIR")
        tell(found[0].to_json().rstrip("\n"))
        return
    for one in found:
        write_atomically(output / one.name, one.to_json().encode())
        tell(str(output / one.name))


def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What `export` wrote.")],
    root: Folder = Path("/"),
) -> None:
    """Keep fleet profiles on this host, and give them to the units for which they hold.

    Their shared facts must be the same here; what is one host's alone is stamped anew.
    """
    from graviton_agent.control.fleet_profiles import keep_imported, read_file
    from graviton_agent.control.scene import require_root
    from graviton_agent.root import Root

    tree = Root(root)
    require_root(tree)
    for path in keep_imported(tree, map(read_file, files)):
        tell(f"kept as {path}")
    _put_in_place(tree)


def _put_in_place(tree: "Root") -> None:
    """What follows for the units of this machine; in an image nothing does yet."""
    from graviton_agent.cli.units import open_scene
    from graviton_agent.control.writing import apply
    from graviton_agent.report.plan import render_done
    from graviton_agent.units.bus import BusError

    if not tree.is_this_machine:
        return
    try:
        with open_scene() as scene:
            done = apply(scene, [])
    except BusError:
        # The daemon finds them when it starts.
        return
    tell(render_done(done, []))
