"""Profiles for people: what a fleet shares of them, and what is one host's alone."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from graviton_agent.control.fleet_profiles import Prunable
from graviton_agent.control.profile_check import Checked
from graviton_agent.profiles.fingerprint import LOCAL, SHARED, in_words
from graviton_agent.profiles.fleet_folders import Found
from graviton_agent.profiles.fleet_profile import FleetProfile
from graviton_agent.profiles.profile import Profile
from graviton_agent.report.columns import INDENT, definitions, paragraph, table
from graviton_agent.report.plan import difference
from graviton_agent.report.status import age

NONE = f"{INDENT}There is no profile on this host. `graviton-agent calibrate UNIT` makes one."
SAME = f"{INDENT}They say the same."
SHARED_TITLE = "shared with the fleet: it holds on every host where all of this is the same"
LOCAL_TITLE = "of this host alone: stamped anew on every other"
LAYOUT_TITLE = "where it was made: torch is looked for likewise, and none of this is believed"


def render_list(
    profiles: Sequence[Profile], fleet: Sequence[Found], broken: Sequence[str], now: datetime
) -> str:
    """What units of this host have, and what could be taken."""
    parts = []
    if profiles:
        header = ["unit", "outcome", "promised", "calibrated", "from"]
        rows = [
            [one.unit, one.outcome, _gain(one), f"{age(now - one.calibrated)} ago", one.origin or "this host"]
            for one in profiles
        ]
        parts.append(table(header, rows))
    if fleet:
        takers: dict[str, list[str]] = {}
        for one in profiles:
            takers.setdefault(one.origin or "", []).append(one.unit)
        header = ["instance", "torch", "made for", "promised", "taken by", "fleet profile"]
        rows = [
            [
                one.fleet.shared["instance"],
                one.fleet.shared["torch"],
                one.fleet.profile.unit,
                _gain(one.fleet.profile),
                str(len(takers.get(one.path, ()))),
                one.path,
            ]
            for one in fleet
        ]
        parts.append(table(header, rows, right=frozenset({4})))
    parts += [paragraph(f"not believed: {words}", indent=INDENT) for words in broken]
    return "\n\n".join(parts) or NONE


def list_to_json(
    profiles: Sequence[Profile], fleet: Sequence[Found], broken: Sequence[str]
) -> dict[str, Any]:
    """The same as JSON's types."""
    return {
        "units": [{"unit": one.unit, "origin": one.origin, **_results(one)} for one in profiles],
        "fleet": [
            {
                "path": one.path,
                "unit": one.fleet.profile.unit,
                "shared": dict(one.fleet.shared),
                **_results(one.fleet.profile),
            }
            for one in fleet
        ],
        "broken": list(broken),
    }


def render_profile(found: Profile | FleetProfile) -> str:
    """One profile, its facts in two parts."""
    profile = found.profile if isinstance(found, FleetProfile) else found
    title = LAYOUT_TITLE if isinstance(found, FleetProfile) else LOCAL_TITLE
    local = profile.fingerprint.local
    about_files = [(name, text) for name, text in local.items() if name not in LOCAL]
    parts = [
        paragraph(
            f"{profile.unit}: {_gain(profile)}, calibrated on {profile.calibrated.date()}", indent=INDENT
        ),
        "\n".join(f"{2 * INDENT}{name}={value}" for name, value in profile.environment.items()),
        paragraph(profile.reason, indent=INDENT),
        f"{INDENT}{SHARED_TITLE}",
        _facts(profile.fingerprint.shared, SHARED),
        f"{INDENT}{title}",
        _facts(local, LOCAL),
        definitions(about_files, indent=2 * INDENT) if about_files else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _facts(facts: Mapping[str, str], words: Mapping[str, str]) -> str:
    pairs = [(words[name], in_words(name, facts[name])) for name in words if name in facts]
    return definitions(pairs, indent=2 * INDENT)


def render_difference(first: Profile | FleetProfile, second: Profile | FleetProfile) -> str:
    """How the second differs from the first: shared facts, local ones, and what was found."""
    one, other = (found.profile if isinstance(found, FleetProfile) else found for found in (first, second))
    parts = []
    sections = (
        (SHARED_TITLE, SHARED, one.fingerprint.shared, other.fingerprint.shared),
        ("of one host alone", LOCAL, one.fingerprint.local, other.fingerprint.local),
    )
    for title, words, before, after in sections:
        rows = [
            (words[name], f"{in_words(name, before[name])} -> {in_words(name, after[name])}")
            for name in words
            if name in before and name in after and before[name] != after[name]
        ]
        if rows:
            parts += [f"{INDENT}{title}", definitions(rows, indent=2 * INDENT)]
    lines = difference(one.environment, other.environment)
    if one.environment != other.environment:
        parts += [f"{INDENT}found", "\n".join(2 * INDENT + line for line in lines)]
    if (one.gain, one.outcome) != (other.gain, other.outcome):
        parts.append(f"{INDENT}{_gain(one)} -> {_gain(other)}")
    return "\n\n".join(parts) or SAME


def render_pruned(found: Sequence[Prunable], *, dry_run: bool) -> str:
    """What was removed, or would be."""
    if not found:
        return f"{INDENT}Nothing is to be removed."
    verb = "would be removed" if dry_run else "removed"
    return definitions([(str(one.path), f"{verb}: {one.reason}") for one in found])


def render_checked(checked: Checked) -> str:
    """The answer, and what it follows from."""
    found = checked.confirmation
    measured = ""
    if found is not None and found.estimate is not None:
        measured = f"; measured {math.exp(found.estimate.mean):.2f}x in {len(found.pairs)} pairs of processes"
    promised = f"promised at least {checked.promised:.2f}x"
    words = f"{checked.unit}: {checked.answer}: {checked.reason}; {promised}{measured}"
    lines = [paragraph(words, indent=INDENT)]
    lines += [f"{2 * INDENT}{name}={value}" for name, value in checked.environment.items()]
    return "\n".join(lines)


def checked_to_json(checked: Checked) -> dict[str, Any]:
    """The same as JSON's types."""
    found = checked.confirmation
    estimate = found.estimate if found else None
    return {
        "unit": checked.unit,
        "answer": checked.answer,
        "reason": checked.reason,
        "promised": checked.promised,
        "measured": math.exp(estimate.mean) if estimate else None,
        "pairs": len(found.pairs) if found else 0,
        "environment": checked.environment,
    }


def _gain(profile: Profile) -> str:
    return f"{profile.promised:.2f}x" if profile.environment else "default"


def _results(profile: Profile) -> dict[str, Any]:
    return {
        "outcome": profile.outcome,
        "environment": dict(profile.environment),
        "gain": profile.gain,
        "gain_interval": profile.gain_interval,
        "calibrated": profile.calibrated.isoformat(),
        "agent": profile.agent,
    }
