"""An emulated machine: booted from a disk of its own, spoken to, and gone without a trace at the end."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from tests.graviton.guest import PORT, Finished, Guest, GuestError
from tests.graviton.image import Image
from tests.graviton.instance import Instance, PlainVirtualMachine
from tests.graviton.kept import run
from tests.graviton.qemu import Qemu

BOOT_SECONDS = 3600.0
"""They are bounds for what hangs, and no claims: on a busy machine everything takes ten times as long."""
COMMAND_SECONDS = 3600.0
STOP_SECONDS = 900.0
LOOK_SECONDS = 5.0
"""Between two looks whether the emulator still lives, while it boots."""
PAUSE_SECONDS = 3.0
"""Between two looks whether something has come about, at least."""
CPUS = 2
"""As few as let a process be kept from one of them: each takes its share of the emulator's one thread."""
MEMORY = "3G"
# What would come in between at boot, or later.
IDLE = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "e2scrub_reap.service", "systemd-networkd-wait-online.service", "systemd-timesyncd.service",
)  # fmt: skip

# The emulation of pointer authentication is slow, and nothing here depends on it.
KERNEL = " ".join(
    ("root=/dev/vda rw console=ttyAMA0 quiet arm64.nopauth", *(f"systemd.mask={unit}" for unit in IDLE))
)

DIE_TOGETHER = ("setpriv", "--pdeathsig", "KILL")
"""However this process ends, the machine ends with it."""


class Clock(Enum):
    """What a machine's time is."""

    INSTRUCTIONS = ("-accel", "tcg,thread=single,tb-size=512", "-icount", "shift=0,sleep=on")
    """One nanosecond for each instruction, and real time while it is idle: whatever else runs on the real
    machine, nothing in the emulated one seems slow. An instruction that computes more is worth more there."""
    REAL = ("-accel", "tcg,thread=multi,tb-size=512")
    """Real time, which passes 10 to 100 times too fast for what is computed."""


class Disk:
    """A disk that begins as the image, and keeps what is written over reboots. `new_disk` makes one."""

    def __init__(self, image: Image, overlay: Path) -> None:
        self.image = image
        self.overlay = overlay


