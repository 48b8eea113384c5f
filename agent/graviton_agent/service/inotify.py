"""The kernel's file notifications [inotify(7)], which Python's standard library doesn't have."""

import ctypes
import errno
import os
import struct
from typing import NamedTuple

ATTRIBUTES = 0x004
"""Also when a name of the file goes, though a process still has it open: the number of its links changes."""
WRITTEN = 0x008
MOVED_FROM = 0x040
MOVED_TO = 0x080
CREATED = 0x100
DELETED = 0x200
SELF_DELETED = 0x400
SELF_MOVED = 0x800
OVERFLOW = 0x4000
"""Events were lost: anything may have changed."""
FORGOTTEN = 0x8000
"""The watch is gone, with its file or because it was taken back."""

ENTRIES = CREATED | MOVED_FROM | MOVED_TO | DELETED | WRITTEN
"""What changes the files of a folder."""

_DONT_FOLLOW = 0x02000000
_EVENT = struct.Struct("iIII")
_BUFFER = 64 * 1024

_LIBC = ctypes.CDLL(None, use_errno=True)


class Event(NamedTuple):
    """Something that has happened to a watched file."""

    watch: int
    """Number of the watch; -1 for an overflow."""
    mask: int
    name: str
    """Of the entry, where the watched file is a folder and the event concerns what is in it."""


class Inotify:
    """One queue of events. OSError where the kernel gives none, for there are only so many for each user."""

    def __init__(self) -> None:
        self.descriptor = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def watch(self, path: str, mask: int) -> int:
        """Watches what stands at a path, a link itself and not what it leads to; returns the watch's number.

        A file that is watched already keeps its number. Raises OSError.
        """
        return _checked(_LIBC.inotify_add_watch(self.descriptor, os.fsencode(path), mask | _DONT_FOLLOW))

    def forget(self, watch: int) -> None:
        """Takes a watch back; nothing if the kernel has done so."""
        _LIBC.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Event]:
        """The events that have come; none if there are none."""
        try:
            raw = os.read(self.descriptor, _BUFFER)
        except BlockingIOError:
            return []
        events = []
        while raw:
            watch, mask, _, length = _EVENT.unpack_from(raw)
            name = raw[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
            events.append(Event(watch, mask, os.fsdecode(name)))
            raw = raw[_EVENT.size + length :]
        return events

    def close(self) -> None:
        """Ends all watches."""
        os.close(self.descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno() or errno.EIO
        raise OSError(number, os.strerror(number))
    return result
