"""What is valid and yet not what was meant: seen in the unit files, and in what doesn't go together."""

import difflib
from collections.abc import Iterator

from graviton_agent.configuration.collect import PIN, Section
from graviton_agent.configuration.compiled import Calibrate
from graviton_agent.configuration.load import Loaded
from graviton_agent.configuration.problem import Origin, Problem, Severity, did_you_mean
from graviton_agent.installed import SERVICE
from graviton_agent.settings.catalogue import CATALOGUE, setting_named
from graviton_agent.settings.threads import Threads
from graviton_agent.units.names import is_template
from graviton_agent.units.unit_files import UnitFiles

_SLIP = 0.85
"""How like a setting's variable another name must be to be taken for a slip."""

Warned = tuple[Origin | None, str, str | None]
"""Where, what, and what was meant; without a place of its own it concerns the unit's section."""


def advise(loaded: Loaded, files: UnitFiles) -> list[Problem]:
    """All warnings about the managed units."""
    return [
        Problem(Severity.WARNING, origin or loaded.origins[unit], unit, what, meant)
        for unit, section in loaded.units.items()
        if unit not in loaded.unmanaged
        for origin, what, meant in (
            *_about_the_file(unit, section, files),
            *_about_the_options(section, loaded.host["gates"].value),
        )
    ]


def _about_the_file(unit: str, section: Section, files: UnitFiles) -> Iterator[Warned]:
    """What systemd would make of the unit."""
    if files.fragment(unit) is None:
        # An instance has its template's file, so this is about plain units and templates.
        near = did_you_mean(unit, files.names())
        yield None, f"no {'template' if is_template(unit) else 'unit'} of this name is installed", near
    elif alias := files.target_of_alias(unit):
        yield None, f"this is another name of {alias}", f'write [units."{alias}"]'
    elif files.is_masked(unit):
        yield None, "this unit is masked", None
    elif files.is_ordered_before(unit, SERVICE):
        what = "it starts in early boot or before the agent: at boot it has default values"
        yield None, what, None
        if section["calibrate"].value is Calibrate.BEFORE_START:
            yield section["calibrate"].origin, "it can't wait for its calibration either", None


def _about_the_options(section: Section, gates_seconds: float) -> Iterator[Warned]:
    """What doesn't go together."""
    tried, forbidden = section["settings"], section["forbid"]
    for name in tried.value or ():
        if name in forbidden.value:
            yield tried.origin, f"{name} is forbidden too, and is not tried", None
        elif setting_named(name).changes_results and not section["allow_bf16"].value:
            yield tried.origin, f"{name} is not tried without consent", "set allow_bf16 = true if you consent"
    budget, calibrate = section["budget"], section["calibrate"]
    if calibrate.value is Calibrate.BEFORE_START and budget.value > gates_seconds:
        what = f"a calibration may take {budget.value:g} s, but starts wait for {gates_seconds:g} s in all"
        yield budget.origin or calibrate.origin, what, "lower `budget`, or raise `gates`"
    threads, variable = section["threads"], Threads.variable
    pin = section.get(f"{PIN}.{variable}")
    if threads.value is not None and pin is not None and pin.value != str(threads.value):
        what = f"threads are held at {threads.value}, but {variable} is pinned to {pin.value}"
        yield threads.origin, what, None
    yield from _about_the_pins(section)


def _about_the_pins(section: Section) -> Iterator[Warned]:
    names = {name for setting in CATALOGUE for name in (setting.variable, *setting.aliases)}
    for key, value in section.items():
        variable = key.removeprefix(f"{PIN}.")
        if variable == key or variable in names:
            continue
        if near := difflib.get_close_matches(variable, names, n=1, cutoff=_SLIP):
            yield value.origin, f"nothing reads {variable}", f"did you mean {near[0]}?"
