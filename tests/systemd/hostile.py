"""A hostile interpreter: it tries every way out that we know, and tells as JSON what came of it.

The machines of the tests run its text, and the tests read its names. PROCESS is the number of the process
that the unit itself runs, HOME its user's home.
"""

import ctypes
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

Attempt = Callable[[], object]

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206
IO_URING_SETUP = 425
SHM_KEY = 0x5EED
CLONE_NEWUSER = 0x10000000
PROCESS, HOME = int(os.environ.get("PROCESS", "0")), os.environ.get("HOME", "/")
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")
GROUP = "/sys/fs/cgroup/system.slice/served.service/cgroup.procs"
DONE = "done"


def attempt(action: Attempt) -> str:
    """What came of it: DONE, or in what words it was refused."""
    try:
        action()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return DONE


def connect(address: str | tuple[str, int], family: int = socket.AF_UNIX) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.settimeout(2)
        made.connect(address)


def write(path: str) -> None:
    Path(path).write_text("x")


def read(path: str) -> None:
    with Path(path).open("rb") as file:
        file.read(1)


def open_only(path: str, flags: int = os.O_RDONLY) -> None:
    os.close(os.open(path, flags))


def list_folder(path: str) -> None:
    assert list(Path(path).iterdir())


def fill(path: str) -> None:
    full = Path(path, "full")
    try:
        with full.open("w") as file:
            os.posix_fallocate(file.fileno(), 0, 300 << 20)
    finally:
        full.unlink(missing_ok=True)


def call(name: str, *arguments: object) -> None:
    """A function of the C library, which fails with -1."""
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


WRITING: Mapping[str, Attempt] = {
    where: partial(write, path)
    for where, path in {
        "/etc/passwd": "/etc/passwd",
        "the program's folder": "/opt/app/new",
        "the user's home": f"{HOME}/new",
        "/run": "/run/new",
        "the unit's state": "/var/lib/app/new",
        "the unit's cache": "/var/cache/app/new",
        "the unit's logs": "/var/log/app/new",
        "the unit's runtime folder": "/run/app/new",
        "ReadWritePaths=": "/srv/data/new",
        "BindPaths=": "/opt/models/new",
        "the tables of cron": "/var/spool/cron/crontabs/app",
    }.items()
} | {"the unit's control group": partial(open_only, GROUP, os.O_WRONLY)}
READING: Mapping[str, Attempt] = {
    "root's file": partial(read, "/root/secret"),
    "/etc/shadow": partial(read, "/etc/shadow"),
}
REACHING: Mapping[str, Attempt] = {
    "the network": partial(connect, ("127.0.0.1", 7777), socket.AF_INET),
    "an abstract socket": partial(connect, "\0listener"),
    "the system bus": partial(connect, "/run/dbus/system_bus_socket"),
    "a socket in /run": partial(connect, "/run/app/socket"),
    "a socket in /tmp": partial(connect, "/tmp/app.socket"),
    "a socket beside the program": partial(connect, "/opt/app/socket"),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "shared memory of System V": partial(call, "shmget", SHM_KEY, 1, 0),
    "POSIX shared memory": partial(read, "/dev/shm/app"),
    "a message queue": partial(read, "/dev/mqueue/app"),
    "io_uring": lambda: call("syscall", IO_URING_SETUP, 4, ctypes.create_string_buffer(120)),
}
# The unit's own process has the same user.
TOUCHING: Mapping[str, Attempt] = {
    "its memory": partial(open_only, f"/proc/{PROCESS}/mem", os.O_RDWR),
    "its environment": partial(read, f"/proc/{PROCESS}/environ"),
    "its open files": partial(open_only, f"/proc/{PROCESS}/fd/0"),
    "its root folder": partial(list_folder, f"/proc/{PROCESS}/root"),
    "a debugger's hold": partial(call, "ptrace", PTRACE_SEIZE, PROCESS, 0, 0),
}
SIGNALLING: Mapping[str, Attempt] = {
    "a signal": lambda: os.kill(PROCESS, signal.SIGCONT),
    "its CPUs": lambda: os.sched_setaffinity(PROCESS, os.sched_getaffinity(PROCESS)),
    "its limits": lambda: resource.prlimit(PROCESS, resource.RLIMIT_CORE),
}
GAINING: Mapping[str, Attempt] = {
    "becoming root": lambda: os.setuid(0),
    "a user namespace": partial(call, "unshare", CLONE_NEWUSER),
}
GROUPS: Mapping[str, Mapping[str, Attempt]] = {
    "write": WRITING,
    "read": READING,
    "reach": REACHING,
    "touch": TOUCHING,
    "signal": SIGNALLING,
    "gain": GAINING,
    "fill": {folder: partial(fill, folder) for folder in TEMPORARY},
    "allowed": {"what one of its groups may read": partial(read, "/srv/of-a-group")},
}


def writable_folders() -> list[str]:
    """The uppermost folders that it might write to."""
    found = []
    for path, folders, _ in os.walk("/"):
        folders[:] = [name for name in folders if f"{path}{name}" not in {"/proc", "/sys"}]
        if os.access(path, os.W_OK):
            found.append(path)
            folders[:] = []
    return found


def writable_controls() -> list[str]:
    """The files in /sys that it might write to."""
    paths = (f"{folder}/{name}" for folder, _, names in os.walk("/sys") for name in names)
    return [path for path in paths if os.access(path, os.W_OK)]


def kinds_of_file_systems() -> dict[str, str]:
    """By the folder that they are mounted on; of several the uppermost."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return {folder: kind for _, folder, kind, *_ in mounts}


def tell() -> dict[str, object]:
    """All of it."""
    status = Path("/proc/self/status").read_text().splitlines()
    return {
        **{
            group: {name: attempt(action) for name, action in found.items()}
            for group, found in GROUPS.items()
        },
        "user": os.getuid(),
        "groups": sorted(os.getgroups()),
        "writable folders": writable_folders(),
        "writable controls": writable_controls(),
        "file systems": kinds_of_file_systems(),
        "interfaces": re.findall(r"(?m)^ *(\w+):", Path("/proc/self/net/dev").read_text()),
        "setuid program": subprocess.check_output(["/opt/app/suid", "-u"], text=True).strip(),
        "no new privileges": "NoNewPrivs:\t1" in status,
        "capabilities": sorted({line.split()[1] for line in status if line.startswith("Cap")}),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(tell()))