@contextmanager
def new_disk(qemu: Qemu, image: Image) -> Iterator[Disk]:
    """A disk over the image, which nothing changes; it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="graviton-agent-disk.", dir=image.folder.parent) as folder:
        overlay = Path(folder) / "overlay.qcow2"
        create = [str(qemu.disks), "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.disk)]
        run([*create, str(overlay)], environment=qemu.system_environment)
        yield Disk(image, overlay)


class Machine:
    """A running machine. `boot` makes one."""

    def __init__(self, process: "subprocess.Popen[bytes]", guest: Guest, console: Path) -> None:
        self._process = process
        self._guest = guest
        self._console = console

    def attempt(self, *command: str, stdin: str = "", seconds: float = COMMAND_SECONDS) -> Finished:
        """Runs a command as root, whatever its exit status. Raises GuestError if it takes too long."""
        return self._guest.run(command, stdin.encode(), seconds)

    def run(self, *command: str, stdin: str = "", seconds: float = COMMAND_SECONDS) -> str:
        """Runs a command as root and returns what it printed. Raises GuestError."""
        done = self.attempt(*command, stdin=stdin, seconds=seconds)
        if done.status:
            raise GuestError(f"{' '.join(command)}: status {done.status}\n{done.output}{done.errors}")
        return done.output

    def sh(self, script: str, *, seconds: float = COMMAND_SECONDS) -> str:
        """Runs a line of shell as root and returns what it printed. Raises GuestError."""
        return self.run("sh", "-c", script, seconds=seconds)

    def wait_for(self, condition: str, *, seconds: float = COMMAND_SECONDS) -> None:
        """Waits until a line of shell succeeds. Raises GuestError."""
        deadline = time.monotonic() + seconds
        looked_at = time.monotonic()
        while self.attempt("sh", "-c", condition).status:
            if time.monotonic() > deadline:
                raise GuestError(f"not within {seconds:g} s: {condition}")
            # What is waited for has nine tenths of the machine's time.
            time.sleep(max(PAUSE_SECONDS, 9 * (time.monotonic() - looked_at)))
            looked_at = time.monotonic()

    def write(self, path: str, content: str, *, mode: int = 0o644) -> None:
        """Writes a file, and the folders above it."""
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "sh", path, f"{mode:o}", stdin=content)

    def read(self, path: str) -> str:
        """What is in a file. Raises GuestError."""
        return self.run("cat", path)

    def systemctl(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        """Runs systemctl. Raises GuestError."""
        return self.run("systemctl", "--no-pager", *arguments, seconds=seconds)

    def show(self, unit: str, key: str) -> str:
        """One property of a unit, as systemctl prints it."""
        return self.systemctl("show", "--value", f"--property={key}", unit).rstrip("\n")

    def journal(self, *units: str) -> str:
        """The messages of units (patterns), or all, since the machine booted."""
        self.run("journalctl", "--sync")
        only = [f"--unit={unit}" for unit in units]
        return self.run("journalctl", "--boot", "--no-pager", "--output=short-monotonic", *only)

    def add_units(self, units: Mapping[str, str]) -> None:
        """Writes unit files or drop-ins ("a.service.d/50-b.conf"), and has systemd read them."""
        for name, text in units.items():
            self.write(f"/etc/systemd/system/{name}", text)
        self.systemctl("daemon-reload")

    def shut_down(self) -> None:
        """Ends it as its operator would: what is on the disk is whole. Raises GuestError."""
        self.run("sync")
        self._guest.power_off()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise GuestError(f"it did not power off within {STOP_SECONDS:g} s\n{self.console()}") from None

    def console(self) -> str:
        """The end of what the machine printed."""
        return self._console.read_text(errors="replace")[-3000:]

    def wait_until_booted(self) -> None:
        """Returns when all that starts at boot has started. Raises GuestError."""
        deadline = time.monotonic() + BOOT_SECONDS
        self._guest.call()
        while not self._guest.has_answered(LOOK_SECONDS):
            if self._process.poll() is not None:
                raise GuestError(f"the emulator ended\n{self.console()}")
            if time.monotonic() > deadline:
                raise GuestError(f"no boot within {BOOT_SECONDS:g} s\n{self.console()}")
        self.attempt("systemctl", "is-system-running", "--wait", seconds=BOOT_SECONDS)


@contextmanager
def boot(
    qemu: Qemu,
    disk: Disk,
    instance: Instance | PlainVirtualMachine,
    *,
    clock: Clock = Clock.INSTRUCTIONS,
    cpus: int = CPUS,
    read_only: Sequence[Path] = (),
) -> Iterator[Machine]:
    """A machine that is booting; it is taken away at the end, as if by pulling its plug.

    Args:
        qemu: the emulator.
        disk: its only writable disk, /dev/vda.
        instance: what it claims to be.
        clock: what its time is.
        cpus: how many it has.
        read_only: more disks, /dev/vdb and so on.
    """
    with tempfile.TemporaryDirectory(prefix="graviton-agent-machine.") as folder:
        console, wire = Path(folder) / "console", Path(folder) / "guest"
        drives = [f"file={disk.overlay},format=qcow2,cache=unsafe"]
        drives += [f"file={path},format=raw,readonly=on" for path in read_only]
        command = (
            *DIE_TOGETHER, str(qemu.system), "-L", str(qemu.data), "-no-user-config", "-nodefaults",
            "-machine", "virt,gic-version=3", "-smp", str(cpus), "-m", MEMORY, *clock.value,
            *instance.options, "-bios", str(qemu.firmware),
            "-kernel", str(disk.image.kernel), "-initrd", str(disk.image.initrd),
            "-append", KERNEL,
            "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nic", "none",
            *(option for drive in drives for option in ("-drive", f"if=virtio,{drive}")),
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=guest,path={wire},server=on,wait=off",
            "-device", f"virtserialport,chardev=guest,name={PORT}",
        )  # fmt: skip
        with console.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **qemu.system_environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        guest = None
        try:
            guest = _connect(process, wire, console)
            yield Machine(process, guest, console)
        finally:
            if guest is not None:
                guest.close()
            process.kill()
            process.wait()


def _connect(process: "subprocess.Popen[bytes]", wire: Path, console: Path) -> Guest:
    """The machine's port, which is there as soon as the emulator runs."""
    while True:
        try:
            return Guest(wire)
        except OSError:
            if process.poll() is not None:
                raise GuestError(f"the emulator ended\n{console.read_text(errors='replace')}") from None
            time.sleep(0.05)
