"""`graviton-agent clean`: before an image is made."""

from pathlib import Path
from typing import Annotated

import typer

from graviton_agent.terminal import tell


def clean(
    keep_results: Annotated[
        bool,
        typer.Option("--keep-results", help="Keep what was measured here, as profiles that others take up."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, and remove nothing.")] = False,
    root: Annotated[
        Path,
        typer.Option(
            "--root", metavar="DIR", exists=True, file_okay=False, help="Another system's tree: an image's."
        ),
    ] = Path("/"),
) -> None:
    """Remove what is only this host's: its profiles, its records, what lies in /run.

    The configuration, what is reverted, and the fleet's profiles stay. The agent must be stopped.
    """
    from graviton_agent.control.cleaning import clean as remove
    from graviton_agent.control.cleaning import cleanable, require_stopped
    from graviton_agent.control.scene import require_root
    from graviton_agent.root import Root

    tree = Root(root)
    require_root(tree)
    if dry_run:
        require_stopped(tree)
        tell("\n".join(f"would be removed: {path}" for path in cleanable(tree)) or "nothing is to be removed")
        return
    kept, gone = remove(tree, keep_results=keep_results)
    words = [*(f"kept as {path}" for path in kept), *(f"removed {path}" for path in gone)]
    tell("\n".join(words) or "nothing was to be removed")
