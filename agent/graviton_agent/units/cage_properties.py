"""What a trial's transient unit is made of: the limits of the unit that it stands for, and a tight cage."""

from typing import Any

from graviton_agent.units.confinement import Setting, files, labels, sealed
from graviton_agent.units.held import is_ours
from graviton_agent.units.manager import Properties
from graviton_agent.units.unit import INFINITY, MICROSECONDS, Unit

# What decides how fast the unit computes, and what it may use. CPU time is shared by all processes of a
# trial, as it is by those of the unit, so these stand on the slice that holds them.
SHARED_LIMITS = ("CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "AllowedCPUs", "AllowedMemoryNodes")
# These hold for each process alone: two arms of a pair are resident side by side.
OWN_LIMITS = (
    "CPUAffinity", "CPUAffinityFromNUMA", "NUMAPolicy", "NUMAMask", "CPUSchedulingPolicy", "Nice",
    "MemoryMax", "MemoryHigh", "MemoryTHP", "MemoryKSM",
    "LimitAS", "LimitASSoft", "LimitDATA", "LimitDATASoft", "LimitSTACK", "LimitSTACKSoft",
    "LimitMEMLOCK", "LimitMEMLOCKSoft", "LimitNOFILE", "LimitNOFILESoft", "TasksMax",
)  # fmt: skip
# What torch and its libraries see through /proc, /sys and devices, or are kept from by seccomp and W^X. With
# /sys unreadable torch falls back to its BLAS library for good [pytorch/pytorch#116666]; W^X breaks oneDNN's
# primitives [pytorch/pytorch#143651]. So the unit's own are kept, and none of these is added.
SEEN_BY_TORCH = (
    "ProtectProc", "ProcSubset", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs",
    "ProtectClock", "ProtectHostname", "PrivateDevices", "DevicePolicy", "DeviceAllow",
    "MemoryDenyWriteExecute", "SystemCallErrorNumber", "RestrictRealtime", "RestrictSUIDSGID",
    "LockPersonality", "Personality",
)  # fmt: skip
# Where the unit's files lie, for that is where its Python and its torch are.
ROOT = ("RootDirectory", "MountAPIVFS")
# What its environment is made of.
ENVIRONMENT = ("Environment", "PassEnvironment", "UnsetEnvironment", "PAMName", "ExecSearchPath")

SAFE_SCHEDULING_POLICIES = {0, 3, 5}
"""SCHED_OTHER, SCHED_BATCH and SCHED_IDLE: a real-time worker could stop everything else [sched(7)]."""
TASKS = 8192
"""Processes and threads of all workers together: a few per CPU of the largest instance, and far fewer than a
host can have."""
STOP_SECONDS = 5


def slice_settings(properties: Properties, own_unit: str | None) -> list[Setting]:
    """The slice that holds all workers of a calibration.

    Args:
        properties: of the unit that is calibrated.
        own_unit: the unit that this process belongs to; all ends when it does.
    """
    return [
        ("Description", ("s", f"Trials of graviton-agent for {properties['Id'][1]}")),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("TasksMax", ("t", TASKS)),
        *_copied(properties, SHARED_LIMITS),
        *_bound_to(own_unit),
    ]


def worker_settings(
    properties: Properties, unit: Unit, slice_name: str, seconds: float, *, user_namespaces: bool
) -> list[Setting]:
    """A worker's service, less its command, its environment and its pipes.

    Args:
        properties: of the unit that is calibrated.
        unit: the same in our words.
        slice_name: the slice of the calibration.
        seconds: how long the worker may live.
        user_namespaces: whether the host lets systemd make any.
    """
    is_dynamic = unit.dynamic_user or _is_root(unit)
    return [
        ("Description", ("s", f"Trial of graviton-agent for {unit.name}")),
        # A client's reference keeps the unit until its end has been read.
        ("AddRef", ("b", True)),
        ("CollectMode", ("s", "inactive-or-failed")),
        # Starting counts as done only when the interpreter runs, so that a failure before is told apart.
        ("Type", ("s", "exec")),
        ("Slice", ("s", slice_name)),
        ("LogLevelMax", ("i", 4)),
        *_user(properties, unit),
        *_working_directory(unit),
        *_copied(properties, OWN_LIMITS),
        *_swap(properties),
        *_copied(properties, SEEN_BY_TORCH),
        *_copied(properties, ROOT),
        *files(properties, dynamic_user=is_dynamic),
        *labels(properties),
        *sealed(properties, user_namespaces=user_namespaces),
        # Nothing outlives the worker.
        ("RuntimeMaxUSec", ("t", int(seconds * MICROSECONDS))),
        ("TimeoutStopUSec", ("t", STOP_SECONDS * MICROSECONDS)),
        ("KillSignal", ("i", 9)),
        # If memory runs out, it is the trial that goes, and no unit that serves.
        ("OOMScoreAdjust", ("i", 1000)),
        ("OOMPolicy", ("s", "kill")),
        # Being ended is how a worker ends: it is nothing that the journal should warn about.
        ("SuccessExitStatus", ("(aiai)", ([], [9]))),
    ]


def environment_settings(properties: Properties) -> list[Setting]:
    """The unit's own environment, without the agent's files."""
    files = [file for file in properties["EnvironmentFiles"][1] if not is_ours(file[0])]
    return [*_copied(properties, ENVIRONMENT), *([("EnvironmentFiles", ("a(sb)", files))] if files else [])]


def slice_name_below(parent: str, number: str) -> str:
    """The name of a slice within another: systemd reads the place in the tree from the dashes."""
    prefix = "" if parent == "-.slice" else parent.removesuffix(".slice") + "-"
    return f"{prefix}graviton_agent_{number}.slice"


def _user(properties: Properties, unit: Unit) -> list[Setting]:
    """Who the worker runs as: the unit's user, and in place of root somebody made up for it."""
    if _is_root(unit):
        return [("DynamicUser", ("b", True))]
    dynamic: list[Setting] = [("DynamicUser", ("b", True))] if unit.dynamic_user else []
    return [*dynamic, *_copied(properties, ("User", "Group", "SupplementaryGroups"))]


def _is_root(unit: Unit) -> bool:
    return unit.user in {None, "root", "0"} and not unit.dynamic_user


def _working_directory(unit: Unit) -> list[Setting]:
    # "-": a folder that the worker's user may not enter must not keep it from starting.
    return [("WorkingDirectory", ("s", f"-{unit.working_directory}"))] if unit.working_directory else []


def _swap(properties: Properties) -> list[Setting]:
    """The unit's own limit, or no swap at all: a worker that is swapped out measures the disk."""
    own = properties.get("MemorySwapMax", ("t", INFINITY))[1]
    return [("MemorySwapMax", ("t", 0 if own == INFINITY else own))]


def _bound_to(unit: str | None) -> list[Setting]:
    # No After=: it would wait for the end of a oneshot service, which itself waits for its workers.
    return [("BindsTo", ("as", [unit]))] if unit else []


def _copied(properties: Properties, names: tuple[str, ...]) -> list[Setting]:
    """Properties that are set, as they are."""
    return [
        (name, properties[name])
        for name in names
        if name in properties and _is_set(name, properties[name][1])
    ]


def _is_set(name: str, value: Any) -> bool:
    if name == "CPUSchedulingPolicy":
        return value in SAFE_SCHEDULING_POLICIES - {0}
    if name == "NUMAPolicy":
        return bool(value >= 0)
    if name.startswith("Limit"):
        # A soft limit without its hard one would lower that too.
        return True
    return value not in (False, 0, "", b"", INFINITY) and value != []
