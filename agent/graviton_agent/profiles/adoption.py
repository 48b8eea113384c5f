"""Takes a fleet profile up for a unit of this host, or says why it doesn't hold here.

All shared facts must be the same here. What is only this host's is stamped anew, from what is seen here, so
that from then on the profile is like one that was calibrated here: at the next look nothing but stat(2) is
asked. It ends with the file that it came from: what a package withdraws is withdrawn everywhere.

Nothing of the unit is started for this, so which torch its interpreter loads is concluded: it must be called
by the same path and options, or be another venv of the same inner order; the variables that lead it to
modules must be the same; and torch must lie below the interpreter's prefix or in a folder of PYTHONPATH. The
build there is then compared by its files. `profile check` asks the interpreter itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from graviton_agent.profiles.facts import HostFacts, describe_search, describe_workload, observe_foreseen
from graviton_agent.profiles.fingerprint import LOCAL, Fingerprint
from graviton_agent.profiles.fleet_folders import FleetFolders, Found
from graviton_agent.profiles.fleet_profile import key_of
from graviton_agent.profiles.foresight import foresee
from graviton_agent.profiles.profile import Profile
from graviton_agent.profiles.subject import Subject
from graviton_agent.root import Root
from graviton_agent.units.identity import FILE_FACT, Observer

UNFORESEEN = "its limits can't be told before it runs"


@dataclass(frozen=True)
class Adoption:
    """What came of one fleet profile for one unit."""

    path: str
    profile: Profile | None
    """As it is to be kept on this host; None if it doesn't hold."""
    differences: tuple[str, ...] = ()
    """Why it doesn't hold, a clause each."""


def adopt(subject: Subject, host: HostFacts, folders: FleetFolders, root: Root) -> tuple[Adoption, ...]:
    """What every fleet profile that is meant for such a unit comes to, the first that counts first."""
    key = key_of({**host.facts, "workload": describe_workload(subject.managed.workload)})
    return tuple(adopt_one(subject, host, found, root) for found in folders.fitting(key))


def adopt_one(subject: Subject, host: HostFacts, found: Found, root: Root) -> Adoption:
    """What one fleet profile comes to for a unit."""
    fleet, path = found.fleet, found.path
    location, differences = locate(fleet.layout, subject)
    if location is None:
        return Adoption(path, None, differences)
    inside = foresee(subject.unit, root)
    if inside is None:
        return Adoption(path, None, (UNFORESEEN,))
    present = observe_foreseen(subject, host, location, inside, known=fleet.shared, root=root)
    # A fact that can't be seen here counts as another one: nobody has compared it yet.
    now = {**dict.fromkeys(fleet.shared, "unseen"), **present.fingerprint.shared}
    differences = Fingerprint(fleet.shared, {}).differences(Fingerprint(now, {}))
    if differences:
        return Adoption(path, None, differences)
    local = {**present.fingerprint.local, FILE_FACT + path: origin_seen(path, root)}
    fingerprint = Fingerprint(dict(fleet.shared), local)
    return Adoption(path, replace(fleet.profile, unit=subject.name, fingerprint=fingerprint, origin=path))


def is_withdrawn(profile: Profile, root: Root) -> bool:
    """Whether it came from a file that is gone by now, or another one."""
    if profile.origin is None:
        return False
    return profile.fingerprint.local.get(FILE_FACT + profile.origin) != origin_seen(profile.origin, root)


def origin_seen(path: str, root: Root) -> str:
    """Which file is there now."""
    return Observer("" if root.is_this_machine else str(root.path)).see(FILE_FACT + path) or ""


def locate(layout: Mapping[str, str], subject: Subject) -> tuple[str | None, tuple[str, ...]]:
    """Where the unit's interpreter has its torch, if it is arranged as where the profile was made.

    Returns the folder of the package on this host, or None and why.
    """
    python, *options = layout["python"].split(" ")
    there, here = prefix_of(python), prefix_of(subject.interpreter.path)
    moved = subject.interpreter.path.removeprefix(here) != python.removeprefix(there)
    if moved or options != list(subject.interpreter.options):
        mine = " ".join((subject.interpreter.path, *subject.interpreter.options))
        return None, (f"{LOCAL['python']} was {layout['python']}, is {mine}",)
    search = describe_search(subject.environment)
    if _moved(layout["search"], there, here) != search:
        return None, (f"{LOCAL['search']} was {layout['search'] or 'nothing'}, is {search or 'nothing'}",)
    location = _moved(layout["location"], there, here)
    folders = [here, *subject.environment.values.get("PYTHONPATH", "").split(":")]
    if not any(folder and location.startswith(f"{folder.rstrip('/')}/") for folder in folders):
        return None, (f"torch was in {layout['location']}, which says nothing of {subject.interpreter.path}",)
    return subject.on_host(location), ()


def prefix_of(python: str) -> str:
    """The folder that an interpreter's own bin/ is in."""
    return python.rpartition("/")[0].rpartition("/")[0]


def _moved(text: str, there: str, here: str) -> str:
    """The text with paths below one prefix led to the other."""
    if there == here or not there:
        return text
    return f"{here}/".join(f"{text}/".split(f"{there}/")).removesuffix("/")
