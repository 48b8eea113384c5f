"""The agent's metrics as Prometheus's text format has them.

No value has a time of its own, for node_exporter's collector refuses those; and no age is written, for it
would be the age at the last change: dashboards take `time() - …_timestamp_seconds`. Standard library alone:
the daemon writes this. [prometheus.io/docs/instrumenting/exposition_formats, practices/naming]
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from graviton_agent import __version__
from graviton_agent.host import Host
from graviton_agent.profiles.application import State
from graviton_agent.profiles.profile import Profile
from graviton_agent.units.verify import Sync

PREFIX = "graviton_agent_"
FILE = "graviton-agent.prom"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True)
class UnitMetrics:
    """What is told of one managed unit."""

    unit: str
    state: State
    sync: Sync
    gain: float | None
    """The promised ratio of time, default over chosen, where variables are in place."""
    calibrated: datetime | None
    seconds: float | None
    """How long the calibration took."""


@dataclass(frozen=True)
class Family:
    """One metric with all its samples."""

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]

    def lines(self) -> Iterable[str]:
        """Its lines; none without a sample."""
        if not self.samples:
            return
        yield f"# HELP {PREFIX}{self.name} {self.help}"
        yield f"# TYPE {PREFIX}{self.name} gauge"
        for labels, value in self.samples:
            inner = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
            yield (
                f"{PREFIX}{self.name}{{{inner}}} {value:.17g}"
                if inner
                else f"{PREFIX}{self.name} {value:.17g}"
            )


def unit_metrics(unit: str, state: State, sync: Sync, profile: Profile | None) -> UnitMetrics:
    """What is told of a unit, from what was found out about it."""
    return UnitMetrics(
        unit=unit,
        state=state,
        sync=sync,
        gain=profile.promised if profile is not None and state is State.APPLIED else None,
        calibrated=profile.calibrated if profile is not None else None,
        seconds=profile.seconds if profile is not None else None,
    )


def render(host: Host, units: Sequence[UnitMetrics], *, problems: int) -> str:
    """The text of the file.

    Args:
        host: this machine.
        units: all that are managed.
        problems: how many things are wrong in the configuration.
    """
    compared = [unit for unit in units if unit.sync not in {Sync.NOT_RUNNING, Sync.UNTOLD}]
    machine = {
        "generation": "" if host.generation is None else str(host.generation),
        "instance_type": host.instance_type or "",
        "thp": host.thp_mode or "",
    }
    families = (
        Family("build_info", "Version of the agent.", [({"version": __version__}, 1)]),
        Family(
            "host_info", "The machine; generation is empty where it is no known Graviton.", [(machine, 1)]
        ),
        Family("configuration_problems", "Errors and warnings in the configuration.", [({}, problems)]),
        Family("units", "Managed units.", [({}, len(units))]),
        Family(
            "unit_info", "Where the unit stands.", [({**_of(unit), "state": unit.state}, 1) for unit in units]
        ),
        Family(
            "unit_in_sync",
            "Whether the running processes have what is in place for them.",
            [(_of(unit), unit.sync is Sync.IN_SYNC) for unit in compared],
        ),
        Family(
            "unit_restart_needed",
            "Whether the running processes were started with other values than those in place.",
            [(_of(unit), unit.sync is Sync.RESTART_NEEDED) for unit in compared],
        ),
        Family(
            "unit_stale",
            "Whether what the result depends on has changed.",
            [(_of(unit), unit.state is State.STALE) for unit in units],
        ),
        Family(
            "unit_gain_ratio",
            "Promised time of the default over that with the variables in place.",
            [(_of(unit), unit.gain) for unit in units if unit.gain is not None],
        ),
        Family(
            "unit_calibration_timestamp_seconds",
            "When the result was measured, in seconds since 1970.",
            [(_of(unit), unit.calibrated.timestamp()) for unit in units if unit.calibrated is not None],
        ),
        Family(
            "unit_calibration_duration_seconds",
            "How long the measurement took.",
            [(_of(unit), unit.seconds) for unit in units if unit.seconds is not None],
        ),
    )
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _of(unit: UnitMetrics) -> dict[str, str]:
    return {"unit": unit.unit}
