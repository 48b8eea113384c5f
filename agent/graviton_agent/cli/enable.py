"""`graviton-agent enable` and `disable`: give a unit a section in the configuration, or switch it off."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graviton_agent.terminal import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graviton_agent.control.scene import Scene
    from graviton_agent.root import Root
    from graviton_agent.units.bus import Bus

RELOAD_SECONDS = 90.0
"""PID 1 answers when all generators have ended, for which it waits as long."""

Unit = Annotated[str, typer.Argument(metavar="UNIT", help="A unit, or a template for all its instances.")]
Folder = Annotated[
    Path,
    typer.Option(
        "--root", metavar="DIR", exists=True, file_okay=False, help="Another system's tree: an image's."
    ),
]


def _option(name: str, words: str, metavar: str | None = None) -> Any:
    return typer.Option(name, metavar=metavar, help=words)


def enable(
    unit: Unit,
    batch: Annotated[
        str | None, _option("--batch", "10,32,256, or 1:0.7,32:0.3 with shares.", "LIST")
    ] = None,
    layers: Annotated[str | None, _option("--layers", "4096x4096,4096x10.", "LIST")] = None,
    preset: Annotated[str | None, _option("--preset", "tutorial, bert-base, vit-b or llama.", "NAME")] = None,
    processes: Annotated[int | None, _option("--processes", "How many serve side by side.")] = None,
    threads: Annotated[int | None, _option("--threads", "The number that each process is held to.")] = None,
    python: Annotated[str | None, _option("--python", "The interpreter that serves.", "PATH")] = None,
    settings: Annotated[str | None, _option("--settings", "Try these alone.", "NAMES")] = None,
    forbid: Annotated[str | None, _option("--forbid", "Never try these.", "NAMES")] = None,
    pin: Annotated[
        list[str] | None,
        _option("--pin", "What the unit has from where systemd can't see it.", "NAME=VALUE"),
    ] = None,
    allow_bf16: Annotated[
        bool | None, typer.Option("--allow-bf16/--forbid-bf16", help="Consent to bf16 fast math.")
    ] = None,
    min_cosine: Annotated[float | None, _option("--min-cosine", "Smallest similarity with float64.")] = None,
    memory_margin: Annotated[
        str | None, _option("--memory-margin", "Memory that a setting may cost: 64M, 10%.", "SIZE")
    ] = None,
    budget: Annotated[str | None, _option("--budget", "Time of a calibration: 90s, 5min.", "TIME")] = None,
    calibrate: Annotated[
        str | None, _option("--calibrate", "when-quiet, before-start or manual.", "WHEN")
    ] = None,
    root: Folder = Path("/"),
) -> None:
    """Manage a unit: write its section, with these options, and have systemd read it.

    The section is a file of its own, /etc/graviton-agent/conf.d/50-UNIT.toml. Enabled once more, a unit keeps
    the options that are not given.
    """
    from graviton_agent.control.sections import enable as write_section
    from graviton_agent.control.sections import require_installed
    from graviton_agent.control.writing import settle
    from graviton_agent.report.sections import render_enabled

    options = {
        "batches": batch,
        "layers": layers,
        "preset": preset,
        "processes": processes,
        "threads": threads,
        "python": python,
        "settings": _names(settings),
        "forbid": _names(forbid),
        "pin": _pins(pin),
        "allow_bf16": allow_bf16,
        "min_cosine": min_cosine,
        "memory_margin": memory_margin,
        "budget": budget,
        "calibrate": calibrate,
    }
    given = {option: value for option, value in options.items() if value is not None}
    with _system(root) as (tree, bus):
        name = require_installed(unit, tree, bus)
        written = write_section(name, given, tree)
        scene = _reloaded(bus, tree)
        outlook = None if scene is None else settle(scene, name)
    tell(render_enabled(name, written, outlook, reload=bus is None))


def disable(unit: Unit, root: Folder = Path("/")) -> None:
    """Manage a unit no more: it starts with its own values. Its options and its profile are kept."""
    from graviton_agent.control.sections import disable as write_section
    from graviton_agent.control.verifying import still_changed
    from graviton_agent.control.writing import withdraw
    from graviton_agent.report.sections import render_disabled

    with _system(root) as (tree, bus):
        written = write_section(unit, tree)
        scene = _reloaded(bus, tree)
        if scene is not None:
            withdraw(scene, unit)
        changed = [] if scene is None else still_changed(scene, unit)
    tell(render_disabled(unit, written, changed, reload=bus is None))


@contextmanager
def _system(root: Path) -> "Iterator[tuple[Root, Bus | None]]":
    """The tree, and for this machine's its bus, where systemd runs."""
    from graviton_agent.control.scene import require_root
    from graviton_agent.root import Root
    from graviton_agent.units.bus import Bus, BusError

    tree = Root(root)
    require_root(tree)
    if not tree.is_this_machine:
        yield tree, None
        return
    try:
        bus = Bus.connect()
    except BusError:
        # The files can be written all the same.
        yield tree, None
        return
    with bus:
        yield tree, bus


def _reloaded(bus: "Bus | None", tree: "Root") -> "Scene | None":
    """The machine after systemd has read its files anew."""
    from graviton_agent.control.scene import Scene
    from graviton_agent.units.manager import RELOAD

    if bus is None:
        return None
    bus.call(RELOAD, seconds=RELOAD_SECONDS)
    return Scene(bus, tree)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _pins(assignments: list[str] | None) -> dict[str, str] | None:
    from graviton_agent.errors import UsageError

    if not assignments:
        return None
    pairs = [assignment.partition("=") for assignment in assignments]
    for name, equals, _ in pairs:
        if not equals:
            raise UsageError(f"{name!r} is no assignment", hint="write --pin NAME=VALUE")
    return {name: value for name, _, value in pairs}
