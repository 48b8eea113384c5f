"""Where results are kept, and how a file is written so that it is never half there."""

import contextlib
import os
import time
from pathlib import Path

from graviton_agent.errors import StateError


def state_directory() -> Path:
    """The folder of $STATE_DIRECTORY, which systemd sets, else the user's state directory.

    The latter is $XDG_STATE_HOME or ~/.local/state [XDG Base Directory Specification 0.8].
    """
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        # systemd separates several directories by colons; ours is the first [systemd.exec(5)].
        return Path(given.split(":", maxsplit=1)[0])
    home = os.environ.get("XDG_STATE_HOME")
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".local" / "state"
    return base / "graviton-agent"


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644, make_folder: bool = True) -> None:
    """Writes a file in one step: readers see the old content or the new, also after a power cut.

    Its folder is made if need be, unless a missing one is to be a failure.

    Raises StateError, naming the file and the cause, and leaves nothing behind.
    """
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid():x}.{time.monotonic_ns():x}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise StateError(
            f"can't write {path}: {error.strerror}", hint="check the free space and the owner of its folder"
        ) from error


def _sync_directory(path: Path) -> None:
    """Makes a rename in the directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
