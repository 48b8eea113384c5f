"""Loads the configuration: reads the files, checks every option, and says where each value comes from.

Nothing raises for what a file says: what is wrong becomes a problem, with its place, and the rest is kept. An
option that is wrong makes what it concerns unmanaged, for it may have been meant to hold the agent back.
"""

import re
import tomllib
from dataclasses import dataclass

from graviton_agent.calibration.rules import Rules
from graviton_agent.configuration import sources
from graviton_agent.configuration.collect import Collected, Section, Value, unit_section
from graviton_agent.configuration.compiled import Configuration, ManagedUnit, Quiet, digest_of
from graviton_agent.configuration.model import HostOptions, Options, QuietOptions, UnitOptions
from graviton_agent.configuration.own_section import own_section, take_own_section
from graviton_agent.configuration.positions import key_lines, line_of
from graviton_agent.configuration.problem import Origin, Problem
from graviton_agent.units.names import template_of
from graviton_agent.units.unit_files import UnitFiles

_PLACE = re.compile(r"(.*) \(at (?:line ([0-9]+), column [0-9]+|end of document)\)")
"""How tomllib says where it stopped."""


@dataclass(frozen=True)
class Loaded:
    """The whole configuration, with the origin of everything."""

    files: tuple[str, ...]
    """Those that count, in the order in which they apply."""
    host: Section
    quiet: Section
    units: dict[str, Section]
    """What each unit comes to that has a section, those that are not managed included."""
    unmanaged: dict[str, str]
    """Units that are not managed, each with the reason."""
    origins: dict[str, Origin]
    """Where the section of each unit begins."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Proposal:
    """A drop-in as it would be written."""

    path: str
    content: bytes


def load(files: UnitFiles, root: str = "", *, proposed: Proposal | None = None) -> Loaded:
    """Reads and checks everything below a root, a file that is only proposed included."""
    collected = Collected()
    found = sources.find(root, proposed.path if proposed else None)
    paths = tuple(path for path in found if not sources.is_mask(path))
    for path in paths:
        if proposed is not None and path == proposed.path:
            _take_file(collected, path, proposed.content)
        else:
            _take_file(collected, path, sources.read(path))
    for unit in files.names():
        entries = files.own_section(unit)
        if entries is not None:
            take_own_section(collected, unit, files.fragment(unit) or unit, entries)
    return _resolve(collected, paths)


def _take_file(collected: Collected, path: str, content: bytes | None) -> None:
    """Checks and keeps what one file says."""
    if content is None:
        what = f"it is unreadable, no regular file, or larger than {sources.LARGEST} bytes"
        collected.complain(path, Origin(path, None), "", what)
        return
    try:
        text = content.decode().replace("\r\n", "\n")
        tree = tomllib.loads(text)
        lines = key_lines(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        collected.complain(path, Origin(path, line), "", "this is not UTF-8")
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.fullmatch(str(error))
        line = int(found[2]) if found and found[2] else content.count(b"\n") + 1
        collected.complain(path, Origin(path, line), "", f"this is not TOML: {found[1] if found else error}")
    except RecursionError:
        collected.complain(path, Origin(path, None), "", "it is nested too deeply")
    else:
        collected.take_tree(tree, lambda *keys: Origin(path, line_of(lines, keys)))


def _resolve(collected: Collected, paths: tuple[str, ...]) -> Loaded:
    """Lays the sections over each other: a unit's over its template's, the file's over the unit's own."""
    units: dict[str, Section] = {}
    unmanaged: dict[str, str] = {}
    for unit in sorted(collected.units):
        sections = ["defaults"]
        for name in (template_of(unit), unit):
            sections += [own_section(name), unit_section(name)] if name else []
        values = _defaults(UnitOptions)
        for section in sections:
            values |= collected.sections.get(section, {})
        units[unit] = values
        if errors := [collected.wrong[section] for section in ("", *sections) if section in collected.wrong]:
            unmanaged[unit] = errors[0]
        elif not values["enabled"].value:
            unmanaged[unit] = f"disabled in {values['enabled'].origin}"
    return Loaded(
        files=paths,
        host=_defaults(HostOptions) | collected.sections.get("", {}),
        quiet=_defaults(QuietOptions) | collected.sections.get("quiet", {}),
        units=units,
        unmanaged=unmanaged,
        origins=collected.units,
        problems=tuple(collected.problems),
    )


def _defaults(options: type[Options]) -> Section:
    used = options()
    written = options.written_defaults()
    return {name: Value(written[name], getattr(used, name), None) for name in written}


def compile_configuration(root: str = "") -> Configuration:
    """What the daemon needs to know, checked."""
    files = UnitFiles(root)
    digest = digest_of(files, root)
    loaded = load(files, root)
    return Configuration(
        enabled=loaded.host["enabled"].value,
        gates_seconds=loaded.host["gates"].value,
        quiet=Quiet(**{name: value.value for name, value in loaded.quiet.items()}),
        units={
            name: _managed_unit(name, section)
            for name, section in loaded.units.items()
            if name not in loaded.unmanaged
        },
        unmanaged=loaded.unmanaged,
        problems=tuple(map(str, loaded.problems)),
        digest=digest,
    )


def _managed_unit(name: str, section: Section) -> ManagedUnit:
    value = {option: section[option].value for option in UnitOptions.model_fields}
    value.pop("enabled")
    margin = value.pop("memory_margin") or (Rules.memory_margin_bytes, Rules.memory_margin_share)
    return ManagedUnit(
        name=name,
        pin={key.removeprefix("pin."): pin.value for key, pin in section.items() if key.startswith("pin.")},
        budget_seconds=value.pop("budget"),
        memory_margin_bytes=margin[0],
        memory_margin_share=margin[1],
        **value,
    )
