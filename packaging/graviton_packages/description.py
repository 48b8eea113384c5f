"""The description of the packages that nfpm builds from: one for deb and rpm."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from graviton_packages.changelog import MAINTAINER
from graviton_packages.layout import (
    CONFIGURATION,
    DOCUMENTS,
    LICENCE_TEXT,
    LICENCES,
    MANUALS,
    OWN_FOLDERS,
    TREE,
    only_in,
)
from graviton_packages.stage import Laid
from graviton_packages.target import MINORS, Architecture

NEWEST_FIRST = tuple(reversed(MINORS))
SCRIPTS = TREE / "packaging" / "scripts"

DEPENDS = {
    # Each of them brings its own standard library; apt keeps to the first that is installed already.
    # The generator and the check run under /usr/bin/python3, which may be older.
    "deb": (
        " | ".join(f"python{minor}" for minor in NEWEST_FIRST),
        "python3 (>= 3.9)", "systemd (>= 249)", "dbus | dbus-system-bus", "libc6 (>= 2.17)", "libgcc-s1",
    ),
    # By file, for distributions name them differently; the launcher looks for just these files.
    "rpm": (
        f"({' or '.join(f'/usr/bin/python{minor}' for minor in NEWEST_FIRST)})",
        "/usr/bin/python3", "systemd >= 249", "dbus", "/bin/sh",
    ),
}  # fmt: skip
SCRIPT_NAMES = {
    "deb": {"postinstall": "postinst", "preremove": "prerm", "postremove": "postrm"},
    "rpm": {"postinstall": "post", "preremove": "preun", "postremove": "postun"},
}
RELEASE = "1"
"""Of the packaging; it follows the version in both kinds of package."""
SUMMARY = "measured PyTorch settings for services on AWS Graviton"
DESCRIPTION = """\
Measures which PyTorch CPU settings win on this AWS Graviton host, with the
Python that serves, and hands the winning environment to the systemd services
that it is told to manage, or none, when none wins.

The package carries no PyTorch: the one that serves is the one that is
measured. On a host that is no Graviton it does nothing."""

OPTIONS: dict[str, dict[str, Any]] = {
    "deb": {"description": f"{SUMMARY}\n{DESCRIPTION}", "deb": {"compression": "xz"}},
    "rpm": {
        "description": DESCRIPTION,
        "rpm": {
            "buildhost": "localhost",
            "compression": "zstd",
            "group": "System Environment/Daemons",
            "summary": SUMMARY[0].upper() + SUMMARY[1:],
        },
    },
}


class Package(NamedTuple):
    """One package that is to be built."""

    kind: str
    """"deb" or "rpm"."""
    architecture: Architecture
    version: str
    moment: int
    """The time that all files get, in seconds since 1970."""
    tree: Laid
    """Its files."""
    maintainer: str = MAINTAINER
    """Who answers for it: "Name <address>"."""

    @property
    def file_name(self) -> str:
        """As both worlds write it."""
        if self.kind == "deb":
            return f"graviton-agent_{self.version}-{RELEASE}_{self.architecture.debian}.deb"
        return f"graviton-agent-{self.version}-{RELEASE}.{self.architecture.machine}.rpm"


def describe(package: Package, changelog: Path) -> dict[str, Any]:
    """The description of one package, as nfpm reads it [nfpm.goreleaser.com/docs/configuration].

    Args:
        package: what it is to be.
        changelog: a file that `changelog` has made for this kind.
    """
    kind = package.kind
    contents = list(_contents(kind, package.tree.root))
    changes: dict[str, Any] = {"changelog": str(changelog)} if kind == "rpm" else {}
    if kind == "deb":
        target = f"{DOCUMENTS}/changelog.Debian.gz"
        contents.append({"dst": target, "src": str(changelog), "file_info": {"mode": 0o644}})
    return {
        "name": "graviton-agent",
        "arch": package.architecture.debian,
        "platform": "linux",
        "version": package.version,
        "release": RELEASE,
        "version_schema": "none",
        "section": "admin",
        "priority": "optional",
        "maintainer": package.maintainer,
        "vendor": "graviton-agent",
        "license": package.tree.licence,
        "mtime": datetime.fromtimestamp(package.moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "disable_globbing": True,
        "contents": contents,
        "depends": list(DEPENDS[kind]),
        "scripts": {name: str(SCRIPTS / kind / script) for name, script in SCRIPT_NAMES[kind].items()},
        **changes,
        **OPTIONS[kind],
    }


def _contents(kind: str, stage: Path) -> Iterator[dict[str, Any]]:
    """All that is in the stage, file by file, so that none is there that nobody has asked for."""
    others = {path for path, only in only_in().items() if only != kind}
    for path in sorted(stage.rglob("*")):
        target = f"/{path.relative_to(stage)}"
        if target in others:
            continue
        if path.is_symlink():
            yield {"dst": target, "src": str(path.readlink()), "type": "symlink"}
        elif not path.is_dir():
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            yield {"dst": target, "src": str(path), "type": _type(kind, target), "file_info": {"mode": mode}}
        elif target.startswith(OWN_FOLDERS):
            yield {"dst": target, "type": "dir", "file_info": {"mode": 0o755}}


def _type(kind: str, target: str) -> str:
    if target.startswith(f"{CONFIGURATION}/"):
        return "config|noreplace"
    # nfpm leaves these two out of a deb.
    if kind == "rpm" and target in {LICENCES["rpm"], LICENCE_TEXT}:
        return "license"
    return "doc" if kind == "rpm" and target.startswith((DOCUMENTS, MANUALS)) else ""
