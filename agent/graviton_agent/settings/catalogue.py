"""The list of settings. Adding one is a new file beside this and a line here."""

from graviton_agent.errors import UsageError
from graviton_agent.settings.fast_math import FastMath
from graviton_agent.settings.huge_pages import HugePages
from graviton_agent.settings.matmul_threshold import MatmulThreshold
from graviton_agent.settings.mimalloc_large_pages import MimallocLargePages
from graviton_agent.settings.mimalloc_thp import MimallocThp
from graviton_agent.settings.setting import Setting
from graviton_agent.settings.threads import Threads

# The order is that of the tables, and breaks ties: of two configurations that promise the same, the one that
# leaves the earlier settings alone is taken, so what changes results or costs memory stands first.
CATALOGUE: tuple[Setting, ...] = (
    FastMath(),
    HugePages(),
    MimallocThp(),
    MimallocLargePages(),
    MatmulThreshold(),
    Threads(),
)

VERSION = 3
"""Raised when a setting's candidates or meaning change, so that profiles made before are stale. A setting
more or less needs none: which settings a calibration may try is a fact of its own."""


def setting_named(name: str) -> Setting:
    """The setting that the command line and the configuration call by this name."""
    for setting in CATALOGUE:
        if setting.name == name:
            return setting
    raise UsageError(
        f"there is no setting {name!r}", hint=f"settings are {', '.join(s.name for s in CATALOGUE)}"
    )


def setting_of(variable: str) -> Setting:
    """The setting that writes a variable; KeyError if none does."""
    for setting in CATALOGUE:
        if setting.variable == variable:
            return setting
    raise KeyError(variable)


def markers() -> tuple[str, ...]:
    """The strings that a probe looks for in torch's libraries."""
    return tuple(dict.fromkeys(setting.marker for setting in CATALOGUE))
