"""Reads the section [X-GravitonAgent] by which a unit's own file opts in.

Its options are those of the configuration's unit sections, in the manner of unit files: AllowBf16=yes,
Forbid=bf16 threads, Pin=OMP_NUM_THREADS=4.
"""

import shlex
from collections.abc import Iterable
from typing import Any, get_args

from graviton_agent.configuration.collect import PIN, Collected
from graviton_agent.configuration.model import UnitOptions
from graviton_agent.configuration.problem import Origin, did_you_mean
from graviton_agent.units.unit_files import OWN_SECTION, Entry

_SWITCHES = {
    **dict.fromkeys(("yes", "y", "true", "t", "on", "1"), True),
    **dict.fromkeys(("no", "n", "false", "f", "off", "0"), False),
}
"""What systemd takes for true and false [src/basic/parse-util.c, parse_boolean]."""


def own_section(unit: str) -> str:
    """What the section is called in messages."""
    return f"{unit} [{OWN_SECTION}]"


def own_key(option: str) -> str:
    """What an option is called in a unit file: AllowBf16 of allow_bf16."""
    return "".join(part.capitalize() for part in option.split("_"))


def take_own_section(collected: Collected, unit: str, path: str, entries: Iterable[Entry]) -> None:
    """Checks and keeps what a unit's own file, found at a path, says."""
    section = own_section(unit)
    collected.units.setdefault(unit, Origin(path, None))
    options = {own_key(name): name for name in (*UnitOptions.model_fields, PIN)}
    for _, key, text, where, line in entries:
        origin = Origin(where, line)
        name = options.get(key)
        if name is None:
            meant = did_you_mean(key, options)
            collected.complain(section, origin, f"{section}.{key}", "there is no such option", meant)
        elif name == PIN:
            for word in _words(text):
                variable, _, value = word.partition("=")
                collected.take_pin(section, variable, value, origin)
        else:
            collected.take(section, UnitOptions, name, _as_toml(name, text), origin)


def _as_toml(option: str, text: str) -> Any:
    """The value of TOML that the text stands for; the text itself where it stands for none."""
    annotation = UnitOptions.model_fields[option].annotation
    kinds = {annotation, *get_args(annotation)}
    if bool in kinds:
        return _SWITCHES.get(text.lower(), text)
    if tuple[str, ...] in kinds:
        return text if text == "all" else text.replace(",", " ").split()
    for number in (int, float):
        if number in kinds:
            try:
                return number(text)
            except ValueError:
                return text
    return text


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return [text]
