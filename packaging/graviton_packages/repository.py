"""Makes signed apt and dnf repositories of the built packages: plain folders for a web server or a bucket.

The key is the user's, in his own key ring, and named by its id; of it the public half alone gets into a
folder.
"""

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

from graviton_packages.programs import BuildError, run
from graviton_packages.target import ARCHITECTURES

SUITE = "stable"
COMPONENT = "main"
KEY_NAME = "graviton-agent"
RELEASE = "APT::FTPArchive::Release"
"""The part of apt's configuration that says what is in a release file [apt-ftparchive(1)]."""


def make_repositories(packages: Sequence[Path], folder: Path, key: str) -> None:
    """Makes both repositories anew in a folder, `apt` and `dnf`. Raises BuildError.

    Args:
        packages: debs and rpms.
        folder: what is there of former ones is replaced.
        key: the id or the address of a GPG key that the user can sign with.
    """
    fingerprint = _fingerprint(key)
    for name in ("apt", "dnf"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    public = run("gpg", "--batch", "--armor", "--export", fingerprint)
    (folder / "apt" / f"{KEY_NAME}.asc").write_bytes(public)
    (folder / "dnf" / f"RPM-GPG-KEY-{KEY_NAME}").write_bytes(public)
    _make_apt([path for path in packages if path.suffix == ".deb"], folder / "apt", fingerprint)
    _make_dnf([path for path in packages if path.suffix == ".rpm"], folder / "dnf", fingerprint)


def _fingerprint(key: str) -> str:
    listed = run("gpg", "--batch", "--with-colons", "--list-secret-keys", key).decode()
    found = [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]
    if not found:
        raise BuildError(f"gpg knows no secret key {key}")
    return found[0]


def _make_apt(debs: Sequence[Path], folder: Path, fingerprint: str) -> None:
    # reprepro keeps the newest version of a package alone, and a fleet may have to go back to the one before.
    pool, suite = folder / "pool", folder / "dists" / SUITE
    pool.mkdir()
    for deb in debs:
        shutil.copy(deb, pool)
    for architecture in ARCHITECTURES:
        index = suite / COMPONENT / f"binary-{architecture.debian}"
        index.mkdir(parents=True)
        listed = run("apt-ftparchive", "--arch", architecture.debian, "packages", pool.name, folder=folder)
        (index / "Packages").write_bytes(listed)
        (index / "Packages.gz").write_bytes(gzip.compress(listed, mtime=0))
    fields = {
        "Origin": "graviton-agent", "Label": "graviton-agent", "Suite": SUITE, "Codename": SUITE,
        "Architectures": " ".join(architecture.debian for architecture in ARCHITECTURES),
        "Components": COMPONENT,
    }  # fmt: skip
    options = [part for name, value in fields.items() for part in ("-o", f"{RELEASE}::{name}={value}")]
    (suite / "Release").write_bytes(run("apt-ftparchive", *options, "release", str(suite)))
    for kind, name in (("--clearsign", "InRelease"), ("--detach-sign", "Release.gpg")):
        run("gpg", "--batch", "--local-user", fingerprint, "--armor", kind,
            "--output", str(suite / name), str(suite / "Release"))  # fmt: skip


def _make_dnf(rpms: Sequence[Path], folder: Path, fingerprint: str) -> None:
    # Debian's rpm looks for gpg2, which is a package of its own there.
    options = ("--define", f"__gpg {shutil.which('gpg')}", "--define", f"_gpg_name {fingerprint}")
    for rpm in rpms:
        shutil.copy(rpm, folder)
        run("rpmsign", *options, "--addsign", str(folder / rpm.name))
    run("createrepo_c", "--quiet", "--general-compress-type=gz", str(folder))
    run("gpg", "--batch", "--yes", "--local-user", fingerprint, "--armor", "--detach-sign",
         str(folder / "repodata" / "repomd.xml"))  # fmt: skip
