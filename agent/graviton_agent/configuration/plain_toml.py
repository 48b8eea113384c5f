"""Reads the few options that the generator needs from a file of plain TOML, without tomllib.

PID 1 waits for the generator, and importing tomllib and parsing with it take longer than all the rest. Plain
is a file in which every statement is one line; of any other file nothing is read here, and tomllib must. What
is no TOML may be read as if it were: a drop-in more or less does no harm.
"""

from __future__ import annotations

WANTED = ("enabled", "check", "calibrate")
"""The options; any but True, False and text is None."""

Options = dict[str, object]
Read = tuple[Options, Options, dict[str, Options]]
"""The wanted options of the top level, those of [defaults], and those of each unit by its name."""


def read_plain(text: str) -> Read | None:
    """What a file says; None if it isn't plain."""
    if '"""' in text or "'''" in text or "\r" in text:
        return None
    read: Read = {}, {}, {}
    table = read[0]
    for raw in text.split("\n"):
        line = raw.strip(" \t")
        if not line or line[0] == "#":
            continue
        if line[0] == "[":
            found = _table(line, read)
            if found is None:
                return None
            table = found
        else:
            key, _, value = line.partition("=")
            key, value = key.rstrip(" \t"), value.lstrip(" \t")
            if not _is_plain(key, value):
                return None
            if key in WANTED:
                table[key] = _value(value)
    return read


def _table(line: str, read: Read) -> Options | None:
    """The table that a header begins, and in which options are kept or forgotten; None if it isn't plain."""
    _, defaults, units = read
    header = line[1:-1] if line[-1] == "]" else ""
    unit = _unit_of(header.removesuffix(".pin"))
    if unit is not None:
        # The table of its pinned variables makes the unit's too.
        table = units.setdefault(unit, {})
        return {} if header.endswith(".pin") else table
    if header == "defaults":
        return defaults
    return {} if header in {"quiet", "defaults.pin"} else None


def _unit_of(header: str) -> str | None:
    """The unit whose table it is: llm.service of `units."llm.service"`; None if it is another's."""
    quoted = header.removeprefix("units.")
    unit, quote = quoted[1:-1], quoted[:1]
    is_plain = quoted != header and len(quoted) > 2 and quoted[-1] == quote and quote not in unit
    return unit if is_plain and (quote == "'" or (quote == '"' and "\\" not in unit)) else None


def _is_plain(key: str, value: str) -> bool:
    """Whether the statement ends with its line, and is what it seems to be."""
    first, dot, rest = key.partition(".")
    if not first.isidentifier() or (dot and not rest.isidentifier()) or first in {"units", "defaults"}:
        return False
    if first in WANTED:
        return not dot and "\\" not in value and value[:1] not in {"[", "{"}
    if value[:1] == "[":
        return value[-1] == "]" and value.count("[") == value.count("]") == 1 and "#" not in value
    return value[:1] != "{" or (value[-1] == "}" and "[" not in value and "#" not in value)


def _value(text: str) -> object:
    """What a wanted option is set to."""
    if text[:1] in {'"', "'"}:
        return text[1:].partition(text[0])[0]
    return {"true": True, "false": False}.get(text.partition("#")[0].rstrip(" \t"))
