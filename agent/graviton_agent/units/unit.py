"""What systemd knows of a service, in our words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from graviton_agent.errors import AgentError
from graviton_agent.units.bus import Bus, BusError
from graviton_agent.units.command_line import CommandLine
from graviton_agent.units.manager import Properties, read_properties
from graviton_agent.units.names import is_template, require_service_name

INFINITY = (1 << 64) - 1
"""What systemd says where nothing is limited or set."""
MICROSECONDS = 1_000_000
NO_POLICY = -1
"""Of NUMAPolicy=: none is set [systemd src/core/dbus-execute.c, property_get_numa_policy]."""


class UnitError(AgentError):
    """The unit can't be managed as it is."""


@dataclass(frozen=True)
class EnvironmentSource:
    """One EnvironmentFile= of a unit."""

    pattern: str
    """An absolute path, in which *, ? and [] stand for others, as in a shell."""
    optional: bool
    """Whether the unit starts without it (a leading "-")."""


@dataclass(frozen=True)
class Unit:
    """A service as PID 1 has loaded it. Lists are in systemd's order; what isn't set is None or empty."""

    name: str
    """Its Id: for an alias the name that it stands for."""
    load_state: str
    """"loaded", "not-found", "masked", "bad-setting", "error", ..."""
    active_state: str
    """"active", "inactive", "failed", "activating", "deactivating", "reloading"."""
    fragment_path: str | None
    drop_in_paths: tuple[str, ...]
    needs_daemon_reload: bool
    """Whether its files have changed since they were read; not to be trusted for a new .d folder."""
    user: str | None
    """None is root, unless `dynamic_user`."""
    group: str | None
    dynamic_user: bool
    working_directory: str | None
    """Absolute, or "~" for the user's home."""
    root_directory: str | None
    root_image: str | None
    slice: str
    control_group: str | None
    """Such as "/system.slice/llm.service"; None while nothing runs."""
    cpu_quota: float | None
    """CPUs: CPU time that the unit may use, per time."""
    allowed_cpus: tuple[int, ...] | None
    cpu_affinity: tuple[int, ...] | None
    memory_nodes: tuple[int, ...] | None
    """AllowedMemoryNodes=: NUMA nodes."""
    numa_policy: int | None
    """As set_mempolicy(2) numbers them; None if none is set."""
    numa_nodes: tuple[int, ...] | None
    """NUMAMask=, which that is about."""
    memory_max: int | None
    """Bytes."""
    memory_high: int | None
    """Bytes."""
    environment: tuple[tuple[str, str], ...]
    """Environment=, later assignments over earlier ones."""
    environment_files: tuple[EnvironmentSource, ...]
    pass_environment: tuple[str, ...]
    unset_environment: tuple[str, ...]
    """Names, or whole assignments, which are then removed only if they have that value."""
    pam_name: str | None
    search_path: tuple[str, ...]
    """ExecSearchPath=: where programs without a path are looked for."""
    commands: tuple[CommandLine, ...]
    """ExecStart=."""
    main_pid: int | None
    invocation: str | None
    """InvocationID as hexadecimal digits: every start has another."""
    started: datetime | None
    """When the main process was started last."""

    @property
    def is_active(self) -> bool:
        """Whether its main process is up."""
        return self.active_state in {"active", "reloading"} and self.main_pid is not None


PROPERTIES = frozenset({
    "Id", "LoadState", "ActiveState", "FragmentPath", "DropInPaths", "NeedDaemonReload", "User", "Group",
    "DynamicUser", "WorkingDirectory", "RootDirectory", "RootImage", "Slice", "ControlGroup",
    "CPUQuotaPerSecUSec", "AllowedCPUs", "CPUAffinity", "AllowedMemoryNodes", "NUMAPolicy", "NUMAMask",
    "MemoryMax", "MemoryHigh", "Environment",
    "EnvironmentFiles", "PassEnvironment", "UnsetEnvironment", "PAMName", "ExecSearchPath", "ExecStartEx",
    "MainPID", "InvocationID", "ExecMainStartTimestamp",
})  # fmt: skip
"""All that `unit_of` makes sense of."""


