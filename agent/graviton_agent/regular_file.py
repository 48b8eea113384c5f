"""Reads files that anything may stand in the place of. Standard library alone: the generator imports this."""

from __future__ import annotations

import os
import stat

_PIECE = 4096


def read_regular(path: str, limit: int) -> bytes | None:
    """The whole content of a regular file of at most `limit` bytes; None for anything else.

    Neither a FIFO nor a device is even opened, so that PID 1, which waits for its generators, waits for none.
    A link is followed, and one to /dev/null reads as None, which is how systemd's files are masked.
    """
    content = read_beginning(path, limit + 1)
    return content if content is not None and len(content) <= limit else None


def read_beginning(path: str, most: int) -> bytes | None:
    """At most the first `most` bytes of a regular file; None for anything else."""
    try:
        # To open a device is to use it: a watchdog begins to count, a tape is wound back. So it is looked at
        # first, and what was looked at is opened.
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(place)
        if not stat.S_ISREG(found.st_mode):
            return None
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        os.close(place)
    try:
        return _read(descriptor, most, found.st_size)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _read(descriptor: int, most: int, size: int) -> bytes:
    """Reads on until the end: files of /proc come in pieces, and their size is given as 0."""
    # What is asked for is allocated first, and large pieces are asked of the kernel each time anew.
    piece = min(most, size or _PIECE)
    content = os.read(descriptor, piece)
    while len(content) != size and len(content) < most:
        more = os.read(descriptor, min(piece, most - len(content)))
        if not more:
            break
        content += more
    return content
