"""The options of the configuration: their names, their types and what they are by default.

A default stands here as it would be written in the file: etc/graviton-agent.toml shows them all, and a test
holds the two together.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from graviton_agent.configuration import values
from graviton_agent.configuration.compiled import Calibrate, Restart

SHORTEST_BUDGET = 10.0
LONGEST_BUDGET = 24 * 3600.0
SHORTEST_TIMEOUT = 10.0
LONGEST_TIMEOUT = 3600.0


def _read(reader: Any) -> Any:
    return BeforeValidator(reader)


def _written(default: Any) -> Any:
    """A default as the file would have it, which is read like any other value."""
    return Field(default=default)


class Options(BaseModel):
    """Options that may stand in one section."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, arbitrary_types_allowed=True
    )

    @classmethod
    def written_defaults(cls) -> dict[str, Any]:
        """The defaults as they would be written, in the order of the options."""
        return {
            name: field.get_default(call_default_factory=True) for name, field in cls.model_fields.items()
        }


class HostOptions(Options):
    """What concerns the whole host: the top level of the file."""

    enabled: Annotated[bool, _read(values.boolean)] = _written(True)
    """Whether the agent does anything at all."""
    gates: Annotated[float, _read(values.duration(0.0, 24 * 3600.0))] = _written("3min")
    """Seconds that units may wait for calibrations before their start, all together, in one boot."""


class QuietOptions(Options):
    """When the host counts as quiet: [quiet]."""

    duration: Annotated[float, _read(values.duration(1.0, 24 * 3600.0))] = _written("2min")
    load: Annotated[float, _read(values.tasks_per_cpu)] = _written(0.2)
    pressure: Annotated[float, _read(values.percent)] = _written(5.0)
    steal: Annotated[float, _read(values.percent)] = _written(1.0)


class UnitOptions(Options):
    """What concerns a unit: [units.NAME], [defaults] for all of them, [X-GravitonAgent] in its own file."""

    enabled: Annotated[bool, _read(values.boolean)] = _written(True)
    python: Annotated[str | None, _read(values.interpreter)] = _written("auto")
    preset: Annotated[str, _read(values.preset)] = _written("tutorial")
    layers: Annotated[str | None, _read(values.layers)] = _written("preset")
    batches: Annotated[str | None, _read(values.batches)] = _written("preset")
    processes: Annotated[int, _read(values.processes)] = _written(1)
    threads: Annotated[int | None, _read(values.threads)] = _written("auto")
    settings: Annotated[tuple[str, ...] | None, _read(values.setting_names)] = _written("all")
    forbid: Annotated[tuple[str, ...], _read(values.forbidden_names)] = _written([])
    allow_bf16: Annotated[bool, _read(values.boolean)] = _written(False)
    min_cosine: Annotated[float, _read(values.cosine)] = _written(0.0)
    memory_margin: Annotated[values.Margin, _read(values.margin)] = _written("auto")
    budget: Annotated[float, _read(values.duration(SHORTEST_BUDGET, LONGEST_BUDGET))] = _written("90s")
    timeout: Annotated[float, _read(values.duration(SHORTEST_TIMEOUT, LONGEST_TIMEOUT))] = _written("2min")
    calibrate: Annotated[Calibrate, _read(values.one_of(Calibrate))] = _written("when-quiet")
    restart: Annotated[Restart, _read(values.one_of(Restart))] = _written("never")
    check: Annotated[bool, _read(values.boolean)] = _written(True)
