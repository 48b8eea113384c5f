"""`graviton-agent plan`: says what `apply` would do, and why."""

from graviton_agent.cli.units import Units, open_scene
from graviton_agent.errors import ExitCode
from graviton_agent.terminal import tell


def plan(units: Units = None) -> ExitCode:
    """Print what the units would be given, as a difference, and why. Writes nothing.

    Exit code 3 if this is not a Graviton, 1 if a unit can't be managed, 12 if a profile is stale.
    """
    from graviton_agent.control.scene import exit_code
    from graviton_agent.report.plan import render_plan

    with open_scene() as scene:
        outlooks = scene.select(units or [])
    tell(render_plan(outlooks))
    return exit_code(outlooks)
