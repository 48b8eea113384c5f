"""What runs against what should, key by key, for people and for programs."""

from collections.abc import Sequence
from typing import Any

from graviton_agent.control.scene import Outlook
from graviton_agent.report.columns import INDENT, paragraph, table
from graviton_agent.report.plan import NO_UNITS, describe, restart
from graviton_agent.units.verify import Sync, Verification

UNTOLD = (
    "What its main process was started with can't be told: the program has written over its environment, "
    "as setproctitle does, or that is too large, or a script has given it another one."
)

Verified = tuple[Outlook, Verification]


def render_verified(verified: Sequence[Verified]) -> str:
    """A heading and a table for each unit."""
    return "\n\n".join(_block(*pair) for pair in verified) or NO_UNITS


def _block(outlook: Outlook, found: Verification) -> str:
    heading = f"{outlook.name}: {found.sync}{_processes(found)}; {describe(outlook)}"
    lines = [paragraph(heading, indent=INDENT)]
    if found.keys:
        header = ["variable", "expected", "actual", "state", "decided by"]
        rows = [
            [key.name, key.expected or "-", key.actual or "-", key.sync, key.source or "-"]
            for key in found.keys
        ]
        lines.append(table(header, rows))
    if found.sync is Sync.UNTOLD:
        lines.append(paragraph(UNTOLD, indent=INDENT))
    if outlook.changes:
        lines.append(f"{INDENT}It is to be given something else: graviton-agent plan {outlook.name}")
    if found.sync is Sync.RESTART_NEEDED:
        lines.append(INDENT + restart([outlook.name]))
    return "\n\n".join(lines)


def _processes(found: Verification) -> str:
    if not found.processes:
        return ""
    words = f"{found.processes} {'process' if found.processes == 1 else 'processes'}"
    if not found.is_all:
        words += ", the unit has more"
    if found.untold and found.sync is not Sync.UNTOLD:
        words += f", {found.untold} of which can't be told"
    return f" ({words})"


def verification_to_json(outlook: Outlook, found: Verification) -> dict[str, Any]:
    """The same as JSON's types."""
    return {
        "unit": outlook.name,
        "sync": found.sync,
        "state": outlook.state,
        "reason": outlook.application.reason,
        "processes": found.processes,
        "processes_untold": found.untold,
        "processes_are_all": found.is_all,
        "variables": [
            {
                "name": key.name,
                "expected": key.expected,
                "actual": key.actual,
                "sync": key.sync,
                "decided_by": key.source,
                "process": key.process,
            }
            for key in found.keys
        ],
    }
