"""Programs of others that the build runs."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


class BuildError(Exception):
    """Something can't be built; the message says what was run and what it printed, or what is missing."""


def run(
    *command: str,
    text: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> bytes:
    """Runs a program and returns what it printed. Raises BuildError.

    Args:
        command: the program and its arguments.
        text: what it reads.
        environment: all its variables; None for those of this process.
        folder: where it runs; None for here.
    """
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, check=False, env=environment, cwd=folder
        )
    except FileNotFoundError:
        raise BuildError(
            f"there is no {command[0]} here: on Debian, `make package-tools` installs it"
        ) from None
    if done.returncode:
        words = (done.stderr + done.stdout).decode(errors="replace").strip()
        raise BuildError(f"{' '.join(command)}: {words}")
    return done.stdout
