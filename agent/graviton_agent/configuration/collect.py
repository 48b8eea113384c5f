"""Checks options one by one, as the sections of the files say them, and notes what is wrong with which."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from graviton_agent.configuration import values
from graviton_agent.configuration.model import HostOptions, Options, QuietOptions, UnitOptions
from graviton_agent.configuration.problem import Origin, Problem, Severity, did_you_mean
from graviton_agent.errors import UsageError
from graviton_agent.units.names import is_agents_own, is_service_name, why_no_service_name

PIN = "pin"
TABLES = ("quiet", "defaults", "units")
"""The tables of the file; everything else at its top level is an option of the host."""


@dataclass(frozen=True)
class Value:
    """The value of one option."""

    written: Any
    """As it stands in the file, or as a default would."""
    value: Any
    """As the agent uses it."""
    origin: Origin | None
    """None for a default."""


Section = dict[str, Value]
"""The options of one section; a pinned variable is the option `pin.NAME`."""

Locate = Callable[..., Origin]
"""Where the key stands whose path is given."""


def unit_section(unit: str) -> str:
    """What a unit's section is called in the file; TOML takes backslashes between single quotes alone."""
    return f"units.'{unit}'" if "\\" in unit else f'units."{unit}"'


@dataclass
class Collected:
    """What the sections say, before they are laid over each other."""

    sections: dict[str, Section] = field(default_factory=dict)
    """By the section's name as it is written."""
    units: dict[str, Origin] = field(default_factory=dict)
    """The units that have a section, and where the last of their sections begins."""
    problems: list[Problem] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    """The first error of a section."""

    def complain(self, section: str, origin: Origin, key: str, what: str, meant: str | None = None) -> None:
        """Notes an error of a section."""
        problem = Problem(Severity.ERROR, origin, key, what, meant)
        self.problems.append(problem)
        self.wrong.setdefault(section, str(problem))

    def take(self, section: str, options: type[Options], key: str, written: Any, origin: Origin) -> None:
        """Checks one option and keeps it; an earlier file's value gives way."""
        name = f"{section}.{key}" if section else key
        if key not in options.model_fields:
            self.complain(section, origin, name, "there is no such option", _meant_option(options, key))
            return
        try:
            value = getattr(options.model_validate({key: written}), key)
        except UsageError as error:
            self.complain(section, origin, name, error.message, error.hint)
        except ValidationError as error:
            self.complain(section, origin, name, error.errors()[0]["msg"])
        else:
            self.sections.setdefault(section, {})[key] = Value(written, value, origin)

    def take_pin(self, section: str, variable: str, written: Any, origin: Origin) -> None:
        """Checks one pinned variable and keeps it."""
        key = f"{PIN}.{variable}"
        try:
            value = values.pinned(variable, written)
        except UsageError as error:
            self.complain(section, origin, f"{section}.{key}", error.message, error.hint)
        else:
            self.sections.setdefault(section, {})[key] = Value(written, value, origin)

    def take_tree(self, tree: dict[str, Any], locate: Locate) -> None:
        """Checks and keeps what one file of TOML says."""
        for name, value in tree.items():
            if name not in TABLES:
                self.take("", HostOptions, name, value, locate(name))
            elif not isinstance(value, dict):
                self.complain("", locate(name), name, "this is a table", f"write [{name}]")
            elif name == "quiet":
                for key, written in value.items():
                    self.take(name, QuietOptions, key, written, locate(name, key))
            elif name == "defaults":
                self._take_unit(name, value, (name,), locate)
            else:
                for unit, table in value.items():
                    if self._is_unit(unit, table, locate(name, unit)):
                        self.units[unit] = locate(name, unit)
                        self._take_unit(unit_section(unit), table, (name, unit), locate)

    def _is_unit(self, unit: str, table: Any, origin: Origin) -> bool:
        """Whether this can be a unit's section."""
        section = unit_section(unit)
        meant = f"did you mean [{unit_section(f'{unit}.service')}]?"
        if not isinstance(table, dict):
            self.complain(section, origin, section, "this is a table", f"write [{section}]")
        elif isinstance(table.get("service"), dict) and not is_service_name(unit):
            self.complain(section, origin, f"units.{unit}.service", "a dot divides names", meant)
        elif (why := why_no_service_name(unit)) is not None:
            fits = is_service_name(f"{unit}.service")
            self.complain(section, origin, section, f"the name {why}", meant if fits else None)
        elif is_agents_own(unit):
            self.complain(section, origin, section, "the agent can't manage its own services")
        else:
            return True
        return False

    def _take_unit(self, section: str, table: dict[str, Any], path: tuple[str, ...], locate: Locate) -> None:
        for key, written in table.items():
            if key != PIN:
                self.take(section, UnitOptions, key, written, locate(*path, key))
            elif isinstance(written, dict):
                for variable, value in written.items():
                    self.take_pin(section, variable, value, locate(*path, key, variable))
            else:
                meant = f'write {PIN} = {{ NAME = "value" }}'
                self.complain(section, locate(*path, key), f"{section}.{key}", "this is a table", meant)


def _meant_option(options: type[Options], key: str) -> str | None:
    """What was meant by an option that doesn't exist."""
    if options is HostOptions:
        if key == PIN or key in UnitOptions.model_fields:
            return 'options of units stand in [defaults] or in [units."NAME.service"]'
        return did_you_mean(key, [*HostOptions.model_fields, *TABLES])
    return did_you_mean(key, [*options.model_fields, *([PIN] if options is UnitOptions else [])])
