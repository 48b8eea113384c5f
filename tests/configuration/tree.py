"""A system's files below a temporary folder: configuration, unit files, and what the generator makes."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from graviton_agent.configuration.load import Loaded, load
from graviton_agent.units.unit_files import UnitFiles

PROGRAMS = Path(__file__).parents[2] / "systemd"
MAIN = "etc/graviton-agent/graviton-agent.toml"
ANY_UNIT = "[Service]\nExecStart=/opt/app/venv/bin/python -m app\n"


@dataclass(frozen=True)
class Tree:
    """The folder that stands for "/"."""

    root: Path

    def write(self, path: str, text: str | bytes = "") -> Path:
        """Makes a file and the folders around it."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    def link(self, path: str, target: str) -> None:
        """Makes a symbolic link; its target is not moved below the root."""
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def unit(self, name: str, text: str = ANY_UNIT) -> None:
        """Makes an administrator's unit file."""
        self.write(f"etc/systemd/system/{name}", text)

    def load(self, main: str | None = None) -> Loaded:
        """Loads the configuration, with this text as its main file."""
        if main is not None:
            self.write(MAIN, main)
        return load(UnitFiles(str(self.root)), str(self.root))

    def problems(self, main: str | None = None) -> list[str]:
        """All problems of the configuration, with paths as they would be on a host."""
        return [str(problem).removeprefix(f"{self.root}/") for problem in self.load(main).problems]

    def generate(self, *, timeout: float = 30.0) -> dict[str, str]:
        """Runs the generator as systemd does; returns what it wrote, the text of each file by its path."""
        out = self.root / "generated"
        out.mkdir(exist_ok=True)
        ran = subprocess.run(
            [sys.executable, "-ISE", PROGRAMS / "graviton-agent-generator", *[out] * 3, self.root],
            capture_output=True,
            check=False,
            timeout=timeout,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
        return {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}
