"""What can be wrong with a configuration, planted for the guards to find."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from graviton_agent.root import MIB

HUGE_BREACH = 512 * MIB


class Fault(StrEnum):
    """What a faulty configuration does."""

    INACCURATE = "its results are off by 5 % of their norm"
    NAN = "its results are not finite"
    CRASH_AT_START = "its process dies before it is ready"
    CRASH_LATER = "its process dies in the third block"
    MEMORY = "it occupies 512 MiB more than the default"
    SILENT = "its variable is ignored"


@dataclass(frozen=True)
class Planted:
    """A fault of every configuration that sets a variable."""

    variable: str
    fault: Fault


def faults_of(planted: tuple[Planted, ...], environment: Mapping[str, str]) -> frozenset[Fault]:
    """What is wrong with a process that has this environment."""
    return frozenset(fault.fault for fault in planted if fault.variable in environment)


def obeyed(planted: tuple[Planted, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment less the variables that are ignored."""
    ignored = {fault.variable for fault in planted if fault.fault is Fault.SILENT}
    return {name: value for name, value in environment.items() if name not in ignored}
