"""The files that commands write where they are told to."""

import os
import stat
from pathlib import Path

from graviton_agent.errors import StateError
from graviton_agent.state import write_atomically

NEW_FILE = 0o666


def write_output(path: Path, content: bytes) -> None:
    """Writes a file that the user has named. Raises StateError.

    A regular file is written in one step, where a link leads, and keeps its mode. Anything else, such as a
    pipe or /dev/stdout, is written to: it must not be replaced by a file.
    """
    try:
        target = path.resolve()
        found = target.stat() if target.exists() else None
        if found is not None and not stat.S_ISREG(found.st_mode):
            with path.open("wb") as file:
                file.write(content)
            return
    except (OSError, RuntimeError) as error:
        raise StateError(f"can't write {path}: {getattr(error, 'strerror', None) or error}") from error
    write_atomically(target, content, mode=_mode_of_new() if found is None else stat.S_IMODE(found.st_mode))


def _mode_of_new() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return NEW_FILE & ~mask
