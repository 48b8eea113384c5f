"""`graviton-agent revert`: gives units their default values again."""

from typing import Annotated

import typer

from graviton_agent.cli.units import open_scene
from graviton_agent.terminal import tell


def revert(
    units: Annotated[
        list[str] | None,
        typer.Argument(metavar="[UNIT]...", help="Which units; a template stands for all its instances."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All units that are managed now.")] = False,
) -> None:
    """Take the units' environments back; they have default values from their next start.

    They keep them until the next `apply UNIT` or `calibrate UNIT`, whatever changes meanwhile: kernels,
    torch, profiles. An instance's siblings keep theirs unless the template is named.
    """
    from graviton_agent.control.writing import revert as take_back
    from graviton_agent.errors import UsageError
    from graviton_agent.report.plan import render_done

    if bool(units) is everything:
        raise UsageError("which units?", hint="graviton-agent revert UNIT..., or revert --all")
    with open_scene() as scene:
        named = scene.require_group(units or [])
        outlooks = take_back(scene, named)
    tell(render_done(outlooks, named))
