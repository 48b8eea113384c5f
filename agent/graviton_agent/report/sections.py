"""What `enable` and `disable` have done."""

from collections.abc import Sequence

from graviton_agent.control.scene import Outlook
from graviton_agent.control.sections import Written
from graviton_agent.report.columns import INDENT, paragraph
from graviton_agent.report.plan import describe, difference, next_step, restart
from graviton_agent.units.names import is_template

RELOAD = "systemd has not read it yet: systemctl daemon-reload"


def render_enabled(unit: str, written: Written, outlook: Outlook | None, *, reload: bool) -> str:
    """The file, what `config check` says, and what happens next."""
    words = [f"{'its instances are' if is_template(unit) else 'it is'} managed by {written.path}"]
    words += [f"note: {warning}" for warning in written.warnings]
    if outlook is not None:
        words += filter(None, (describe(outlook), next_step(outlook)))
        if outlook.changes:
            words += difference(outlook.before, outlook.after)
            words += [restart([unit])] if outlook.is_active else []
    if reload:
        words.append(RELOAD)
    return _lines(unit, words)


def render_disabled(unit: str, written: Written, changed: Sequence[str], *, reload: bool) -> str:
    """The file, and what running units still have."""
    words = [f"{'its instances are' if is_template(unit) else 'it is'} managed no more, by {written.path}"]
    words += [f"note: {warning}" for warning in written.warnings]
    if changed:
        words.append(f"what runs keeps its variables until: systemctl restart {' '.join(changed)}")
    if reload:
        words.append(RELOAD)
    return _lines(unit, words)


def _lines(unit: str, words: Sequence[str]) -> str:
    return "\n".join([f"{INDENT}{unit}", *(paragraph(word, indent=2 * INDENT) for word in words)])
