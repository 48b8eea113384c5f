"""`graviton-agent status`: the host, the daemon and every managed unit."""

from typing import Annotated

import typer

from graviton_agent.cli.units import open_scene
from graviton_agent.errors import ExitCode
from graviton_agent.terminal import tell


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print all facts as JSON.")] = False,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print metrics in Prometheus's text format.")
    ] = False,
) -> ExitCode:
    """Print the host, the agent, and where each unit stands: its profile, gain, age and state.

    Exit code 3 if this is not a Graviton, 1 if a unit can't be managed; 10, 11 and 12 as for `verify`.
    """
    from datetime import UTC, datetime

    from graviton_agent.control import scene as scenes
    from graviton_agent.control.daemon import read_daemon
    from graviton_agent.control.verifying import exit_code, verify_unit
    from graviton_agent.errors import UsageError

    if as_json and prometheus:
        raise UsageError("--json or --prometheus?", hint="name one of them")
    with open_scene() as scene:
        daemon = read_daemon(scene.bus)
        verified = [(outlook, verify_unit(scene, outlook)) for outlook in scene.select([])]
        host = scene.host
    if as_json:
        import json

        from graviton_agent.report.status import status_to_json

        tell(json.dumps(status_to_json(host, daemon, verified), indent=2))
    elif prometheus:
        from graviton_agent.metrics import render, unit_metrics

        units = [
            unit_metrics(outlook.name, outlook.state, found.sync, outlook.assessment.profile)
            for outlook, found in verified
        ]
        tell(render(host, units, problems=len(scene.configuration.problems)).rstrip("\n"))
    else:
        from graviton_agent.report.status import render_status

        tell(render_status(host, daemon, verified, datetime.now(UTC)))
    if scene.not_graviton is not None:
        return ExitCode.NOT_GRAVITON
    state = scenes.exit_code(outlook for outlook, _ in verified)
    return state if state is ExitCode.FAILED else exit_code(verified)
