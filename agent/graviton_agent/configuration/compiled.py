"""The checked configuration as the daemon uses it, and the JSON record by which it gets it.

The daemon stays small by never importing what checks the configuration: a short process does that and leaves
this record. Standard library alone.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from graviton_agent import __version__
from graviton_agent.calibration.rules import Rules
from graviton_agent.configuration import sources
from graviton_agent.errors import StateError
from graviton_agent.regular_file import read_regular
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.state import PRIVATE_FILE, write_atomically
from graviton_agent.units.names import template_of
from graviton_agent.units.unit_files import UnitFiles
from graviton_agent.workload import Workload, make_workload

FORMAT = 1
LARGEST = 16 * 1024 * 1024
"""Bytes of a record."""


class Calibrate(StrEnum):
    """When a unit is calibrated whose profile is missing or stale."""

    BEFORE_START = "before-start"
    """Its start waits, within bounds."""
    WHEN_QUIET = "when-quiet"
    """It starts on default values, and is calibrated when the host has little to do."""
    MANUAL = "manual"
    """When somebody runs `graviton-agent calibrate UNIT`."""


class Restart(StrEnum):
    """What is done with a running unit whose environment has changed."""

    NEVER = "never"
    """Nothing: it is reported that a restart is needed."""


@dataclass(frozen=True)
class ManagedUnit:
    """What the configuration comes to for one unit, or for the instances of a template."""

    name: str
    python: str | None
    """Path of the interpreter that serves; None: the one that ExecStart= names."""
    preset: str
    layers: str | None
    """In place of the preset's."""
    batches: str | None
    """In place of the preset's."""
    processes: int
    threads: int | None
    """How many threads the unit is held to; None: the calibration chooses."""
    settings: tuple[str, ...] | None
    """Names of the settings that may be tried; None: all."""
    forbid: tuple[str, ...]
    """Names of the settings that may not."""
    pin: Mapping[str, str]
    """Variables that the unit has from elsewhere and keeps: held during calibration, never written."""
    allow_bf16: bool
    min_cosine: float
    memory_margin_bytes: int
    memory_margin_share: float
    """A setting may cost the larger of the two, in bytes and as a share of the default's peak."""
    budget_seconds: float
    calibrate: Calibrate
    restart: Restart
    check: bool

    @property
    def workload(self) -> Workload:
        """What stands for the unit's inference."""
        return make_workload(
            preset=self.preset, layers=self.layers, batches=self.batches, processes=self.processes
        )

    @property
    def rules(self) -> Rules:
        """What the calibration decides by."""
        return Rules(
            budget_seconds=self.budget_seconds,
            minimum_cosine=self.min_cosine,
            memory_margin_bytes=self.memory_margin_bytes,
            memory_margin_share=self.memory_margin_share,
        )

    @property
    def forbidden(self) -> frozenset[str]:
        """Names of the settings that the calibration must leave alone, for want of consent too."""
        changing = (setting.name for setting in CATALOGUE if setting.changes_results)
        return frozenset(self.forbid) | frozenset(() if self.allow_bf16 else changing)


@dataclass(frozen=True)
class Quiet:
    """When a host has so little to do that it may be calibrated."""

    duration: float
    """Seconds that it must have been so."""
    load: float
    """Most runnable tasks per CPU, averaged over a minute."""
    pressure: float
    """Most time that tasks waited for a CPU, in percent."""
    steal: float
    """Most CPU time that went to the hypervisor, in percent."""


@dataclass(frozen=True)
class Configuration:
    """The whole configuration."""

    enabled: bool
    gates_seconds: float
    """How long units may wait for calibrations before their start, all of them together, in one boot."""
    quiet: Quiet
    units: Mapping[str, ManagedUnit]
    """The managed units by name; a template stands for its instances."""
    unmanaged: Mapping[str, str]
    """Units that have a section and are not managed, each with the reason: disabled, or what is wrong."""
    problems: tuple[str, ...]
    """All that is wrong, one line each."""
    digest: str
    """Of all that this was made from; see `digest_of`."""

    def unit(self, name: str) -> ManagedUnit | None:
        """What a unit is managed by: its own section or its template's; None if it isn't managed."""
        if not self.enabled or name in self.unmanaged:
            return None
        return self.units.get(name) or self.units.get(template_of(name) or "")

    def to_json(self) -> str:
        """The record."""
        record = {"format": FORMAT, "agent": __version__, **dataclasses.asdict(self)}
        return json.dumps(record, indent=1, sort_keys=True) + "\n"


def write_compiled(configuration: Configuration, path: Path) -> None:
    """Leaves the record for the daemon."""
    write_atomically(path, configuration.to_json().encode(), mode=PRIVATE_FILE)


def read_compiled(path: Path) -> Configuration:
    """Reads a record. Raises StateError if there is none, or if another version wrote it."""
    content = read_regular(str(path), LARGEST)
    if content is None:
        raise StateError(f"there is no compiled configuration in {path}")
    try:
        record = json.loads(content)
        written_by = (record.pop("format"), record.pop("agent"))
        if written_by != (FORMAT, __version__):
            raise StateError(f"{path} is the compiled configuration of another version")
        return _configuration(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"{path} is no compiled configuration: {error}") from error


def _configuration(record: dict[str, Any]) -> Configuration:
    units = {name: _unit(unit) for name, unit in record.pop("units").items()}
    quiet = Quiet(**record.pop("quiet"))
    return Configuration(units=units, quiet=quiet, problems=tuple(record.pop("problems")), **record)


def _unit(record: dict[str, Any]) -> ManagedUnit:
    settings, forbid = record.pop("settings"), record.pop("forbid")
    return ManagedUnit(
        settings=None if settings is None else tuple(settings),
        forbid=tuple(forbid),
        calibrate=Calibrate(record.pop("calibrate")),
        restart=Restart(record.pop("restart")),
        **record,
    )


def digest_of(files: UnitFiles, root: str = "") -> str:
    """A text that differs whenever what the configuration is made from differs."""
    parts: list[object] = [FORMAT, __version__]
    parts += [(path, sources.read(path)) for path in sources.find(root)]
    sections = ((unit, files.own_section(unit)) for unit in files.names())
    parts += [(unit, entries) for unit, entries in sections if entries is not None]
    return hashlib.sha256(repr(parts).encode()).hexdigest()
