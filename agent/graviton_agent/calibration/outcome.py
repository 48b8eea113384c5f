"""What a calibration comes to, in a word. By itself, so that who reads profiles needn't load what decides."""

from enum import StrEnum


class Outcome(StrEnum):
    """What a calibration comes to."""

    CHANGE = "change"
    KEEP = "keep"
    """The default won, or nothing is clearly better."""
    INCONCLUSIVE = "inconclusive"
    """Too noisy, or too short of time, to say."""
