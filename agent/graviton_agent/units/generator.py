"""Makes the drop-ins at boot and at each daemon-reload. PID 1 waits for it: it is quick, and not strict.

What is broken in the configuration is passed over in silence: the units start all the same, `graviton-agent
config check` tells what is wrong, and the daemon gives a unit no environment file while its section is wrong.
Standard library alone, and as little of it as will do.
"""

import gc
import os
import signal
import tomllib
from collections.abc import Iterator
from types import FrameType
from typing import Any

from graviton_agent.configuration import sources
from graviton_agent.installed import SERVICE
from graviton_agent.units import dropin
from graviton_agent.units.names import is_agents_own, is_service_name, template_of
from graviton_agent.units.unit_files import UnitFiles

LONGEST_SECONDS = 2
MOST_UNITS = 2000

Options = dict[str, Any]
"""What a section says, as far as the generator needs it; its values may be of any type."""


def main(arguments: list[str]) -> None:
    """Runs as systemd.generator(7) says: the first argument is the folder to write to.

    A fourth argument, which systemd doesn't give, is a root in place of "/".
    """
    if len(arguments) < 2:
        return
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(LONGEST_SECONDS)
    gc.disable()
    os.umask(0o022)
    generate(arguments[1], arguments[4] if len(arguments) > 4 else "")


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    """What is written by now stands; the other units start without the agent."""
    os._exit(0)


def generate(folder: str, root: str) -> None:
    """Writes the drop-ins of all managed units below a folder."""
    host, defaults, sections = read_configuration(root)
    if host.get("enabled") is False:
        return
    files = UnitFiles(root)
    written: set[str] = set()
    for unit in _managed(files, sections):
        if len(written) < MOST_UNITS and unit not in written:
            written.add(unit)
            _write(folder, unit, {**defaults, **_inherited(files, sections, unit)}, files)


def read_configuration(root: str) -> tuple[Options, Options, dict[str, Options]]:
    """The options of the host, the defaults, and those of each unit, later files over earlier ones."""
    host: Options = {}
    defaults: Options = {}
    sections: dict[str, Options] = {}
    for tree in _trees(root):
        host.update(tree)
        defaults.update(_table(tree.get("defaults")))
        for unit, options in _table(tree.get("units")).items():
            if is_service_name(unit):
                sections.setdefault(unit, {}).update(_table(options))
    return host, defaults, sections


def _trees(root: str) -> Iterator[Options]:
    for path in sources.find(root):
        content = sources.read(path)
        if content is None:
            continue
        try:
            yield tomllib.loads(content.decode())
        except (ValueError, RecursionError):
            continue


def _table(value: object) -> Options:
    return value if isinstance(value, dict) else {}


def _managed(files: UnitFiles, sections: dict[str, Options]) -> Iterator[str]:
    """The units that get a drop-in, some of them twice."""
    # Those of the configuration come first: on a cold disk it may take long to read all unit files.
    yield from sections
    opted_in = [unit for unit in files.names() if files.own_section(unit) is not None]
    yield from opted_in
    templates = {*sections, *opted_in}
    # A template's drop-in can't name the file of an instance with a backslash.
    yield from (unit for unit in files.wanted_instances() if "\\" in unit and template_of(unit) in templates)


def _inherited(files: UnitFiles, sections: dict[str, Options], unit: str) -> Options:
    """What a unit's own section says, and over it the configuration; an instance's over its template's."""
    options: Options = {}
    for name in (template_of(unit), unit):
        if name:
            options |= _own_options(files, name)
            options |= sections.get(name, {})
    return options


def _own_options(files: UnitFiles, unit: str) -> Options:
    options: Options = {}
    for _, key, value, *_ in files.own_section(unit) or ():
        if key in {"Enabled", "Check"}:
            options[key.lower()] = value.lower() not in {"no", "n", "false", "f", "off", "0"}
        elif key == "Calibrate":
            options["calibrate"] = value
    return options


def _write(folder: str, unit: str, options: Options, files: UnitFiles) -> None:
    if is_agents_own(unit):
        return
    if options.get("enabled") is False:
        if template_of(unit) is None:
            return
        # The template may be managed: an empty drop-in of the same name hides the template's.
        text = ""
    else:
        text = dropin.render(
            unit,
            ordered=not files.is_ordered_before(unit, SERVICE),
            gate=options.get("calibrate") == "before-start",
            check=options.get("check") is not False,
        )
    target = f"{folder}/{dropin.folder_of(unit)}"
    try:
        os.makedirs(target, exist_ok=True)
        descriptor = os.open(
            f"{target}/{dropin.NAME}",
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o644,
        )
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError:
        return
