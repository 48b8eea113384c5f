"""The host, the daemon and every managed unit at a glance."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from graviton_agent.control.daemon import Daemon
from graviton_agent.control.scene import Outlook
from graviton_agent.host import Host
from graviton_agent.profiles.application import State
from graviton_agent.profiles.profile import Profile
from graviton_agent.report.columns import INDENT, definitions, paragraph, table
from graviton_agent.report.host import headline
from graviton_agent.report.plan import NO_UNITS, describe
from graviton_agent.report.verification import Verified, verification_to_json
from graviton_agent.units.verify import Verification

IN_WAITING = "to be applied"
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def render_status(host: Host, daemon: Daemon, verified: Sequence[Verified], now: datetime) -> str:
    """Five seconds to read: the machine, the agent, a line for each unit; then why a unit has nothing."""
    parts = [headline(host), _agent(daemon, now)]
    if verified:
        header = ["unit", "state", "promised", "calibrated", "runs"]
        parts.append(table(header, [_row(*pair, now) for pair in verified]))
    else:
        parts.append(NO_UNITS)
    quiet = {State.APPLIED}
    why = [(outlook.name, describe(outlook)) for outlook, _ in verified if outlook.state not in quiet]
    if why:
        parts.append(definitions(why))
    return "\n\n".join(parts)


def _agent(daemon: Daemon, now: datetime) -> str:
    since = f" since {age(now - daemon.since)}" if daemon.since else ""
    words = f"agent {daemon.state}{since}"
    return paragraph(f"{words}: {daemon.says}" if daemon.says else words, indent=INDENT)


def _row(outlook: Outlook, found: Verification, now: datetime) -> list[str]:
    profile: Profile | None = outlook.assessment.profile
    has_gain = profile is not None and bool(profile.environment)
    return [
        outlook.name,
        IN_WAITING if outlook.changes and outlook.after else outlook.state,
        f"{profile.promised:.2f}x" if profile and has_gain else "-",
        f"{age(now - profile.calibrated)} ago" if profile else "-",
        found.sync,
    ]


def age(span: timedelta) -> str:
    """A span of time in its largest unit: "3 days"."""
    seconds = max(0, int(span.total_seconds()))
    for name, size in _UNITS:
        if seconds >= size:
            number = seconds // size
            return f"{number} {name}{'' if number == 1 else 's'}"
    return f"{seconds} s"


def status_to_json(host: Host, daemon: Daemon, verified: Sequence[Verified]) -> dict[str, Any]:
    """The same as JSON's types."""
    return {
        "host": host.to_json(),
        "agent": {
            "state": daemon.state,
            "since": daemon.since.isoformat() if daemon.since else None,
            "status": daemon.says,
        },
        "units": [
            {
                **verification_to_json(outlook, found),
                "profile": _profile(outlook.assessment.profile),
                "environment": dict(outlook.before),
                "planned": dict(outlook.after),
            }
            for outlook, found in verified
        ],
    }


def _profile(profile: Profile | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    return {
        "unit": profile.unit,
        "outcome": profile.outcome,
        "environment": dict(profile.environment),
        "gain": profile.gain,
        "gain_interval": profile.gain_interval,
        "calibrated": profile.calibrated.isoformat(),
        "record": profile.record,
        "agent": profile.agent,
        "origin": profile.origin,
        "torch": profile.fingerprint.shared.get("torch"),
    }
