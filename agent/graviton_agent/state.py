"""Where results are kept, and how a file is written so that it is never half there."""

import contextlib
import errno
import os
import stat
import time
from pathlib import Path

from graviton_agent.errors import StateError
from graviton_agent.installed import STATE

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def state_directory() -> Path:
    """The folder of $STATE_DIRECTORY, which systemd sets; else root's own, or the user's state directory.

    The latter is $XDG_STATE_HOME or ~/.local/state [XDG Base Directory Specification 0.8]. Root's is the same
    whatever its home is said to be: after sudo that may be somebody else's.
    """
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        # systemd separates several directories by colons; ours is the first [systemd.exec(5)].
        return Path(given.split(":", maxsplit=1)[0])
    if os.geteuid() == 0:
        return Path(STATE)
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
            f"can't write {path}: {_why(error)}", hint="check the free space and the owner of its folder"
        ) from error


def write_private(base: Path, name: str, content: bytes) -> Path:
    """Writes base/name in one step, for this user's eyes alone, and returns its path.

    The base and all folders below it are this user's alone too, or are made so. Raises StateError.
    """
    path = base / name
    for folder in reversed([path.parent, *path.parent.parents]):
        if folder.is_relative_to(base):
            private_folder(folder)
    write_atomically(path, content, mode=PRIVATE_FILE)
    return path


def remove_file(path: Path) -> bool:
    """Removes a file. Returns whether there was one. Raises StateError."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        hint = "check whether its file system can be written"
        raise StateError(f"can't remove {path}: {error.strerror}", hint=hint) from error
    return True


def private_folder(path: Path) -> None:
    """Makes a folder this user's alone, and makes it where there is none.

    Raises StateError for a link and for what belongs to somebody else: who owns a folder can put other files
    in the place of ours, and has ours written wherever it leads.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=PRIVATE_FOLDER)
        refuse_foreign(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & ~PRIVATE_FOLDER:
                os.fchmod(descriptor, PRIVATE_FOLDER)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(f"can't make {path}: {_why(error)}", hint="check the folders above it") from error


def refuse_foreign(path: Path) -> None:
    """Raises StateError unless a folder is this user's own, and no link to one, or isn't there at all."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(f"can't look at {path}: {error.strerror}") from error
    if stat.S_ISLNK(found.st_mode):
        raise StateError(
            f"{path} is a link, which the agent doesn't follow",
            hint="mount the other folder there (mount --bind), or remove the link",
        )
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(f"{path} is no folder", hint="remove it; the agent makes it")
    if found.st_uid != os.geteuid():
        raise StateError(
            f"{path} belongs to user {found.st_uid}, and not to user {os.geteuid()}, who runs this",
            hint=f"see what is in it, then remove it, or: chown --recursive {os.geteuid()} {path}",
        )


def _why(error: OSError) -> str | None:
    """What the system says; of a folder that can't be made since a file is in its place, what that means."""
    return os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror


def _sync_directory(path: Path) -> None:
    """Makes a rename in the directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems can't do this for directories, and the file is whole without it [fsync(2)].
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
