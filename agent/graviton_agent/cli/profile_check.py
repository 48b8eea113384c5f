"""`graviton-agent profile check`: whether a host gets what its profile promises."""

from typing import Annotated

import typer

from graviton_agent.errors import ExitCode
from graviton_agent.terminal import tell


def check(
    unit: Annotated[str, typer.Argument(metavar="UNIT")],
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="Time of the run.")] = "60s",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the order of measurements.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> ExitCode:
    """Measure what the unit's profile gives it against the default, in its cage; nothing is changed.

    Exit code 0 if the gain is confirmed, 13 if it isn't, 14 if it can't be told, 12 if the profile is stale.
    """
    import json

    from graviton_agent import lock
    from graviton_agent.cli.progress import progress
    from graviton_agent.cli.units import open_scene
    from graviton_agent.control.calibration import Wishes
    from graviton_agent.control.profile_check import EXIT_CODES, check_profile
    from graviton_agent.quantities import parse_duration
    from graviton_agent.report.profiles import checked_to_json, render_checked

    seconds = parse_duration(budget)
    with (
        open_scene() as scene,
        progress(seconds) as narrate,
        lock.only_calibration(wait_seconds=lock.LONGEST_WAIT_SECONDS, tell=narrate),
    ):
        checked = check_profile(scene, unit, Wishes(seed=seed, budget_seconds=seconds), narrate)
    tell(json.dumps(checked_to_json(checked), indent=2) if as_json else render_checked(checked))
    return EXIT_CODES[checked.answer]
