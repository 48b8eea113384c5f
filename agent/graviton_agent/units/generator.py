"""Makes the drop-ins at boot and at each daemon-reload. PID 1 waits for it: it is quick, and not strict.

What is broken in the configuration is passed over in silence: the units start all the same, `graviton-agent
config check` tells what is wrong, and the daemon gives a unit no environment file while its section is wrong.
Standard library alone, and as little of it as will do.
"""

from __future__ import annotations

import _thread
import gc
import os
import time
from collections.abc import Iterator

from graviton_agent.configuration import sources
from graviton_agent.configuration.plain_toml import WANTED, Options, Read, read_plain
from graviton_agent.installed import SERVICE
from graviton_agent.units import dropin
from graviton_agent.units.names import is_agents_own, is_instance, is_service_name, template_of
from graviton_agent.units.unit_files import UnitFiles

LONGEST_SECONDS = 2
MOST_UNITS = 2000


def main(arguments: list[str]) -> None:
    """Runs as systemd.generator(7) says: the first argument is the folder to write to.

    A fourth argument, which systemd doesn't give, is a root in place of "/".
    """
    if len(arguments) < 2:
        return
    # Unlike a handler of SIGALRM a thread ends the process even while a file system keeps it waiting; and
    # neither imports of the module `signal` nor the rounds of the garbage collector cost anything.
    _thread.start_new_thread(_give_up, ())
    gc.disable()
    os.umask(0o022)
    generate(arguments[1], arguments[4] if len(arguments) > 4 else "")


def _give_up() -> None:
    """Ends the process when its time is over: what is written by now stands."""
    time.sleep(LONGEST_SECONDS)
    os._exit(0)


def generate(folder: str, root: str) -> None:
    """Writes the drop-ins of all managed units below a folder."""
    host, defaults, sections = read_configuration(root)
    if host.get("enabled") is False:
        return
    files = UnitFiles(root)
    if files.is_masked(SERVICE):
        # Nobody guards what units would be given: they read nothing of the agent's.
        return
    written: set[str] = set()
    for unit in _managed(files, sections):
        if len(written) < MOST_UNITS and unit not in written:
            written.add(unit)
            alone = is_instance(unit) and (unit in sections or files.own_section(unit) is not None)
            options = {**defaults, **_inherited(files, sections, unit)}
            _write(folder, unit, options, files, alone=alone)


def read_configuration(root: str) -> tuple[Options, Options, dict[str, Options]]:
    """The options of the host, the defaults, and those of each unit, later files over earlier ones."""
    host: Options = {}
    defaults: Options = {}
    sections: dict[str, Options] = {}
    for path in sources.find(root):
        try:
            text = (sources.read(path) or b"").decode()
            of_host, of_all, of_units = read_plain(text) or _read_with_tomllib(text)
        except (ValueError, RecursionError, ImportError):
            continue
        host.update(of_host)
        defaults.update(of_all)
        for unit, options in of_units.items():
            if is_service_name(unit):
                sections.setdefault(unit, {}).update(options)
    return host, defaults, sections


def _read_with_tomllib(text: str) -> Read:
    """What a file says that isn't plain. ValueError if it isn't TOML, ImportError before Python 3.11."""
    import tomllib  # most configurations are plain, and then it isn't worth its price

    tree = tomllib.loads(text)
    units = {unit: _options(table) for unit, table in _table(tree.get("units")).items()}
    return _options(tree), _options(tree.get("defaults")), units


def _options(table: object) -> Options:
    """The wanted options of a table."""
    return {key: value for key, value in _table(table).items() if key in WANTED}


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _managed(files: UnitFiles, sections: dict[str, Options]) -> Iterator[str]:
    """The units that get a drop-in, some of them twice."""
    # Those of the configuration come first: on a cold disk it may take long to read all unit files.
    yield from sections
    opted_in = [unit for unit in files.names() if files.own_section(unit) is not None]
    yield from opted_in
    templates = {*sections, *opted_in}
    # A template's drop-in can't name the file of an instance with a backslash, nor does it fit one that is
    # ordered in another way by files of its own.
    wanted = [unit for unit in files.wanted_instances() if template_of(unit) in templates]
    yield from (unit for unit in wanted if "\\" in unit)
    special = [unit for unit in files.special_instances() if template_of(unit) in templates]
    yield from (unit for unit in special if "\\" in unit or _is_ordered_otherwise(files, unit))


def _is_ordered_otherwise(files: UnitFiles, instance: str) -> bool:
    template = template_of(instance) or instance
    return files.is_ordered_before(instance, SERVICE) != files.is_ordered_before(template, SERVICE)


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


def _write(folder: str, unit: str, options: Options, files: UnitFiles, *, alone: bool) -> None:
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
            alone=alone,
        )
    target = f"{folder}/{dropin.folder_of(unit)}"
    try:
        if not os.path.isdir(target):
            os.mkdir(target)
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
