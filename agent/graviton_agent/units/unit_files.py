"""Reads unit files where systemd looks for them, without asking systemd, which does not answer a generator.

Only what the agent must know before a unit is loaded is understood: sections, keys, drop-ins, masks, aliases.
Standard library alone: the generator imports this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from graviton_agent.regular_file import read_regular
from graviton_agent.units.names import is_instance, is_service_name, template_of

# Folders that other generators or `systemd-run` fill are left out: they are being written while ours runs
# [systemd man/systemd.unit.xml, "System Unit Search Path"].
LOAD_PATH = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
OWN_SECTION = "X-GravitonAgent"
"""The section by which a unit's own file opts in; systemd ignores sections that begin with X-."""
_OWN_HEADER = f"[{OWN_SECTION}]".encode()

LARGEST = 256 * 1024
"""Bytes of a unit file or drop-in; larger ones are not read."""
MOST_FILES = 5000
"""Entries of a folder that are looked at."""
MOST_STEPS = 200
"""Units that are visited when following an order."""

Entry = tuple[str, str, str, str, int]
"""Section, key, value, path, and the number of the line where the assignment begins."""


class UnitFiles:
    """The unit files below a root, each read at most once."""

    def __init__(self, root: str = "") -> None:
        self._folders = [_scan(root + folder) for folder in LOAD_PATH]
        self._drop_in_folders = {name for folder in self._folders for name in folder if name.endswith(".d")}
        self._contents: dict[str, bytes] = {}
        self._paths_of: dict[str, list[str]] = {}
        self._predecessors: dict[str, set[str]] = {}

    def names(self) -> list[str]:
        """The services, and templates of them, that have a file and are neither masked nor aliases."""
        found = {name for folder in self._folders for name in folder if is_service_name(name)}
        return [name for name in sorted(found) if not self.target_of_alias(name) and not self.is_masked(name)]

    def wanted_instances(self) -> list[str]:
        """The instances of templates that some unit wants or requires, as `systemctl enable` leaves them."""
        found: set[str] = set()
        for folder in self._folders:
            for name, entry in folder.items():
                if name.endswith((".wants", ".requires")):
                    found |= {
                        unit for unit in _scan(entry.path) if is_service_name(unit) and is_instance(unit)
                    }
        return sorted(found)

    def special_instances(self) -> list[str]:
        """The instances of templates that have a file or drop-ins of their own."""
        found = {name.removesuffix(".d") for folder in self._folders for name in folder}
        return sorted(unit for unit in found if is_service_name(unit) and is_instance(unit))

    def fragment(self, unit: str) -> str | None:
        """The path of the unit's file, or of its template's; None if there is none."""
        entry = self._entry(unit) or self._entry(template_of(unit) or "")
        return entry.path if entry else None

    def is_masked(self, unit: str) -> bool:
        """Whether the unit's file is a link to /dev/null, or empty."""
        path = self.fragment(unit)
        return path is not None and not self._read(path)

    def target_of_alias(self, unit: str) -> str | None:
        """The unit that this one is another name of; None if it isn't an alias."""
        entry = self._entry(unit)
        if entry is None or not entry.is_symlink():
            return None
        try:
            target = os.path.basename(os.readlink(entry.path))
        except OSError:
            return None
        # A link to the template is how an instance is given a file; a link to the same name is a linked unit.
        return target if target not in {unit, template_of(unit)} and is_service_name(target) else None

    def drop_ins(self, unit: str) -> list[str]:
        """The paths of the unit's drop-ins in the order in which they apply."""
        return self._drop_ins(drop_in_folders(unit))

    def own_section(self, unit: str) -> list[Entry] | None:
        """The assignments by which the unit opts in; None if it has no such section.

        Neither its template's file counts, from which the caller inherits, nor drop-ins for many units at
        once, such as those of service.d: to opt in is a unit's own decision.
        """
        entry = self._entry(unit)
        paths = ([entry.path] if entry else []) + self._drop_ins([f"{unit}.d"])
        having = [path for path in paths if _OWN_HEADER in self._read(path)]
        found = [entry for path in having for entry in parse(self._read(path), path)]
        ours = [entry for entry in found if entry[0] == OWN_SECTION]
        return [entry for entry in ours if entry[1]] if ours else None

    def is_ordered_before(self, unit: str, other: str) -> bool:
        """Whether the unit starts before `other`, or so early in boot that it must not wait for it.

        An order that the unit files state in both directions is a cycle, and systemd resolves it by not
        starting one of the units; which one, is chance.
        """
        return self._is_early(unit) or not self._after(other).isdisjoint({unit, *self._reach(unit, "Before")})

    def _after(self, unit: str) -> set[str]:
        """The unit itself, and all that it starts after."""
        if unit not in self._predecessors:
            self._predecessors[unit] = {unit, *self._reach(unit, "After")}
        return self._predecessors[unit]

    def _is_early(self, unit: str) -> bool:
        values = self._orders(unit, "DefaultDependencies")
        return bool(values) and values[-1].lower() in {"no", "n", "false", "f", "off", "0"}

    def _reach(self, unit: str, key: str) -> set[str]:
        """The units that follow from one by Before= or After=, directly and through others."""
        reached: set[str] = set()
        waiting = [unit]
        while waiting and len(reached) < MOST_STEPS:
            for value in self._orders(waiting.pop(), key):
                new = set(value.split()) - reached
                reached |= new
                waiting += new
        return reached

    def _orders(self, unit: str, key: str) -> list[str]:
        """The values that the unit gives to a key of its [Unit] section."""
        needle = key.encode()
        return [
            value
            for path in self._paths(unit)
            if needle in self._read(path)  # parsing all of 200 units takes too long for a generator
            for section, found, value, *_ in parse(self._read(path), path)
            if section == "Unit" and found == key
        ]

    def _paths(self, unit: str) -> list[str]:
        """The unit's file and drop-ins, in the order in which they apply."""
        if unit not in self._paths_of:
            fragment = self.fragment(unit)
            self._paths_of[unit] = ([fragment] if fragment else []) + self.drop_ins(unit)
        return self._paths_of[unit]

    def _drop_ins(self, folder_names: list[str]) -> list[str]:
        found: dict[str, str] = {}
        for folder_name in folder_names:
            if folder_name in self._drop_in_folders:
                for folder in self._folders:
                    if folder_name in folder:
                        for name, entry in _scan(folder[folder_name].path).items():
                            if name.endswith(".conf"):
                                found.setdefault(name, entry.path)
        return [found[name] for name in sorted(found)]

    def _entry(self, name: str) -> os.DirEntry[str] | None:
        return next((folder[name] for folder in self._folders if name in folder), None)

    def _read(self, path: str) -> bytes:
        if path not in self._contents:
            self._contents[path] = read_regular(path, LARGEST) or b""
        return self._contents[path]


