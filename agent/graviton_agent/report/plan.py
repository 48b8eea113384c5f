"""What units are given and what they would be given, as a difference for people."""

from collections.abc import Mapping, Sequence

from graviton_agent.configuration.compiled import Calibrate
from graviton_agent.control.scene import Outlook
from graviton_agent.profiles.application import NO_PROFILE, State
from graviton_agent.report.columns import INDENT, paragraph

_DEEPER = 2 * INDENT
RENEW = "its file is written anew: the unit's own files have changed, and its next start would drop it"


def render_plan(outlooks: Sequence[Outlook]) -> str:
    """What `apply` would do, and why."""
    if not outlooks:
        return NO_UNITS
    changing = [outlook for outlook in outlooks if outlook.changes or outlook.renews]
    parts = [_block(outlook) for outlook in outlooks]
    if changing:
        parts.append(
            paragraph(
                f"{len(changing)} of {len(outlooks)} would be given something else. `graviton-agent apply` "
                "does so; a running unit has it after its next restart.",
                indent=INDENT,
            )
        )
    else:
        parts.append(f"{INDENT}Nothing is to be changed.")
    return "\n\n".join(parts)


NO_UNITS = f"{INDENT}No unit is managed. `graviton-agent enable UNIT` manages one."


def render_done(before: Sequence[Outlook], named: Sequence[str]) -> str:
    """What was done: the outlooks from just before, and what was named for it."""
    if not before:
        return f"{INDENT}No instance of {' '.join(named)} is known yet." if named else NO_UNITS
    changed = [outlook for outlook in before if outlook.changes]
    renewed = any(outlook.renews for outlook in before)
    parts = [_block(outlook) for outlook in before]
    running = [outlook.name for outlook in changed if outlook.is_active]
    if running:
        parts.append(paragraph(restart(running), indent=INDENT))
    elif not changed and not renewed:
        parts.append(f"{INDENT}Nothing had to be changed.")
    return "\n\n".join(parts)


def _block(outlook: Outlook) -> str:
    """One unit: where it stands, what changes, and what the operator holds."""
    lines = [paragraph(f"{outlook.name}: {describe(outlook)}", indent=INDENT)]
    lines += [_DEEPER + line for line in difference(outlook.before, outlook.after)]
    if outlook.renews:
        lines.append(paragraph(RENEW, indent=_DEEPER))
    if step := next_step(outlook):
        lines.append(paragraph(step, indent=_DEEPER))
    for held in outlook.application.held:
        value = "unset" if held.value is None else held.value
        lines.append(paragraph(f"= {held.name} stays {value}: {held.source} decides", indent=_DEEPER))
    return "\n".join(lines)


def render_kept(outlook: Outlook) -> str:
    """What has become of a unit that was just calibrated."""
    parts = [_block(outlook)]
    if outlook.after and outlook.is_active:
        parts.append(INDENT + restart([outlook.name]))
    return "\n\n".join(parts)


def restart(names: Sequence[str]) -> str:
    """How running units come to have what is in place."""
    return f"To give it to what runs: systemctl restart {' '.join(names)}"


def next_step(outlook: Outlook) -> str | None:
    """What has to happen for the unit to get something, or may; None where there is nothing to be done."""
    subject, name = outlook.assessment.subject, outlook.name
    if outlook.application.file is not None and not outlook.is_agent_up:
        return (
            "the agent isn't running: it is put in place when that starts, by systemctl start graviton-agent"
        )
    if outlook.state in {State.UNCALIBRATED, State.STALE} and subject is not None:
        by_hand = f"graviton-agent calibrate {name}"
        match subject.managed.calibrate:
            case Calibrate.WHEN_QUIET:
                return f"it is calibrated when the host is quiet, or now by: {by_hand}"
            case Calibrate.BEFORE_START:
                return f"it is calibrated before its next start, or now by: {by_hand}"
            case Calibrate.MANUAL:
                return f"it is calibrated by: {by_hand}"
    if outlook.state is State.REVERTED:
        return f"it is taken up again by: graviton-agent apply {name}"
    return outlook.application.hint


def describe(outlook: Outlook) -> str:
    """Where a unit stands, and why, in a clause."""
    reason = outlook.application.reason
    if outlook.state in {State.APPLIED, State.REVERTED}:
        return reason
    if outlook.state is State.UNFIT:
        return f"can't be managed: {reason}"
    return outlook.state.value if reason == NO_PROFILE else f"{outlook.state}, {reason}"


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The variables that come, go and stay, in alphabetical order."""
    lines = []
    for name in sorted({*before, *after}):
        if before.get(name) == after.get(name):
            lines.append(f"  {name}={after[name]}")
            continue
        if name in before:
            lines.append(f"- {name}={before[name]}")
        if name in after:
            lines.append(f"+ {name}={after[name]}")
    return lines
