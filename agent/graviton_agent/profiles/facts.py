"""Sees the facts that results depend on: at a calibration, and ever after without starting anything.

Fifty units take a few hundredths of a second: host facts are read once, and of a torch whose files are those
of its profile nothing but stat(2) is asked.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from graviton_agent.calibration.environment import MANAGER_PREFIXES, steers
from graviton_agent.configuration.compiled import ManagedUnit
from graviton_agent.host.cpulist import format_cpu_list
from graviton_agent.profiles.fingerprint import LONGEST_FACT, Fingerprint
from graviton_agent.profiles.subject import Subject
from graviton_agent.regular_file import read_regular
from graviton_agent.root import Root
from graviton_agent.settings import catalogue
from graviton_agent.torch_build import TorchBuild
from graviton_agent.units.guards import guards, is_unread
from graviton_agent.units.held import UnitEnvironment
from graviton_agent.units.identity import ABSENT, HOST_FACTS, PROCESS_FACTS, Observer, observe, torch_facts
from graviton_agent.units.unit import Unit
from graviton_agent.workload import Workload

LARGEST_RECORD = 4 * 1024 * 1024
"""Bytes of the list of files that a torch was installed with; that of torch 2.13 has 1.4 million."""
LARGEST_VERSION = 64 * 1024
MOST_LIBRARIES = 2000
"""Entries of torch's folder of libraries that are looked at; it may be the unit's user's."""

SEARCH = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "CONDA_PREFIX")
"""Variables that may lead an interpreter to another torch, or torch to another library."""

_VERSION = re.compile(rb"(?m)^__version__\s*=\s*['\"]([A-Za-z0-9._+-]{1,64})['\"]")
_LIBRARY = re.compile(rb"(?m)^torch(?:\.libs|/lib)/[^\n]*$")


@dataclass(frozen=True)
class HostFacts:
    """What is the same for all units of a host."""

    facts: Mapping[str, str]
    """`boot`, `cpu`, `instance` and `thp`, as the check sees them."""
    kernel: str


@dataclass(frozen=True)
class Present:
    """A unit as it is now."""

    subject: Subject
    fingerprint: Fingerprint
    made_for: Mapping[str, str]
    """What the head of an environment file must say: what the check compares just before a start."""
    is_unread: bool = False
    """Whether the unit's files have changed since systemd read them, so that it may become another."""


def observe_host(root: Root) -> HostFacts:
    """The facts of the host, which stay the same while it is up, apart from `thp`."""
    kernel = root.read_line("proc/sys/kernel/osrelease") or "unknown"
    return HostFacts(observe(HOST_FACTS, Observer(_prefix(root))), kernel)


def observe_calibrated(
    subject: Subject, host: HostFacts, torch: TorchBuild, inside: Mapping[str, str], root: Root
) -> Present:
    """The facts at a calibration.

    Args:
        subject: the unit.
        host: the facts of this host.
        torch: what the probe in the unit's cage saw.
        inside: `cpus`, `quota` and `memory`, seen from inside the cage.
        root: of this machine.
    """
    location = subject.on_host(torch.location)
    blas = " ".join(filter(None, (torch.blas_name, torch.blas_version)))
    acl = f"ACL {torch.acl_version or 'of unknown version'}" if torch.acl else None
    onednn = f"oneDNN {torch.onednn}" if torch.onednn else None
    seen = {**_identify(location, root), "libraries": ", ".join(filter(None, (onednn, acl, blas)))}
    return _present(subject, host, location, seen, inside, root=root)


def observe_present(subject: Subject, host: HostFacts, known: Fingerprint, root: Root) -> Present:
    """The facts now, of a unit that has a profile.

    What only the unit's processes could see is taken from them where they run, and from the profile where
    they don't: the files that set its limits are compared when it starts. Of a process's CPUs the
    profile's word is always taken, for libraries move threads about; limits that were set on the unit are
    compared by themselves.

    Args:
        subject: the unit.
        host: the facts of this host.
        known: the fingerprint of its profile.
        root: of this machine.
    """
    location = known.local.get("location", "")
    names = torch_facts(location)
    files = observe(names, Observer(_prefix(root)))
    kept = ("torch", "build", "libraries")
    if files == {name: known.local.get(name) for name in names}:
        seen = {name: known.shared[name] for name in kept if name in known.shared}
    else:
        seen = _identify(location, root)
    inside = {name: text for name in PROCESS_FACTS if (text := {**known.local, **known.shared}.get(name))}
    if subject.unit.is_active and subject.unit.main_pid:
        observer = Observer(_prefix(root), subject.unit.main_pid)
        inside |= observe(("quota", "memory"), observer)
    return _present(subject, host, location, seen, inside, root=root)


def observe_foreseen(
    subject: Subject,
    host: HostFacts,
    location: str,
    inside: Mapping[str, str],
    *,
    known: Mapping[str, str],
    root: Root,
) -> Present:
    """The facts now, of a unit for which nothing was calibrated on this host.

    Args:
        subject: the unit.
        host: the facts of this host.
        location: the folder of its torch.
        inside: `cpus`, `quota` and `memory`, as they were foreseen.
        known: the shared facts of a profile; of what torch is built on only the same build can tell.
        root: of this machine.
    """
    seen = _identify(location, root)
    if seen.get("build") == known["build"] and "libraries" in known:
        seen["libraries"] = known["libraries"]
    return _present(subject, host, location, seen, inside, root=root)


