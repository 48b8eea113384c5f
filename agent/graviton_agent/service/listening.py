"""Which files the daemon listens to, and on whose behalf."""

from collections.abc import Callable, Mapping
from functools import partial

from graviton_agent.configuration.sources import DROP_INS, SUFFIX
from graviton_agent.installed import CONFIGURATION_BASES, FOLDER, STATE
from graviton_agent.profiles import fleet_folders, reverts, store
from graviton_agent.service.upkeep import Overview
from graviton_agent.service.ways import Step, way_to_file, way_to_folder

EVERYBODY = "all units"
"""Listens to the configuration, to the profiles and to what is reverted, on which all may depend. No unit's
name."""


def ways(overview: Overview | None, root: str = "") -> Mapping[str, Callable[[], list[Step]]]:
    """What finds out what to watch, by who listens: a unit, or `EVERYBODY`. A unit's files may hang.

    THP's mode is not among it: sysfs announces no changes. The check at each start of a unit sees it.
    """
    configuration = [f"{root}{base}/{FOLDER}" for base in CONFIGURATION_BASES]
    folders = {path: SUFFIX for folder in configuration for path in (folder, f"{folder}/{DROP_INS}")}
    folders[f"{root}{STATE}/{store.FOLDER}"] = store.SUFFIX
    folders[f"{root}{STATE}/{reverts.FOLDER}"] = reverts.SUFFIX
    folders |= {f"{root}{folder}": store.SUFFIX for folder in fleet_folders.FOLDERS}
    found: dict[str, Callable[[], list[Step]]] = {EVERYBODY: partial(_ways_to_folders, folders)}
    for name, view in overview.units.items() if overview else ():
        found[name] = partial(_ways_to_files, [root + path for path in sorted(view.files)])
    return found


def _ways_to_folders(folders: Mapping[str, str]) -> list[Step]:
    return [step for path, ending in folders.items() for step in way_to_folder(path, ending)]


def _ways_to_files(paths: list[str]) -> list[Step]:
    return [step for path in paths for step in way_to_file(path)]