def parse(content: bytes, path: str) -> Iterator[Entry]:
    """The assignments of a unit file; a section's header is one with an empty key.

    What systemd would complain about is passed over [systemd man/systemd.syntax.xml].
    """
    section = ""
    pending, begin = "", 0
    for number, raw in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        line = raw.strip()
        if line.startswith(("#", ";")):
            # A comment between continued lines belongs to neither.
            continue
        if not pending:
            begin = number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        line = (pending + line).strip()
        pending = ""
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            yield section, "", "", path, begin
        elif section:
            key, equals, value = line.partition("=")
            if equals and key.strip():
                yield section, key.strip(), value.strip(), path, begin


def _scan(folder: str) -> dict[str, os.DirEntry[str]]:
    """What is in a folder, hidden files left out; empty if there is no such folder."""
    found: dict[str, os.DirEntry[str]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(found) >= MOST_FILES:
                    break
                if not entry.name.startswith("."):
                    found[entry.name] = entry
    except OSError:
        pass
    return found


def drop_in_folders(unit: str) -> list[str]:
    """The names of folders that hold the unit's drop-ins, the most specific first [systemd.unit(5)]."""
    names = [unit]
    if is_instance(unit):
        names.append(template_of(unit) or unit)
    stem = unit.removesuffix(".service").partition("@")[0]
    while (dash := stem.rstrip("-").rfind("-")) >= 0:
        stem = stem[: dash + 1]
        names.append(f"{stem}.service")
        stem = stem[:-1]
    return [f"{name}.d" for name in [*names, "service"]]
