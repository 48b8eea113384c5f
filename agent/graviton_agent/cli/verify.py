"""`graviton-agent verify`: looks whether running units really have the variables that they should have."""

from typing import Annotated

import typer

from graviton_agent.cli.units import Units, open_scene
from graviton_agent.errors import ExitCode
from graviton_agent.terminal import tell


def verify(
    units: Units = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> ExitCode:
    """Read the environment of the units' processes, and compare it with what is in place for them.

    Exit code 10 if somebody else decides on a variable, 11 if a restart is needed, 12 if a profile is stale.
    """
    from graviton_agent.control.verifying import exit_code, verify_unit

    with open_scene() as scene:
        verified = [(outlook, verify_unit(scene, outlook)) for outlook in scene.select(units or [])]
    if as_json:
        import json

        from graviton_agent.report.verification import verification_to_json

        tell(json.dumps([verification_to_json(*pair) for pair in verified], indent=2))
    else:
        from graviton_agent.report.verification import render_verified

        tell(render_verified(verified))
    return exit_code(verified)
