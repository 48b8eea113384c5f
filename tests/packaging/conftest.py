"""The built packages: those of this tree, and the same with a lower version to upgrade from."""

from pathlib import Path

import pytest

from graviton_agent import __version__
from graviton_packages.build import WORK, commit_time, pack
from graviton_packages.description import Package
from graviton_packages.layout import TREE
from graviton_packages.stage import Laid
from graviton_packages.target import AMD64, ARM64, Architecture
from tests.systemd.missing import missing
from tests.systemd.rootfs import RELEASES, Release

FORMER_VERSION = "0.0.9"
DIST = TREE / "dist"
FORMER = TREE / "build" / "former"


def _built(package: Package) -> Path:
    """The file of a package that must be there. Fails the test if it isn't."""
    path = DIST / package.file_name
    if not path.is_file():
        pytest.fail(f"not built: {path}; `make test-packages` builds it first", pytrace=False)
    return path


def _package(kind: str, architecture: Architecture, version: str = __version__) -> Package:
    root = WORK / architecture.machine / "root"
    return Package(kind, architecture, version, commit_time(), Laid(root, "Apache-2.0"))


@pytest.fixture(scope="session")
def packages() -> dict[str, Path]:
    """This tree's packages by what their names end in."""
    return {
        "amd64.deb": _built(_package("deb", AMD64)),
        "arm64.deb": _built(_package("deb", ARM64)),
        "x86_64.rpm": _built(_package("rpm", AMD64)),
        "aarch64.rpm": _built(_package("rpm", ARM64)),
    }


@pytest.fixture(scope="session")
def former_packages(packages: dict[str, Path]) -> dict[str, Path]:
    """The same files under a lower version, for this machine's architecture."""
    former = {}
    for kind, name in (("deb", "amd64.deb"), ("rpm", "x86_64.rpm")):
        package = _package(kind, AMD64, FORMER_VERSION)
        former[name] = FORMER / package.file_name
        if not former[name].is_file() or former[name].stat().st_mtime < packages[name].stat().st_mtime:
            FORMER.mkdir(parents=True, exist_ok=True)
            pack(package, FORMER)
    return former


@pytest.fixture
def bootable() -> None:
    """Skips where no container can be booted."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def release(request: pytest.FixtureRequest, bootable: None) -> Release:  # noqa: ARG001 - it may skip
    """Each release of Debian in turn."""
    assert isinstance(request.param, Release)
    return request.param
