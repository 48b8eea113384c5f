"""What takes long to download or to build: made once, and kept under .cache/graviton/."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "graviton"


class PreparationError(RuntimeError):
    """Something that the emulation needs can't be had here; the message says what and why."""


def kept(name: str, recipe: object, make: Callable[[Path], None]) -> Path:
    """The folder of something that was made from a recipe, which nothing may write to.

    Whatever ends `make` early leaves nothing behind, unless it kills this process: then the next one clears
    it away. Removing .cache/graviton has everything made anew.

    Args:
        name: what it is, such as "qemu".
        recipe: all that it is made from, as JSON's types: another recipe makes another folder.
        make: fills the folder that it is given, if there is none yet.
    """
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    finished = CACHE / f"{name}@{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.is_dir():
            for left in (path for path in CACHE.glob(f"{name}.*") if path.is_dir()):
                shutil.rmtree(left)
            print(f"making {name}, once", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{name}.") as unfinished:
                folder = Path(unfinished) / "made"
                folder.mkdir()
                make(folder)
                folder.rename(finished)
    return finished


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints on both of its outputs. Raises PreparationError with its last lines."""
    try:
        process = subprocess.Popen(
            command,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise PreparationError(
            f"no {command[0]} here, which the emulation needs; docs/verification.md says what it needs"
        ) from None
    with process:
        try:
            printed, _ = process.communicate()
        except BaseException:
            # With all that it has started, before anybody removes what it works on.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        last = "\n".join(printed.splitlines()[-15:])
        raise PreparationError(f"{' '.join(command)} failed:\n{last}")
    return printed
