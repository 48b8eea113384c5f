"""What was found on one host, for every host that is the same in all that the result depends on.

A fleet profile carries the shared facts of a fingerprint and none of those that are one host's alone. Which
file is which, and which CPUs, is stamped anew where it is taken up (adoption.py). It may name three things of
the host that calibrated: they say where to look for torch, and nothing is believed of them.

Its file is named LABEL--KEY.json. The key is a digest of the facts that are known of a unit before anything
of it is looked at, so that a folder of thousands of profiles is searched by the names of its files.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.errors import StateError
from graviton_agent.profiles.fingerprint import Fingerprint
from graviton_agent.profiles.profile import (
    MALFORMED,
    Profile,
    check_shared,
    not_ours,
    read_text,
    read_texts,
    read_time,
)

KIND = "fleet profile 1"
KEY_FACTS = ("instance", "cpu", "workload")
"""What a fleet profile is for; the other facts say whether it holds."""
LAYOUT = ("python", "location", "search")
"""Where the host that calibrated had its interpreter and its torch: the unit's may be looked for likewise."""
SUFFIX = ".json"

_KEY = re.compile(r"--([0-9a-f]{16})\.json")


@dataclass(frozen=True)
class FleetProfile:
    """A result that travels."""

    profile: Profile
    """Its fingerprint has the shared facts, and of the local ones the layout alone."""

    def __post_init__(self) -> None:
        check_shared(self.shared)
        if missing := set(LAYOUT) ^ set(self.layout):
            raise StateError(f"it doesn't say what {min(missing)} was where it was made, or says too much")
        if self.profile.outcome is Outcome.INCONCLUSIVE:
            raise StateError("it found nothing: its calibration was inconclusive")

    @property
    def shared(self) -> Mapping[str, str]:
        """The facts that must be the same on a host that takes it."""
        return self.profile.fingerprint.shared

    @property
    def layout(self) -> Mapping[str, str]:
        """Where things lay on the host that calibrated."""
        return self.profile.fingerprint.local

    @property
    def key(self) -> str:
        """What it is found by."""
        return key_of(self.shared)

    @property
    def name(self) -> str:
        """What its file is called."""
        words = (self.shared["instance"], self.profile.unit.removesuffix(".service"), self.shared["torch"])
        label = "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word)[:60] for word in words)
        # A file whose name begins with a dot would be hidden.
        return f"{label.lstrip('.')}--{self.key}{SUFFIX}"

    def to_json(self) -> str:
        """The text of its file."""
        profile = self.profile
        values = {
            "kind": KIND,
            "unit": profile.unit,
            "shared": dict(self.shared),
            "layout": dict(self.layout),
            "outcome": profile.outcome,
            "environment": dict(profile.environment),
            "gain": profile.gain,
            "gain_interval": profile.gain_interval,
            "reason": profile.reason,
            "calibrated": profile.calibrated.isoformat(),
            "seconds": profile.seconds,
            "agent": profile.agent,
        }
        return json.dumps(values, indent=1) + "\n"


def key_of(shared: Mapping[str, str]) -> str:
    """The key by which profiles of these facts are found: 16 hexadecimal digits."""
    return hashlib.sha256("\0".join(shared[name] for name in KEY_FACTS).encode()).hexdigest()[:16]


def key_in(name: str) -> str | None:
    """The key in the name of a file; None if it isn't named like a fleet profile."""
    found = _KEY.search(name)
    return found[1] if found and found.end() == len(name) and not name.startswith(".") else None


def leave_host(profile: Profile) -> FleetProfile:
    """A host's profile without what is that host's alone.

    Raises StateError if it found nothing, or if where torch lies says nothing to another host.
    """
    local = profile.fingerprint.local
    if profile.fingerprint.shared.get("torch") is None or not local["location"]:
        raise StateError("it doesn't say where torch is")
    layout = {name: local[name] for name in LAYOUT}
    return FleetProfile(
        replace(
            profile,
            fingerprint=Fingerprint(dict(profile.fingerprint.shared), layout),
            record=None,
            origin=None,
        )
    )


def parse_fleet_profile(content: bytes) -> FleetProfile:
    """Reads what `to_json` wrote. Raises StateError for anything else."""
    try:
        values: dict[str, Any] = json.loads(content)
        if values.pop("kind", None) != KIND:
            raise StateError("it is no fleet profile, or another version's")
        low, high = values.pop("gain_interval")
        profile = Profile(
            fingerprint=Fingerprint(read_texts(values.pop("shared")), read_texts(values.pop("layout"))),
            outcome=Outcome(values.pop("outcome")),
            environment=read_texts(values.pop("environment")),
            gain=float(values.pop("gain")),
            gain_interval=(float(low), float(high)),
            calibrated=read_time(values.pop("calibrated")),
            seconds=None if (seconds := values.pop("seconds", None)) is None else float(seconds),
            **{name: read_text(values.pop(name)) for name in ("unit", "reason", "agent")},
        )
    except MALFORMED as error:
        raise not_ours(error) from None
    if values:
        raise StateError(f"it says more than the agent writes: {next(iter(values))!r}")
    return FleetProfile(profile)
