"""The built packages: those of this tree, and the same with a lower version to upgrade from; repositories."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from graviton_agent import __version__
from graviton_packages.build import WORK, commit_time, pack
from graviton_packages.description import Package
from graviton_packages.layout import TREE
from graviton_packages.repository import make_repositories
from graviton_packages.stage import Laid
from graviton_packages.target import AMD64, ARM64, Architecture
from tests.systemd.missing import missing
from tests.systemd.rootfs import RELEASES, Release

FORMER_VERSION = "0.0.9"
DIST = TREE / "dist"
FORMER = TREE / "build" / "former"
ADDRESS = "tests@graviton-agent.invalid"


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


@pytest.fixture(scope="session")
def repository(
    packages: dict[str, Path], former_packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Both repositories with two versions, signed with a key that lives as long as the tests."""
    # The socket of gpg-agent needs a short path.
    home = Path("/tmp") / f"graviton-agent-gnupg-{os.getpid()}"
    home.mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(home))
        new_key = ("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", ADDRESS)
        subprocess.run((*new_key, "rsa3072", "sign", "1d"), check=True, capture_output=True)
        try:
            folder = tmp_path_factory.mktemp("repository")
            make_repositories([*former_packages.values(), *packages.values()], folder, ADDRESS)
            yield folder
        finally:
            subprocess.run(("gpgconf", "--kill", "all"), check=True)
            shutil.rmtree(home)


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
