"""The file system of Debian 12 for arm64 that the machines boot, made by mmdebstrap under emulation."""

import os
import shutil
import tempfile
from pathlib import Path

from tests.debian import mirror
from tests.graviton.foreign import run_foreign
from tests.graviton.kept import PreparationError, kept
from tests.graviton.qemu import Qemu

PACKAGES = (
    "systemd", "systemd-sysv", "udev", "dbus", "kmod", "procps", "python3", "qemu-guest-agent",
    "linux-image-cloud-arm64", "dmidecode",
)  # fmt: skip
OPTIONS = (
    "--mode=root",
    "--arch=arm64",
    "--variant=minbase",
    # It would look for a registered emulator by a program that isn't everywhere.
    "--skip=check/qemu",
    # The program that merges /usr takes minutes under emulation; nothing is left to do for it this way.
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    f"--include={','.join(PACKAGES)}",
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
)
# An initial RAM disk with the machine's own drivers alone is unpacked in a fifth of the time.
HOOK = """#!/bin/sh
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/initramfs-tools/hooks"
echo MODULES=list > "$1/etc/initramfs-tools/conf.d/modules"
cat > "$1/etc/initramfs-tools/hooks/virtio" <<'END'
#!/bin/sh
test "${1-}" = prereqs && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk ext4
END
chmod 755 "$1/etc/initramfs-tools/hooks/virtio"
"""


def system(qemu: Qemu) -> Path:
    """The folder of the file system; made first (ten minutes) if need be. Raises PreparationError."""
    return kept("system", [OPTIONS, HOOK], lambda folder: _build(qemu, folder))


def _build(qemu: Qemu, folder: Path) -> None:
    if os.geteuid() != 0:
        raise PreparationError("building a Debian for arm64 needs root")
    if shutil.which("mmdebstrap") is None:
        raise PreparationError("no mmdebstrap here: apt-get install --no-install-recommends mmdebstrap")
    archive = mirror()
    with tempfile.TemporaryDirectory(prefix="graviton-agent-mmdebstrap.", dir=folder.parent) as temporary:
        hook = Path(temporary) / "hook"
        hook.write_text(HOOK)
        hook.chmod(0o755)
        run_foreign(
            qemu,
            ("mmdebstrap", *OPTIONS, f'--essential-hook={hook} "$1"', "bookworm", str(folder))
            + (() if archive is None else (archive,)),
            environment={**os.environ, "TMPDIR": temporary, "LC_ALL": "C.UTF-8"},
        )
    # An empty machine-id lets systemd give each machine one of its own.
    (folder / "etc/machine-id").write_text("")
