"""Makes signed apt and dnf repositories of the built packages: plain folders for a web server or a bucket.

The key is the user's, in his own key ring, and named by its id; of it the public half alone gets into a
folder.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from graviton_packages.target import ARCHITECTURES

SUITE = "stable"
COMPONENT = "main"
KEY_NAME = "graviton-agent"


class RepositoryError(Exception):
    """A repository can't be made; the message says what was run, and what it printed."""


def make_repositories(packages: Sequence[Path], folder: Path, key: str) -> None:
    """Makes both repositories anew in a folder, `apt` and `dnf`. Raises RepositoryError.

    Args:
        packages: debs and rpms.
        folder: what is there of former ones is replaced.
        key: the id or the address of a GPG key that the user can sign with.
    """
    fingerprint = _fingerprint(key)
    for name in ("apt", "dnf"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    armoured = _run("gpg", "--batch", "--armor", "--export", fingerprint)
    binary = _run("gpg", "--batch", "--export", fingerprint)
    (folder / "apt" / f"{KEY_NAME}.gpg").write_bytes(binary)
    (folder / "dnf" / f"RPM-GPG-KEY-{KEY_NAME}").write_bytes(armoured)
    _make_apt([path for path in packages if path.suffix == ".deb"], folder / "apt", fingerprint)
    _make_dnf([path for path in packages if path.suffix == ".rpm"], folder / "dnf", fingerprint)


def _fingerprint(key: str) -> str:
    listed = _run("gpg", "--batch", "--with-colons", "--list-secret-keys", key).decode()
    found = [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]
    if not found:
        raise RepositoryError(f"gpg knows no secret key {key}")
    return found[0]


def _make_apt(debs: Sequence[Path], folder: Path, fingerprint: str) -> None:
    configuration = folder / "conf"
    configuration.mkdir()
    (configuration / "distributions").write_text(
        f"Origin: graviton-agent\nLabel: graviton-agent\nCodename: {SUITE}\nSuite: {SUITE}\n"
        f"Architectures: {' '.join(architecture.debian for architecture in ARCHITECTURES)}\n"
        f"Components: {COMPONENT}\nSignWith: {fingerprint}\n"
    )
    for deb in debs:
        _run("reprepro", "--basedir", str(folder), "--silent", "includedeb", SUITE, str(deb))
    # What reprepro keeps for itself.
    for name in ("conf", "db"):
        shutil.rmtree(folder / name)


def _make_dnf(rpms: Sequence[Path], folder: Path, fingerprint: str) -> None:
    for rpm in rpms:
        shutil.copy(rpm, folder)
        _run("rpmsign", "--define", f"_gpg_name {fingerprint}", "--addsign", str(folder / rpm.name))
    _run("createrepo_c", "--quiet", "--general-compress-type=gz", str(folder))
    _run("gpg", "--batch", "--yes", "--local-user", fingerprint, "--armor", "--detach-sign",
         str(folder / "repodata" / "repomd.xml"))  # fmt: skip


def _run(*command: str) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise RepositoryError(f"there is no {command[0]} here: packaging/install-tools installs it") from None
    if done.returncode:
        raise RepositoryError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
