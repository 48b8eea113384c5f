"""Where and with what a benchmark was measured: what every result file begins with."""

import datetime as dt
import hashlib
import os
import platform
from pathlib import Path

from graviton_agent import __version__
from graviton_agent.root import Root

PROJECT = Path(__file__).parent.parent
SOURCES = "agent/graviton_agent/calibration"


def about() -> dict[str, str]:
    """Date, versions and machine."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "graviton-agent": __version__,
        "calibration code": code(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {processor()}",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def processor() -> str:
    """The processor as the kernel names it; Arm kernels give no name."""
    text = Root().read_text("proc/cpuinfo", limit=1 << 20) or ""
    names = (line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, "unknown processor")


def code(*folders: str) -> str:
    """A short hash of sources, the calibration's by default: results of different ones don't mix unseen."""
    found = hashlib.blake2b(digest_size=4)
    for folder in folders or (SOURCES,):
        for file in sorted((PROJECT / folder).glob("*.py")):
            if not file.name.startswith("test_"):
                found.update(file.read_bytes())
    return found.hexdigest()
