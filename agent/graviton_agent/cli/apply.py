"""`graviton-agent apply`: puts what calibrations found in place."""

from typing import Annotated

import typer

from graviton_agent.cli.units import open_scene
from graviton_agent.errors import ExitCode
from graviton_agent.terminal import tell


def apply(
    units: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[UNIT]...",
            help="Default: all managed units; a template stands for all its instances.",
        ),
    ] = None,
) -> ExitCode:
    """Put the units' environments in place; they have them from their next start.

    A unit that was reverted is taken up again if it is named. Exit codes are those of `plan`.
    """
    from graviton_agent.control.scene import exit_code
    from graviton_agent.control.writing import apply as put_in_place
    from graviton_agent.errors import AgentError
    from graviton_agent.profiles.application import State
    from graviton_agent.report.plan import render_done

    with open_scene() as scene:
        named = scene.require_group(units or [])
        outlooks = put_in_place(scene, named)
    missing = [outlook for outlook in outlooks if outlook.state is State.UNCALIBRATED]
    if named and missing and len(missing) == len(outlooks):
        names = " ".join(outlook.name for outlook in missing)
        raise AgentError(
            f"{names}: {missing[0].application.reason}", hint=f"graviton-agent calibrate {names}"
        )
    tell(render_done(outlooks, named))
    return exit_code(outlooks)
