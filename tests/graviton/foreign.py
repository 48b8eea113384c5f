"""Runs programs of aarch64 as if this machine were one: in namespaces of their own, where QEMU stands in.

The kernel knows what to do with them by an entry of binfmt_misc, which since Linux 6.7 holds for a user
namespace alone. So nothing is registered on this machine, and nothing is left of it.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.graviton.kept import PreparationError
from tests.graviton.qemu import Qemu

# An ELF file of 64 bits for aarch64, whichever operating system its header names.
MAGIC = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
# F: the emulator is opened now, so that it is found from within a root folder too.
ENTRY = f":aarch64:M::{MAGIC}:{MASK}:%s:F"
IDS = "0 0 65536\n"
"""Every user is itself there: what is built has the owners that it shall have."""

OUTSIDE = (
    "setpriv", "--pdeathsig", "KILL", "unshare", "--user", "sh", "-c",
    'echo; read -r _; exec unshare --mount --pid --fork --kill-child --mount-proc --uts --ipc sh -c "$@"',
    "sh",
)  # fmt: skip
INSIDE = """
set -eu
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf %s "$1" > /proc/sys/fs/binfmt_misc/register
shift
exec "$@"
"""


def run_foreign(qemu: Qemu, command: Sequence[str], *, environment: Mapping[str, str]) -> None:
    """Runs a command in whose reach programs of aarch64 can be run; what it prints, this prints.

    Raises PreparationError.
    """
    process = subprocess.Popen(
        (*OUTSIDE, INSIDE, "sh", ENTRY % qemu.user, *command),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            # It has its namespace as soon as it says so; until the users are known in there, it is nobody.
            process.stdout.readline()
            for kind in ("uid", "gid"):
                Path(f"/proc/{process.pid}/{kind}_map").write_text(IDS)
            process.stdin.write(b"\n")
            process.stdin.close()
            for line in process.stdout:
                print(line.decode(errors="replace"), end="", flush=True)
        except OSError as error:
            process.kill()
            raise PreparationError(f"no user namespace can be made here: {error.strerror}") from None
        except BaseException:
            # All that it has started ends with it, before anybody removes what it works on.
            process.kill()
            process.wait()
            raise
    if process.returncode:
        raise PreparationError(f"{command[0]} ended with {process.returncode} (it needs Linux 6.7 or later)")
