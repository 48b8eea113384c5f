"""The configuration as it is in effect, as TOML that could be loaded again."""

import json
from typing import Any

from graviton_agent.configuration.collect import Section, Value, unit_section
from graviton_agent.configuration.load import Loaded


def render(loaded: Loaded, units: list[str], *, origins: bool) -> str:
    """The host's options and the units' sections.

    Args:
        loaded: all of it.
        units: which units to show.
        origins: whether to say where each value stands.
    """
    blocks = [_block(None, loaded.host, origins), _block("quiet", loaded.quiet, origins)]
    for unit in units:
        block = _block(unit_section(unit), loaded.units[unit], origins)
        why_not = loaded.unmanaged.get(unit)
        blocks.append(f"# not managed: {why_not}\n{block}" if why_not else block)
    return "\n\n".join(blocks)


def _block(header: str | None, section: Section, origins: bool) -> str:
    lines = [f"{name} = {toml(value.written)}" for name, value in section.items()]
    if origins:
        width = max(map(len, lines))
        whence = map(_origin, section.values())
        lines = [f"{line.ljust(width)}   # {place}" for line, place in zip(lines, whence, strict=True)]
    return "\n".join([f"[{header}]", *lines] if header else lines)


def _origin(value: Value) -> str:
    return "default" if value.origin is None else str(value.origin)


def toml(value: Any) -> str:
    """A value as TOML writes it; all text here is printable, so JSON's escapes are TOML's too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {toml(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