def _present(
    subject: Subject,
    host: HostFacts,
    location: str,
    torch: Mapping[str, str],
    inside: Mapping[str, str],
    *,
    root: Root,
) -> Present:
    managed, observer = subject.managed, Observer(_prefix(root))
    files = observe(torch_facts(location), observer)
    shared = {
        **{name: text for name, text in host.facts.items() if name != "boot"},
        "kernel": host.kernel,
        "cpu count": str(int(inside["cpus"], 16).bit_count()),
        "quota": inside["quota"],
        "memory": inside["memory"],
        **torch,
        "workload": describe_workload(managed.workload),
        "settings": " ".join(allowed_settings(managed)) or "none",
        "threads": "free" if managed.threads is None else str(managed.threads),
        "bounds": describe_bounds(managed),
        "catalogue": str(catalogue.VERSION),
        "held": describe_held(subject.environment),
    }
    local = {
        "python": " ".join((subject.interpreter.path, *subject.interpreter.options)),
        "search": describe_search(subject.environment),
        "limits": describe_limits(subject.unit),
        "cpus": inside["cpus"],
        "location": location,
        **files,
    }
    made_for = {
        **host.facts,
        **files,
        **observe(guards(subject.unit, subject.on_host(subject.interpreter.path)), observer),
    }
    fingerprint = Fingerprint(_bounded(shared), _bounded(local))
    return Present(subject, fingerprint, made_for, is_unread(subject.unit, _prefix(root)))


def _identify(location: str, root: Root) -> dict[str, str]:
    """Which torch is installed there, from its files alone; empty if none is."""
    text = read_regular(f"{_prefix(root)}{location}/version.py", LARGEST_VERSION)
    version = _VERSION.search(text or b"")
    if text is None or version is None:
        return {"torch": ABSENT}
    number = version[1].decode()
    packages = location.rpartition("/")[0]
    record = read_regular(f"{_prefix(root)}{packages}/torch-{number}.dist-info/RECORD", LARGEST_RECORD)
    # pip adds lines of its own to the list, and those of scripts differ: the libraries' are the wheel's.
    parts = [text, *sorted(_LIBRARY.findall(record or b"")), *_sizes(f"{_prefix(root)}{location}/lib")]
    return {"torch": number, "build": hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]}


def _sizes(folder: str) -> list[bytes]:
    """The libraries in a folder with their sizes: those of a distribution's torch come with no list."""
    try:
        with os.scandir(folder) as entries:
            some = [entry for entry, _ in zip(entries, range(MOST_LIBRARIES), strict=False)]
            found = sorted((entry.name, entry.stat().st_size) for entry in some if ".so" in entry.name)
    except OSError:
        return []
    return [f"{name} {size}".encode("utf-8", "surrogateescape") for name, size in found]


def describe_workload(workload: Workload) -> str:
    """The workload in a line; two of the same line are the same."""
    layers = ",".join(f"{layer.inputs}x{layer.outputs}" for layer in workload.layers)
    cases = ",".join(f"{case.batch}:{case.weight:.4g}" for case in workload.cases)
    kind = f"{workload.factory} {workload.dtype} {workload.mode}"
    return f"{kind} of {layers} at {cases} in {workload.processes} processes"


def allowed_settings(managed: ManagedUnit) -> tuple[str, ...]:
    """The names of the settings that a calibration of the unit may try, in alphabetical order."""
    names = {setting.name for setting in catalogue.CATALOGUE}
    return tuple(sorted((names if managed.settings is None else set(managed.settings)) - managed.forbidden))


def describe_bounds(managed: ManagedUnit) -> str:
    """The guards in a line."""
    margin = f"{managed.memory_margin_bytes} bytes or {managed.memory_margin_share:g}"
    return f"cosine {managed.min_cosine:g}, memory {margin}"


def describe_held(environment: UnitEnvironment) -> str:
    """What others set of the variables that torch and its libraries read."""
    words = []
    for name, held in sorted(environment.variables.items()):
        if steers(name) and not name.startswith(MANAGER_PREFIXES) and name not in SEARCH:
            value = "?" if not held.is_known else held.value
            words.append(f"UnsetEnvironment={name}" if value is None else f"{name}={value}")
    return ", ".join(words)


def describe_search(environment: UnitEnvironment) -> str:
    """What others set of the variables that lead to torch."""
    values = environment.values
    return ", ".join(f"{name}={values[name]}" for name in SEARCH if values.get(name))


def describe_limits(unit: Unit) -> str:
    """The limits that stand in the unit's own configuration, whether it runs or not."""
    words = [f"in {unit.slice}"]
    if unit.cpu_quota is not None:
        words.append(f"{unit.cpu_quota:g} CPUs of time")
    for key, numbers in (
        ("AllowedCPUs", unit.allowed_cpus),
        ("CPUAffinity", unit.cpu_affinity),
        ("AllowedMemoryNodes", unit.memory_nodes),
        ("NUMAMask", unit.numa_nodes),
    ):
        if numbers is not None:
            words.append(f"{key}={format_cpu_list(numbers)}")
    if unit.numa_policy is not None:
        words.append(f"NUMA policy {unit.numa_policy}")
    for key, limit in (("MemoryMax", unit.memory_max), ("MemoryHigh", unit.memory_high)):
        if limit is not None:
            words.append(f"{key}={limit}")
    return ", ".join(words)


def _bounded(facts: Mapping[str, str]) -> dict[str, str]:
    """Facts fit to be kept: one line each, and a digest in place of what is too long."""
    lines = {
        name: text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
        for name, text in facts.items()
    }
    return {
        name: text if len(text) <= LONGEST_FACT else hashlib.sha256(text.encode()).hexdigest()
        for name, text in lines.items()
    }


def _prefix(root: Root) -> str:
    return "" if root.is_this_machine else str(root.path)
