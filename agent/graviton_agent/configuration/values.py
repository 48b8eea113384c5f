"""Reads the values of options as they are written; what is wrong with one is said in words.

Each function takes what TOML gives and returns what the agent uses, or raises UsageError, whose hint says
what to write instead.
"""

import math
import re
from collections.abc import Callable
from enum import StrEnum

from graviton_agent.configuration.problem import did_you_mean
from graviton_agent.errors import UsageError
from graviton_agent.quantities import parse_duration, parse_percent, parse_size
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.workload import PRESETS, parse_batches, parse_layers

Margin = tuple[int, float] | None
"""Bytes, and the share of the default's peak; None: what the calibration takes by itself."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names of environment variables that systemd takes [src/basic/env-util.c, env_name_is_valid]."""

_MOST_THREADS = 1024
_MOST_PROCESSES = 256
_LONGEST = 1024


def boolean(value: object) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise _wrong(value, "neither true nor false", _boolean_hint(value))


def _boolean_hint(value: object) -> str:
    meant = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
    found = meant.get(str(value).lower())
    return f"write {found}, without quotes" if found else "write true or false, without quotes"


def one_of(words: type[StrEnum]) -> Callable[[object], StrEnum]:
    """A word of a list."""

    def read(value: object) -> StrEnum:
        try:
            return words(_text(value))
        except ValueError:
            raise _not_among(value, list(words)) from None

    return read


def preset(value: object) -> str:
    """The name of a workload."""
    if isinstance(value, str) and value in PRESETS:
        return value
    raise _not_among(value, list(PRESETS))


def interpreter(value: object) -> str | None:
    """An absolute path, or "auto"."""
    text = _text(value)
    if text == "auto":
        return None
    if not text.startswith("/") or not text.isprintable():
        raise _wrong(value, "no absolute path", 'write one such as "/opt/app/venv/bin/python", or "auto"')
    return text


def layers(value: object) -> str | None:
    """The layers of the workload, or "preset"."""
    text = _text(value, separator=",")
    if text == "preset":
        return None
    parse_layers(text)
    return text


def batches(value: object) -> str | None:
    """The batches of the workload, with or without shares, or "preset"."""
    text = _text(value, separator=",")
    if text == "preset":
        return None
    parse_batches(text)
    return text


def threads(value: object) -> int | None:
    """A number of threads, or "auto"."""
    return None if value == "auto" else _whole(value, _MOST_THREADS, ', or "auto"')


def processes(value: object) -> int:
    """A number of processes."""
    return _whole(value, _MOST_PROCESSES)


def setting_names(value: object) -> tuple[str, ...] | None:
    """A list of settings' names, or "all"."""
    return None if value == "all" else _settings(value)


def forbidden_names(value: object) -> tuple[str, ...]:
    """A list of settings' names."""
    return _settings(value)


def pinned(variable: str, value: object) -> str:
    """The value of a pinned variable."""
    if not VARIABLE.fullmatch(variable):
        raise UsageError("no variable can have this name", hint="names have letters, digits and _ alone")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = _text(value)
    if not text or not text.isprintable() or len(text) > _LONGEST:
        raise _wrong(value, "no value for a variable", "write what the unit really has, in quotes")
    return text


def cosine(value: object) -> float:
    """A cosine similarity."""
    return _number(value, 0.0, 1.0)


def percent(value: object) -> float:
    """A share in percent, as a number."""
    return _number(value, 0.0, 100.0)


def tasks_per_cpu(value: object) -> float:
    """A load."""
    return _number(value, 0.0, 100.0)


def margin(value: object) -> Margin:
    """A size, a share, or "auto"."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return (value, 0.0)
    text = _text(value)
    if text == "auto":
        return None
    return (0, parse_percent(text)) if text.endswith("%") else (parse_size(text), 0.0)


def duration(shortest: float, longest: float) -> Callable[[object], float]:
    """A time within bounds, in seconds."""

    def read(value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        seconds = float(str(value)) if is_number else parse_duration(_text(value))
        if not shortest <= seconds <= longest:
            raise _wrong(value, "out of bounds", f"take {shortest:g} to {longest:g} seconds")
        return seconds

    return read


def _text(value: object, *, separator: str | None = None) -> str:
    """A string. Where a list is natural too, what is meant is said."""
    if isinstance(value, str):
        return value
    if separator and isinstance(value, list):
        meant = separator.join(str(item) for item in value)
        raise UsageError("a list can't stand here", hint=f'write "{meant}"')
    raise _wrong(value, "no text", f'write it in quotes: "{_plain(value)}"')


def _whole(value: object, most: int, otherwise: str = "") -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    hint = f"write a whole number from 1 to {most}, without quotes{otherwise}"
    raise _wrong(value, "no such number", hint)


def _number(value: object, least: float, most: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = float(str(value)) if is_number else math.nan
    if least <= number <= most:
        return number
    raise _wrong(value, "no such number", f"write a number from {least:g} to {most:g}, without quotes")


def _settings(value: object) -> tuple[str, ...]:
    known = [setting.name for setting in CATALOGUE]
    if not isinstance(value, list):
        raise _wrong(value, "no list", f'write ["{_plain(value)}"]')
    for name in value:
        for setting in CATALOGUE:
            if name == setting.variable:
                raise UsageError(f"{name} is a variable", hint=f'its setting is called "{setting.name}"')
        if name not in known:
            raise _not_among(name, known)
    return tuple(dict.fromkeys(value))


def _not_among(value: object, words: list[str]) -> UsageError:
    hint = did_you_mean(str(value), words) or f"there are {', '.join(words)}"
    return _wrong(value, "not known here", hint)


def _wrong(value: object, what: str, hint: str) -> UsageError:
    return UsageError(f"{_plain(value)!r} is {what}", hint=hint)


def _plain(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
