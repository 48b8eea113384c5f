"""The Python packages that the agent itself needs, for aarch64, as its own packages bring them."""

import re
import shutil
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.graviton.bytecode import OWN_PYTHON, compile_all
from tests.graviton.kept import kept, run
from tests.graviton.wheels import FOR_AARCH64, PIP
from tests.systemd.installed import folder_of

WITHOUT_WHEEL = "sdnotify"
"""PyPI has its source alone, which is one file of Python."""


def agent_packages() -> Path:
    """A folder for the module search path with what the agent imports. Raises PreparationError."""
    pinned = _pinned()
    return kept("agent-packages", [pinned, FOR_AARCH64, OWN_PYTHON], lambda folder: _install(pinned, folder))


def _pinned() -> list[str]:
    """All that the agent requires, directly or not, in the versions that are installed here."""
    found: dict[str, str] = {}
    waiting = ["graviton-agent"]
    while waiting:
        one = distribution(waiting.pop())
        for line in one.requires or ():
            requirement = Requirement(line)
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
                continue
            found[name] = distribution(name).version
            waiting.append(name)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _install(pinned: list[str], folder: Path) -> None:
    wheels = [one for one in pinned if not one.startswith(WITHOUT_WHEEL)]
    run([*PIP, "install", *FOR_AARCH64, "--no-deps", "--no-compile", f"--target={folder}", *wheels])
    shutil.copytree(folder_of(WITHOUT_WHEEL), folder / WITHOUT_WHEEL)
    compile_all(folder)
