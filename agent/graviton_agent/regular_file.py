"""Reads files that anything may stand in the place of. Standard library alone: the generator imports this."""

from __future__ import annotations

import os
import stat

_PIECE = 4096


def read_regular(path: str, limit: int) -> bytes | None:
    """The whole content of a regular file of at most `limit` bytes; None for anything else.

    Neither a FIFO nor a device makes it wait, so that PID 1, which waits for its generators, doesn't either.
    A link is followed, and one to /dev/null reads as None, which is how systemd's files are masked.
    """
    content = read_beginning(path, limit + 1)
    return content if content is not None and len(content) <= limit else None


def read_beginning(path: str, most: int) -> bytes | None:
    """At most the first `most` bytes of a regular file; None for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(descriptor)
        return _read(descriptor, most, found.st_size) if stat.S_ISREG(found.st_mode) else None
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
