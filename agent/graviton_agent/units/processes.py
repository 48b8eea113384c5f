"""What the processes of a unit really have: their environment, read from /proc."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from graviton_agent.errors import AgentError
from graviton_agent.root import KIB, Root
from graviton_agent.units.assignments import find_in_environment_block

LARGEST_ENVIRONMENT = 256 * KIB
"""Bytes. Linux allows megabytes, and a unit has as many processes as it likes."""
MOST_PROCESSES = 512
"""Processes of a unit that are looked at: two for each CPU of the largest Graviton, and some more."""
MOST_GROUPS = 1000
"""Control groups of a unit."""
DEEPEST = 32
"""Levels of control groups below the unit's own."""
INVOCATION = "INVOCATION_ID"
"""systemd gives it to all processes of a service; each start has another [systemd.exec(5)]."""
EXECUTORS = frozenset({"systemd", "systemd-executor"})
"""Names of the programs that become a unit's process: PID 1 itself until systemd 254, then one of its own."""
SETTLE_SECONDS = 2.0
POLL_SECONDS = 0.005

_GROUP_MOUNTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/fs/cgroup/systemd")
"""Where the tree that systemd keeps is mounted: version 2 alone, beside version 1, version 1 alone."""


@dataclass(frozen=True)
class Process:
    """One process, seen once."""

    pid: int
    variables: Mapping[str, str]
    """Those asked for that it was started with, which is not always what it has since set."""
    invocation: str | None
    """The start of a unit that it belongs to, as hexadecimal digits; None where its environment is silent."""
    is_legible: bool
    """Whether Linux still shows what it was started with: a program may write over it, as over its title."""


class Members(NamedTuple):
    """The processes of a unit."""

    pids: tuple[int, ...]
    """Their numbers, in ascending order."""
    is_all: bool
    """Whether there are no others."""


def read_process(
    pid: int, names: Iterable[str], root: Root, *, settle_seconds: float = SETTLE_SECONDS
) -> Process | None:
    """Reads these variables of a process; None if it has ended, or did not become the unit's in time.

    Just after a start the process still is systemd's, which then becomes the unit's program: what is read in
    that moment is systemd's own environment, and a little later none at all. So it is read once the program
    is another, and taken only if the process stayed the same meanwhile.
    """
    deadline = time.monotonic() + settle_seconds
    while True:
        started, program = _start_time(pid, root), _program(pid, root)
        # One byte more tells a larger one.
        raw = root.read_bytes(f"proc/{pid}/environ", limit=LARGEST_ENVIRONMENT + 1)
        if started is None or program is None or raw is None:
            return None
        same = (started, program) == (_start_time(pid, root), _program(pid, root))
        is_late = time.monotonic() >= deadline
        # The kernel shows no environment until the new program is set up [fs/proc/base.c, environ_read]; one
        # that stays empty is really so.
        if same and program not in EXECUTORS and (raw or is_late):
            return _process(pid, raw, names)
        if is_late:
            return None
        time.sleep(POLL_SECONDS)


def _process(pid: int, raw: bytes, names: Iterable[str]) -> Process:
    """What a process's environment says."""
    # No variable is empty as a program is started. Where a title was written over them, zeros fill the rest
    # [seen with py-setproctitle 1.3.8].
    is_overwritten = raw.startswith(b"\0") or b"\0\0" in raw
    if is_overwritten or not 0 < len(raw) <= LARGEST_ENVIRONMENT:
        return Process(pid, {}, None, is_legible=False)
    found = find_in_environment_block(raw, {*names, INVOCATION})
    invocation = found.pop(INVOCATION, None)
    return Process(pid, found, invocation, is_legible=True)


def processes_of(control_group: str, root: Root) -> Members:
    """The processes in a unit's control group and in those below it, as far as there are not too many."""
    folder = group_folder(control_group, root)
    # The unit may make groups below its own, as many and as deep as it likes: the nearest come first.
    groups = deque([] if folder is None else [(folder, 0)])
    pids: set[int] = set()
    known, is_all = len(groups), True
    while groups and len(pids) <= MOST_PROCESSES:
        group, depth = groups.popleft()
        pids.update(_in_group(group, root))
        room = MOST_GROUPS - known if depth < DEEPEST else 0
        below = root.folders(group, limit=room + 1)
        is_all = is_all and len(below) <= room
        groups += [(f"{group}/{name}", depth + 1) for name in below[:room]]
        known += len(below[:room])
    return Members(tuple(sorted(pids)[:MOST_PROCESSES]), is_all and len(pids) <= MOST_PROCESSES)


def group_folder(control_group: str, root: Root) -> str | None:
    """Where a control group, such as "/system.slice/llm.service", is found below the root, if it is."""
    for mount in _GROUP_MOUNTS:
        folder = f"{mount}{control_group}".rstrip("/")
        if root.read_bytes(f"{folder}/cgroup.procs", limit=1) is not None:
            return folder
    return None


def own_unit(root: Root) -> str | None:
    """The unit that this process belongs to, such as "graviton-agent.service"; None without one."""
    for line in (root.read_text("proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers in {"", "name=systemd"} and ".." not in path.split("/"):
            for part in path.split("/"):
                if part.endswith((".service", ".scope")):
                    return part
    return None


def _in_group(folder: str, root: Root) -> Iterator[int]:
    """The processes of a group itself."""
    text = root.read_text(f"{folder}/cgroup.procs") or ""
    # Of a long list only the beginning is read, which may end within a number.
    for line in text[: text.rfind("\n") + 1].split():
        # A process of another PID namespace has the number 0.
        if line.isdecimal() and int(line):
            yield int(line)


def _start_time(pid: int, root: Root) -> int | None:
    """Field 22 of /proc/PID/stat; the program's name before it may hold anything."""
    _, _, rest = (root.read_text(f"proc/{pid}/stat") or "").rpartition(")")
    fields = rest.split()
    return int(fields[19]) if len(fields) > 19 and fields[19].isdecimal() else None


def _program(pid: int, root: Root) -> str | None:
    """The name of the file that the process runs; None if it has ended.

    Raises AgentError without the right to know.
    """
    try:
        path = os.readlink(root.path / f"proc/{pid}/exe")  # noqa: PTH115 - it is no path that could be followed
    except PermissionError:
        raise AgentError(
            f"process {pid} can't be looked at",
            hint="run this as root, which may read every process's environment",
        ) from None
    except OSError:
        return None
    # An upgrade may have replaced the file while the program runs.
    return path.removesuffix(" (deleted)").rpartition("/")[2]
