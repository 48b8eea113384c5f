"""`graviton-agent daemon` and `gate`: what systemd's units run. `entry` leads past this, and past typer."""

from typing import Annotated

import typer


def daemon() -> int:
    """Keep the environment files of managed units true: what graviton-agent.service runs."""
    from graviton_agent.service.daemon import main
    from graviton_agent.service.signals import EarlySignals

    return main(EarlySignals())


def gate(unit: Annotated[str, typer.Argument(metavar="UNIT")]) -> int:
    """Calibrate a unit before it starts, if it waits for that: what graviton-agent-calibrate@UNIT runs."""
    from graviton_agent.service.gate import main

    return main(unit)
