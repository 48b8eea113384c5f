"""What an environment file was made for, so that just before the start it can be told whether it still fits.

The identity is a list of facts, each a name and a short text. The daemon writes into the file's head what it
saw when it made the file; the check before each start sees for itself and compares. Facts of the process
(`cpus`, `quota`, `memory`) can be seen only from inside the unit, or from a cage with the unit's limits: they
are part of a profile's fingerprint, and no environment file names them.

Standard library alone, and little of it: each start of a managed unit waits for this.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from graviton_agent.regular_file import read_beginning, read_regular

FORMAT = "# graviton-agent environment 1"
"""The first line of an environment file: another first line is another program's, or another version's."""
UNIT = "# unit "
FACT = "# made for "
"""What the other lines of the head begin with."""

HOST_FACTS = ("boot", "cpu", "instance", "thp")
PROCESS_FACTS = ("cpus", "quota", "memory")
FILE_FACT = "file "
"""What the name of a fact about a file begins with; its path follows."""

UNSEEN = "none"
ABSENT = "absent"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:+-")
_SEPARATOR = " = "
_LARGEST = 64 * 1024
_PIECE = 4096


class Observer:
    """Sees facts as they are now."""

    def __init__(self, root: str = "", process: int | None = None) -> None:
        """Looks below a root, and at a process; None is the one that asks."""
        self._root = root
        self._process = process

    def see(self, name: str) -> str | None:
        """The present text of a fact; None for a fact that this version doesn't know."""
        if name.startswith(FILE_FACT):
            return self._file(name.removeprefix(FILE_FACT))
        known = {
            "boot": self._boot,
            "cpu": self._cpu,
            "instance": self._instance,
            "thp": self._thp,
            "cpus": self._cpus,
            "quota": self._quota,
            "memory": self._memory,
        }
        return known[name]() if name in known else None

    def _boot(self) -> str:
        return _plain(self._read("/proc/sys/kernel/random/boot_id"))

    def _cpu(self) -> str:
        """The first CPU's identity: those of one machine are alike, and the text of hundreds is long."""
        lines: dict[str, str] = {}
        for line in self._read("/proc/cpuinfo", piece=True).split("\n"):
            key, colon, value = line.partition(":")
            if colon:
                lines.setdefault(key.strip(), value.strip())
        names = ("CPU implementer", "CPU part", "CPU variant", "CPU revision", "vendor_id", "model name")
        return _plain(":".join(lines[name] for name in names if name in lines))

    def _instance(self) -> str:
        """EC2's firmware names the instance type here."""
        return _plain(self._read("/sys/class/dmi/id/product_name"))

    def _thp(self) -> str:
        text = self._read("/sys/kernel/mm/transparent_hugepage/enabled")
        return _plain(text.partition("[")[2].partition("]")[0])

    def _cpus(self) -> str:
        """The CPUs that the process may run on, as a hexadecimal mask."""
        return f"{sum(1 << cpu for cpu in os.sched_getaffinity(self._process or 0)):x}"

    def _quota(self) -> str:
        """Thousandths of CPUs that the control group and those above it let the process use."""
        found = []
        for folder in self._groups():
            allowed, _, period = self._read(f"{folder}/cpu.max").strip().partition(" ")
            if allowed.isdecimal() and period.isdecimal() and int(period):
                found.append(int(allowed) * 1000 // int(period))
        return str(min(found)) if found else UNSEEN

    def _memory(self) -> str:
        """Bytes that the control group and those above it let the process use."""
        texts = [
            self._read(f"{folder}/memory.{limit}").strip()
            for folder in self._groups()
            for limit in ("max", "high")
        ]
        found = [int(text) for text in texts if text.isdecimal()]
        return str(min(found)) if found else UNSEEN

    def _file(self, path: str) -> str:
        """Which file is there, by its inode, size and time of writing, links followed.

        The time of a change of the inode is left out: owners and modes are set anew at some services' every
        start, and that makes no other torch.
        """
        try:
            found = os.stat(self._root + path)
        except (OSError, ValueError):
            return ABSENT
        return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"

    def _groups(self) -> list[str]:
        """The folders of the process's control group and of those above it (version 2 of the interface)."""
        process = "self" if self._process is None else self._process
        lines = self._read(f"/proc/{process}/cgroup").split("\n")
        path = next((line[3:] for line in lines if line.startswith("0::/")), "")
        parts = [part for part in path.split("/") if part]
        if ".." in parts:
            return []
        return ["/".join(["/sys/fs/cgroup", *parts[:depth]]) for depth in range(len(parts), -1, -1)]

    def _read(self, path: str, *, piece: bool = False) -> str:
        """A small file of /proc or /sys, or the beginning of a large one; empty if there is none."""
        content = (
            read_beginning(self._root + path, _PIECE) if piece else read_regular(self._root + path, _LARGEST)
        )
        return (content or b"").decode("utf-8", "replace")


def torch_facts(location: str) -> tuple[str, ...]:
    """The names of the facts that tell one torch from another, given the folder of the package.

    Every version has a text of its own in the first, every build in the second.
    """
    return (f"{FILE_FACT}{location}/version.py", f"{FILE_FACT}{location}/lib/libtorch_cpu.so")


def observe(names: Iterable[str], observer: Observer) -> dict[str, str]:
    """The facts of these names as they are now; KeyError for a name that isn't known."""
    found = {}
    for name in names:
        seen = observer.see(name)
        if seen is None:
            raise KeyError(name)
        found[name] = seen
    return found


def differences(made_for: dict[str, str], observer: Observer) -> list[str]:
    """What has changed since, a clause for each fact; empty if nothing has."""
    found = []
    for name, before in made_for.items():
        now = observer.see(name)
        if now is None:
            found.append(f"{name!r} is not known to this version")
        elif now != before:
            is_file = name.startswith(FILE_FACT)
            found.append(f"{name} has changed" if is_file else f"{name} was {before}, is {now}")
    return found


def render_head(unit: str, made_for: dict[str, str]) -> list[str]:
    """The lines that an environment file begins with. ValueError for a fact that they can't carry."""
    for name, text in made_for.items():
        if not name.isprintable() or name != name.strip() or _plain(text) != text:
            raise ValueError(name)
    return [FORMAT, UNIT + unit, *(f"{FACT}{name}{_SEPARATOR}{text}" for name, text in made_for.items())]


def parse_head(lines: list[str], unit: str) -> dict[str, str] | None:
    """The facts in the head of a unit's environment file; None if the lines don't begin with one."""
    if lines[:2] != [FORMAT, UNIT + unit]:
        return None
    facts: dict[str, str] = {}
    for line in lines[2:]:
        if not line.startswith(FACT):
            break
        name, separator, text = line.removeprefix(FACT).rpartition(_SEPARATOR)
        if not separator or name in facts:
            return None
        facts[name] = text
    return facts or None


def _plain(text: str) -> str:
    """The text without the characters that a line of the head can't carry; "none" if nothing is left."""
    text = text.strip(" \t\r\n\0")
    if not _PLAIN.issuperset(text):
        text = "".join(c if c in _PLAIN else "_" for c in text)
    return text or UNSEEN