def read_unit(bus: Bus, name: str) -> Unit:
    """Asks PID 1 for a service. Raises UsageError for a name that none can have, UnitError, BusError."""
    require_service_name(name)
    if is_template(name):
        instance = name.replace("@.service", "@1.service")
        raise UnitError(f"{name} is a template", hint=f"name one of its instances, such as {instance}")
    try:
        properties = read_properties(bus, name)
    except BusError as error:
        if error.name is None:
            raise
        raise UnitError(f"systemd can't load {name}: {error.message}") from None
    return unit_of(properties)


def require_loaded(unit: Unit) -> Unit:
    """The unit itself. Raises UnitError if systemd could not start it."""
    reasons = {
        "not-found": "there is no such unit",
        "masked": "it is masked",
        "bad-setting": "its file has a setting that systemd refuses",
        "error": "systemd could not read its file",
        "merged": "it was merged into another unit",
    }
    if unit.load_state != "loaded":
        reason = reasons.get(unit.load_state, f"its state is {unit.load_state}")
        raise UnitError(f"{unit.name} can't be started: {reason}", hint=f"see: systemctl status {unit.name}")
    return unit


def unit_of(properties: Properties) -> Unit:
    """Makes sense of what PID 1 said."""

    def value(name: str, default: Any = None) -> Any:
        # Older versions of systemd lack the newer properties.
        return properties[name][1] if name in properties else default

    return Unit(
        name=value("Id"),
        load_state=value("LoadState"),
        active_state=value("ActiveState"),
        fragment_path=value("FragmentPath") or None,
        drop_in_paths=tuple(value("DropInPaths", ())),
        needs_daemon_reload=value("NeedDaemonReload", False),
        user=value("User") or None,
        group=value("Group") or None,
        dynamic_user=value("DynamicUser", False),
        # "!" stands for a folder that may be missing.
        working_directory=value("WorkingDirectory", "").removeprefix("!") or None,
        root_directory=value("RootDirectory") or None,
        root_image=value("RootImage") or None,
        slice=value("Slice") or "system.slice",
        control_group=value("ControlGroup") or None,
        cpu_quota=_cpus_per_second(value("CPUQuotaPerSecUSec", INFINITY)),
        allowed_cpus=cpus_of(value("AllowedCPUs", b"")),
        cpu_affinity=cpus_of(value("CPUAffinity", b"")),
        memory_nodes=cpus_of(value("AllowedMemoryNodes", b"")),
        numa_policy=policy if (policy := value("NUMAPolicy", NO_POLICY)) != NO_POLICY else None,
        numa_nodes=cpus_of(value("NUMAMask", b"")),
        memory_max=_limit(value("MemoryMax", INFINITY)),
        memory_high=_limit(value("MemoryHigh", INFINITY)),
        environment=tuple(
            (name, text) for name, _, text in (line.partition("=") for line in value("Environment", ()))
        ),
        environment_files=tuple(EnvironmentSource(*file) for file in value("EnvironmentFiles", ())),
        pass_environment=tuple(value("PassEnvironment", ())),
        unset_environment=tuple(value("UnsetEnvironment", ())),
        pam_name=value("PAMName") or None,
        search_path=tuple(value("ExecSearchPath", ())),
        commands=tuple(_commands(value("ExecStartEx", ()))),
        main_pid=value("MainPID") or None,
        invocation=bytes(value("InvocationID", b"")).hex() or None,
        started=_time(value("ExecMainStartTimestamp", 0)),
    )


def cpus_of(mask: bytes) -> tuple[int, ...] | None:
    """The numbers in a set of CPUs or NUMA nodes: the lowest bit of the first byte is 0. None if empty."""
    return tuple(8 * at + bit for at, byte in enumerate(mask) for bit in range(8) if byte >> bit & 1) or None


def _commands(lines: Iterable[tuple[Any, ...]]) -> Iterable[CommandLine]:
    for program, arguments, flags, *_ in lines:
        yield CommandLine(program, tuple(arguments), frozenset(flags))


def _limit(value: int) -> int | None:
    return None if value == INFINITY else value


def _cpus_per_second(microseconds: int) -> float | None:
    return None if microseconds == INFINITY else microseconds / MICROSECONDS


def _time(microseconds: int) -> datetime | None:
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC) if microseconds else None
