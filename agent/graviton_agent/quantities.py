"""Sizes, shares and durations as people write them, on the command line and in the configuration."""

import re

from graviton_agent.errors import UsageError

_SIZE = re.compile(r"([0-9]{1,15})([KMG]?)(?:i?B)?", re.IGNORECASE)
_SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_PERCENT = re.compile(r"([0-9]{1,4}) ?%")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(s|sec|min|h|)")
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}


def parse_size(text: str) -> int:
    """Bytes, with K, M or G for powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text!r} is no size", hint="write bytes, or 64M, or 4G")
    return int(found[1]) * _SIZES[found[2].upper()]


def parse_percent(text: str) -> float:
    """A share, 0.1 of "10%"."""
    found = _PERCENT.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text!r} is no share", hint="write a whole number of percent: 10%")
    return int(found[1]) / 100


def parse_duration(text: str) -> float:
    """Seconds, of "90", "90s", "2min" or "1.5h"."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text!r} is no time", hint="write seconds, or 90s, or 2min, or 1h")
    return float(found[1]) * _SECONDS[found[2]]
