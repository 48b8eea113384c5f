"""What shuts the cage: whatever its interpreter tries, it reaches nobody, writes nothing and leaves nothing.

The interpreter belongs to the unit's user, who may be anybody. Each setting here closes a way out that a test
in tests/systemd walks. They leave alone what torch looks at: /sys and /proc stay readable, memory may be made
executable, threads are made as ever. So torch takes the same kernels, to the bit (test_cage_with_torch.py).
"""

from collections.abc import Sequence
from typing import Any

from graviton_agent.units.manager import Properties

Setting = tuple[str, tuple[str, Any]]
"""A property to be set: its name, and its signature and value."""

TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - the worker's own
SHARED = "/dev/shm"  # noqa: S108 - the worker's own
TEMPORARY_OPTIONS = "mode=1777,nosuid,nodev,size=256M,nr_inodes=65536"
"""In memory, and so within the worker's memory limit; on a disk it could fill what others need."""
# Sockets of others lie there: the system bus, those of container engines and of databases, the journal, the
# units' own. What the unit itself has mounted below stays.
RUN = ("/run", "ro,mode=755,nosuid,nodev,size=4M")
HOMES = tuple((home, "ro,mode=755,nosuid,nodev,size=4M") for home in ("/home", "/root"))
# A socket may lie in any folder, and a connection needs no file that could be written. io_uring makes sockets
# and connects them past the filter of socket(2) [io_uring_enter(2), IORING_OP_SOCKET].
IO_URING = ("io_uring_setup", "io_uring_enter", "io_uring_register")


def sealed(properties: Properties, *, user_namespaces: bool) -> list[Setting]:
    """What every worker gets, whatever its unit.

    Args:
        properties: of the unit that is calibrated.
        user_namespaces: whether the host lets systemd make any.
    """
    return [
        # Nothing goes out.
        ("PrivateNetwork", ("b", True)),
        ("RestrictAddressFamilies", ("(bas)", (True, []))),
        ("SystemCallFilter", ("(bas)", _without_io_uring(properties))),
        # The filters above don't see the calls of other architectures.
        ("SystemCallArchitectures", ("as", ["native"])),
        ("PrivateIPC", ("b", True)),
        ("KeyringMode", ("s", "private")),
        # Nothing is written.
        ("ProtectSystem", ("s", "strict")),
        # A unit with Delegate= owns its control group, and by that its own processes' lives.
        ("ProtectControlGroups", ("b", True)),
        *_devices(properties),
        ("UMask", ("u", 0o077)),
        ("LimitCORE", ("t", 0)),
        ("LimitCORESoft", ("t", 0)),
        # Nothing is gained.
        ("NoNewPrivileges", ("b", True)),
        ("CapabilityBoundingSet", ("t", 0)),
        ("AmbientCapabilities", ("t", 0)),
        ("RestrictNamespaces", ("t", 0)),
        # Nothing is done to the unit's own processes, which have the same user: their memory belongs to
        # another user namespace, their numbers to another PID namespace. systemd has the latter from 257 on.
        *([("PrivateUsers", ("b", True))] if user_namespaces else []),
        *([("PrivatePIDs", ("s", "yes"))] if "PrivatePIDs" in properties else []),
    ]


def files(properties: Properties, *, dynamic_user: bool) -> list[Setting]:
    """The unit's view of the file system, without anything that could be written, or spoken to.

    Args:
        properties: of the unit that is calibrated.
        dynamic_user: whether the worker has one.
    """

    def own(name: str) -> list[Any]:
        return list(properties.get(name, ("", []))[1])

    home = properties.get("ProtectHome", ("s", "no"))[1]
    # systemd 252 makes homes that everybody can write.
    empties_homes = home == "tmpfs" and not dynamic_user
    # For a dynamic user systemd makes temporary folders that nothing can be mounted over, before version 257
    # on disk and unbounded; so there it is /dev/shm alone that can be written.
    hides_temporary = dynamic_user and "PrivateTmpEx" not in properties
    hidden = _if_there(own("InaccessiblePaths")) + _if_there(TEMPORARY if hides_temporary else ())
    temporary = [
        RUN,
        *(HOMES if empties_homes else ()),
        *((path, TEMPORARY_OPTIONS) for path in (SHARED, *(() if dynamic_user else TEMPORARY))),
    ]
    ours = {path for path, _ in temporary}
    settings: list[Setting] = [
        ("ProtectHome", ("s", "no" if empties_homes else home if home in {"yes", "tmpfs"} else "read-only")),
        (
            "TemporaryFileSystem",
            ("a(ss)", [*(one for one in own("TemporaryFileSystem") if one[0] not in ours), *temporary]),
        ),
        ("InaccessiblePaths", ("as", hidden)),
        ("NoExecPaths", ("as", _if_there(own("NoExecPaths")))),
        ("ExecPaths", ("as", _if_there(own("ExecPaths")))),
        # What the unit may write elsewhere, the worker may read.
        ("BindReadOnlyPaths", ("a(ssbt)", [*own("BindReadOnlyPaths"), *own("BindPaths")])),
    ]
    return [(name, (kind, value)) for name, (kind, value) in settings if value]


def labels(properties: Properties) -> list[Setting]:
    """The unit's security labels: what they forbid the unit, they forbid its worker.

    A worker that can't take one doesn't start. Of the first, systemd lets no client say that the unit can do
    without it ("-") [src/core/dbus-execute.c], so that the worker is then stricter than the unit.
    """
    made: list[Setting] = []
    for name in ("SELinuxContext", "AppArmorProfile", "SmackProcessLabel"):
        optional, label = properties.get(name, ("", (False, "")))[1]
        if label:
            made.append((name, ("s", label) if name == "SELinuxContext" else ("(bs)", (optional, label))))
    return made


def _without_io_uring(properties: Properties) -> tuple[bool, list[str]]:
    """The unit's own filter of system calls, narrowed."""
    allows, calls = properties.get("SystemCallFilter", ("", (False, [])))[1]
    if allows:
        return True, [call for call in calls if call.partition(":")[0] not in IO_URING]
    return False, [*calls, *(f"{call}:EPERM" for call in IO_URING)]


def _devices(properties: Properties) -> list[Setting]:
    """No device but /dev/null and its like, unless the unit names some itself.

    One of its groups may be "disk" or "kvm". /dev looks the same, for this is the control group's business.
    """
    own = properties.get("DevicePolicy", ("s", "auto"))[1]
    names_some = bool(properties.get("DeviceAllow", ("", []))[1])
    return [("DevicePolicy", ("s", "closed"))] if own == "auto" and not names_some else []


def _if_there(paths: Sequence[str]) -> list[str]:
    """The same, and none must exist: the worker may not see all that the unit sees."""
    return [path if path.startswith("-") else f"-{path}" for path in paths]
