"""Brings fleet profiles out of a host and into another, and lets go of what can't hold any more.

None of this needs a running systemd, so that images can be made; `Scene` then puts in place what follows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from graviton_agent.errors import StateError, UsageError
from graviton_agent.profiles.adoption import is_withdrawn
from graviton_agent.profiles.fleet_folders import IMPORTED, FleetFolders, Found
from graviton_agent.profiles.fleet_profile import (
    SUFFIX,
    FleetProfile,
    key_in,
    leave_host,
    parse_fleet_profile,
)
from graviton_agent.profiles.profile import LARGEST, Profile
from graviton_agent.profiles.store import ProfileStore
from graviton_agent.regular_file import read_regular
from graviton_agent.root import Root
from graviton_agent.settings import catalogue
from graviton_agent.state import remove_file, write_private
from graviton_agent.units.identity import ABSENT, HOST_FACTS, Observer, observe, torch_facts
from graviton_agent.units.names import is_service_name
from graviton_agent.units.unit_files import UnitFiles


def export(store: ProfileStore, units: Sequence[str]) -> tuple[FleetProfile, ...]:
    """The profiles of units, or of all that have found something, fit to travel.

    Raises AgentError for a named unit without one.
    """
    if not units:
        profiles, _ = store.read_all()
        found = tuple(filter(None, map(_exportable, profiles.values())))
        if not found:
            raise StateError(
                "no unit has a result that could travel", hint="graviton-agent calibrate UNIT measures one"
            )
        return found
    return tuple(map(leave_host, (require_profile(store, unit) for unit in units)))


def _exportable(profile: Profile) -> FleetProfile | None:
    """None for a result that says nothing, and for one that came from elsewhere itself."""
    try:
        return leave_host(profile) if profile.origin is None else None
    except StateError:
        return None


def require_profile(store: ProfileStore, unit: str) -> Profile:
    """The profile that a unit has on this host. Raises AgentError."""
    if not is_service_name(unit):
        raise UsageError(f"{unit!r} is no name of a service")
    profile = store.read(unit)
    if profile is None:
        raise StateError(f"{unit} has no profile on this host", hint=f"graviton-agent calibrate {unit}")
    return profile


def read_file(path: Path) -> FleetProfile:
    """A fleet profile that somebody names: it is checked, and whose it is is that one's business.

    Raises StateError.
    """
    content = read_regular(str(path), LARGEST)
    if content is None:
        raise StateError(f"{path} can't be read: it is no file of at most {LARGEST // 1024} KiB")
    try:
        return parse_fleet_profile(content)
    except StateError as error:
        raise StateError(f"{path}: {error.message}", hint="graviton-agent profile export makes one") from None


def keep_imported(root: Root, profiles: Iterable[FleetProfile]) -> tuple[Path, ...]:
    """Keeps fleet profiles in the state directory, where they are found from now on. Raises AgentError."""
    store = ProfileStore.below(root)
    with store.locked():
        return tuple(
            write_private(store.state, f"{IMPORTED.rpartition('/')[2]}/{one.name}", one.to_json().encode())
            for one in profiles
        )


def find_profile(root: Root, name: str) -> Profile | FleetProfile:
    """What a name on the command line stands for: a unit of this host, or a fleet profile's file.

    Raises AgentError.
    """
    if is_service_name(name):
        return require_profile(ProfileStore.below(root), name)
    if "/" not in name and key_in(name) and not Path(name).exists():
        found = next((one for one in FleetFolders(root).all() if one.path.endswith(f"/{name}")), None)
        if found is not None:
            return found.fleet
    if not Path(name).exists():
        raise UsageError(
            f"{name} is neither a unit nor a file", hint="graviton-agent profile list shows what there is"
        )
    return read_file(Path(name))


@dataclass(frozen=True)
class Prunable:
    """Something that can't hold on this host any more."""

    path: Path
    reason: str
    """A clause."""


def prunable(root: Root) -> tuple[Prunable, ...]:
    """What `prune` would remove: the profiles and imported files for which there is nothing left here.

    A profile that is merely stale stays, for what it depends on may come back.
    """
    store = ProfileStore.below(root)
    prefix = "" if root.is_this_machine else str(root.path)
    files, observer = UnitFiles(prefix), Observer(prefix)
    profiles, _ = store.read_all()
    found = [
        Prunable(store.path(unit), reason)
        for unit, profile in profiles.items()
        if (reason := _why_gone(profile, files, observer, root)) is not None
    ]
    host = observe(HOST_FACTS, observer)
    imported = [
        Prunable(root.path / one.path.lstrip("/"), reason)
        for one in FleetFolders(root).all()
        if one.path.startswith(f"{IMPORTED}/") and (reason := _why_elsewhere(one, host)) is not None
    ]
    return (*found, *imported)


def prune(root: Root) -> tuple[Prunable, ...]:
    """Removes it, and returns what was removed. Raises AgentError."""
    with ProfileStore.below(root).locked():
        gone = prunable(root)
        for one in gone:
            remove_file(one.path)
    return gone


def _why_gone(profile: Profile, files: UnitFiles, observer: Observer, root: Root) -> str | None:
    if files.fragment(profile.unit) is None:
        return f"there is no unit {profile.unit}"
    if is_withdrawn(profile, root):
        return f"{profile.origin} is gone, or another one"
    location = profile.fingerprint.local["location"]
    if all(observer.see(name) == ABSENT for name in torch_facts(location)):
        return f"there is no torch in {location}"
    return _why_unknown(profile.fingerprint.shared["catalogue"])


def _why_elsewhere(found: Found, host: dict[str, str]) -> str | None:
    for name, words in (("instance", "the instance type"), ("cpu", "the CPU")):
        if found.fleet.shared[name] != host[name]:
            return f"{words} is {host[name]} here, and it is for {found.fleet.shared[name]}"
    return _why_unknown(found.fleet.shared["catalogue"])


def _why_unknown(version: str) -> str | None:
    if version == str(catalogue.VERSION):
        return None
    return f"it was made with another knowledge of the settings ({version}, now {catalogue.VERSION})"


def read_folder(folder: Path) -> tuple[FleetProfile, ...]:
    """All fleet profiles in a folder, for a package: each must be in order. Raises StateError."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX))
    except OSError as error:
        raise StateError(f"{folder}: {error.strerror}") from None
    if not paths:
        raise StateError(
            f"there is no profile in {folder}", hint=f"graviton-agent profile export --output {folder}"
        )
    profiles = tuple(map(read_file, paths))
    if len({one.name for one in profiles}) != len(profiles):
        raise StateError(f"{folder} has two profiles for the same", hint="keep the newer one of each")
    return profiles
