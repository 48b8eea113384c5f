"""A booted systemd in a container: commands and functions run inside it, and nothing of it outlives it."""

import ctypes
import os
import pickle
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from tests.systemd.missing import unified_cgroups
from tests.systemd.rootfs import Release, rootfs

P = ParamSpec("P")
T = TypeVar("T")

BOOT_SECONDS = 60
COMMAND_SECONDS = 120
STOP_SECONDS = 20

POWER_OFF = signal.SIGRTMIN + 4
REBOOT = signal.SIGRTMIN + 5

# Mount, UTS, IPC, network, PID and control group namespaces [linux/sched.h].
NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x40000000 | 0x20000000 | 0x02000000
LIBC = ctypes.CDLL(None, use_errno=True)

# Everything is mounted in a namespace of its own: the kernel takes it away with the last process in it. The
# upper folder is on a tmpfs, for an overlay can't write to another overlay, which /tmp may be. A rebooting
# container makes systemd-nspawn end with 133, so that whoever started it does so again [src/nspawn/nspawn.c].
START = """
set -eu
echo $$ > "$CGROUP/cgroup.procs"
mount -t tmpfs -o mode=755 tmpfs "$WORK/live"
cp --archive "$WORK/upper" "$WORK/live/upper"
cd "$WORK/live"
mkdir work root
mount -t overlay -o "lowerdir=$LOWER,upperdir=upper,workdir=work" overlay root
status=133
while test $status = 133; do
  status=0
  setpriv --pdeathsig KILL systemd-nspawn --directory="$WORK/live/root" "$@" || status=$?
done
exit $status
"""
DIE_TOGETHER = ("setpriv", "--pdeathsig", "KILL")
NSPAWN = (
    "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--link-journal=no",
    "--resolv-conf=off", "--timezone=off", "--private-network", "--notify-ready=yes",
)  # fmt: skip

_numbers = count(1)


class ContainerError(Exception):
    """The container did not do what was asked; the message holds what it printed."""


class Container:
    """A running container. `boot` makes one."""

    def __init__(self, release: Release, leader: int) -> None:
        self.release = release
        self.leader = leader
        """Its PID 1, by the number that this machine knows it by."""

    def path(self, path: str) -> Path:
        """Where a path of the container, also one in its /run, is found from outside."""
        return Path(f"/proc/{self.leader}/root") / path.lstrip("/")

    def write(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Writes a file, and the folders above it."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)

    def copy(self, source: Path, path: str) -> None:
        """Copies a file or a folder from this machine."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)

    def attempt(self, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Runs a command as the container's root, whatever its exit status."""
        return subprocess.run(
            ("nsenter", f"--target={self.leader}", "--all", *command),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            check=False,
        )

    def run(self, *command: str, stdin: str = "") -> str:
        """Runs a command as the container's root and returns what it printed. Raises ContainerError."""
        done = self.attempt(*command, stdin=stdin)
        if done.returncode:
            raise ContainerError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def systemctl(self, *arguments: str) -> str:
        """Runs systemctl. Raises ContainerError."""
        return self.run("systemctl", "--no-pager", *arguments)

    def show(self, unit: str, key: str) -> str:
        """One property of a unit, as systemctl prints it."""
        return self.systemctl("show", "--value", f"--property={key}", unit).rstrip("\n")

    def journal(self, unit: str | None = None) -> str:
        """The messages of a unit, or all, since the container booted."""
        self.run("journalctl", "--sync")
        only = () if unit is None else (f"--unit={unit}",)
        return self.run("journalctl", "--boot", "--no-pager", "--output=short-monotonic", *only)

    def add_units(self, units: Mapping[str, str]) -> None:
        """Writes unit files or drop-ins ("a.service.d/50-b.conf"), and has systemd read them."""
        for name, text in units.items():
            self.write(f"/etc/systemd/system/{name}", text)
        self.systemctl("daemon-reload")

    def call(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Calls a function of this process inside the container, as its root, and returns the result.

        A copy of this process enters the container, so the function sees its files, processes and network,
        and all the modules that are loaded here; others can't be loaded there.
        """
        receiver, sender = os.pipe()
        with warnings.catch_warnings():
            # Other tests may have left threads of torch, which the copy doesn't touch.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os.close(receiver)
            try:
                self._enter()
                # The PID namespace holds for children alone.
                inner = os.fork()
                if inner == 0:
                    signal.alarm(COMMAND_SECONDS)
                    _send_result(sender, lambda: function(*arguments, **options))
                else:
                    os.waitpid(inner, 0)
            except BaseException:  # noqa: BLE001 - a copy of the test run must end here, whatever happened
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(sender)
        with os.fdopen(receiver, "rb") as pipe:
            received = pipe.read()
        os.waitpid(child, 0)
        if not received:
            raise ContainerError(f"{function.__name__} ended without a result")
        result, error = pickle.loads(received)  # noqa: S301 - of our own copy
        if error is not None:
            raise error
        return cast(T, result)

    def _enter(self) -> None:
        root = os.open(f"/proc/{self.leader}/root", os.O_RDONLY | os.O_DIRECTORY)
        if LIBC.setns(os.pidfd_open(self.leader), NAMESPACES):
            raise OSError(ctypes.get_errno(), "setns")
        os.fchdir(root)
        os.chroot(".")
        os.chdir("/")


def _send_result(pipe: int, function: Callable[[], object]) -> None:
    result, error = None, None
    try:
        result = function()
    except Exception as failure:  # noqa: BLE001 - it is raised again on the other side
        failure.add_note(traceback.format_exc())
        error = failure
    with os.fdopen(pipe, "wb") as file:
        pickle.dump((result, error), file)


class _Machine:
    """The systemd-nspawn process, and what it says of its container."""

    def __init__(self, process: "subprocess.Popen[bytes]", messages: socket.socket, console: Path) -> None:
        self._process = process
        self._messages = messages
        self._console = console

    def wait_until_booted(self) -> int:
        """The container's PID 1, once its default target is reached. Raises ContainerError."""
        leader = 0
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            self._messages.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                message = self._messages.recv(4096).decode()
            except TimeoutError:
                raise ContainerError(f"no boot within {BOOT_SECONDS} s\n{self.output()}") from None
            fields = dict(line.partition("=")[::2] for line in message.splitlines())
            leader = int(fields.get("X_NSPAWN_LEADER_PID", leader))
            if fields.get("READY") == "1" and leader:
                return leader
            if "EXIT_STATUS" in fields or self._process.poll() is not None:
                raise ContainerError(f"the container ended\n{self.output()}")

    def discard_messages(self) -> None:
        """Takes what has arrived: after about ten messages that nobody takes, process 1 stands still."""
        self._messages.setblocking(False)
        with suppress(BlockingIOError):
            while self._messages.recv(4096):
                pass

    def output(self) -> str:
        """The end of what the console printed."""
        return self._console.read_text(errors="replace")[-4000:]


class RebootableContainer(Container):
    """A container that can be rebooted; its tmpfs folders are then empty, its disk stays."""

    def __init__(self, release: Release, machine: _Machine) -> None:
        super().__init__(release, machine.wait_until_booted())
        self._machine = machine

    def attempt(self, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Runs a command as the container's root, whatever its exit status."""
        # From systemd 256 on, each reload sends one.
        self._machine.discard_messages()
        return super().attempt(*command, stdin=stdin)

    def reboot(self) -> None:
        """Reboots, and returns when the default target is reached again."""
        os.kill(self.leader, REBOOT)
        self.leader = self._machine.wait_until_booted()

    def soft_reboot(self) -> None:
        """Starts all of user space anew under the same kernel, with /run as it is [systemd 254].

        Process 1 tells nobody outside that it is done. It stops all processes with a signal first, by which
        nsenter(1) would stop itself for good; so it is asked by calls, which may be ended and asked again.
        """
        before = self.call(_systemctl, "show", "--value", "--property=SoftRebootsCount")
        with suppress(ContainerError):
            self.call(_systemctl, "--no-block", "soft-reboot")
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._has_rebooted_since(before):
            if time.monotonic() > deadline:
                raise ContainerError(f"no soft reboot within {BOOT_SECONDS} s\n{self._machine.output()}")
            time.sleep(0.1)

    def _has_rebooted_since(self, before: str) -> bool:
        with suppress(ContainerError):
            count = self.call(_systemctl, "show", "--value", "--property=SoftRebootsCount")
            return (
                count not in {"", before} and self.call(_systemctl, "is-active", "default.target") == "active"
            )
        return False


def _systemctl(*arguments: str) -> str:
    """What systemctl prints, if it comes to that."""
    with suppress(subprocess.TimeoutExpired):
        command = ("/usr/bin/systemctl", *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    return ""


Booted = TypeVar("Booted", bound=RebootableContainer)


def boot(
    release: Release,
    *,
    files: Mapping[str, str] | None = None,
    bind: Sequence[tuple[Path, str]] = (),
    mask: Sequence[str] = (),
) -> AbstractContextManager[RebootableContainer]:
    """Boots a fresh container, and takes all of it away at the end; see `boot_as`."""
    return boot_as(RebootableContainer, release, files=files, bind=bind, mask=mask)


@contextmanager
def boot_as(
    kind: type[Booted],
    release: Release,
    *,
    files: Mapping[str, str] | None = None,
    bind: Sequence[tuple[Path, str]] = (),
    mask: Sequence[str] = (),
    more: str | None = None,
) -> Iterator[Booted]:
    """Boots a fresh container, and takes all of it away at the end.

    Args:
        kind: what the container is to be.
        release: which Debian.
        files: contents by absolute path, there before the container boots.
        bind: folders of this machine, and where the container sees them, read-only.
        mask: units that can't start.
        more: a package that its file system has besides.
    """
    name = f"graviton-agent-{os.getpid()}-{next(_numbers)}"
    lower = rootfs(release, more)
    mount = unified_cgroups()
    assert mount is not None
    cgroup = mount / name
    with tempfile.TemporaryDirectory(prefix=f"{name}.") as folder:
        work = Path(folder)
        (work / "live").mkdir()
        _prepare(work / "upper", files or {}, mask)
        console = work / "console"
        cgroup.mkdir()
        messages = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with messages, console.open("wb") as output:
            messages.bind(str(work / "notify"))
            options = (*NSPAWN, f"--machine={name}", *(f"--bind-ro={source}:{path}" for source, path in bind))
            process = subprocess.Popen(
                (*DIE_TOGETHER, "unshare", "--mount", "sh", "-c", START, "sh", *options),
                env={
                    "PATH": os.environ["PATH"],
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    "NOTIFY_SOCKET": str(work / "notify"),
                    "CGROUP": str(cgroup),
                    "WORK": folder,
                    "LOWER": str(lower),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            leader = 0
            try:
                container = kind(release, _Machine(process, messages, console))
                leader = container.leader
                yield container
                leader = container.leader
            finally:
                _stop(process, leader, cgroup)


def _prepare(upper: Path, files: Mapping[str, str], mask: Sequence[str]) -> None:
    units = upper / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in mask:
        (units / unit).symlink_to("/dev/null")
    for path, content in files.items():
        target = upper / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    for found in (upper, *upper.rglob("*")):
        if found.is_dir():
            found.chmod(0o755)


def _stop(process: "subprocess.Popen[bytes]", leader: int, cgroup: Path) -> None:
    if leader:
        try:
            os.kill(leader, POWER_OFF)
            process.wait(STOP_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    (cgroup / "cgroup.kill").write_text("1")
    process.kill()
    process.wait()
    deadline = time.monotonic() + STOP_SECONDS
    while "populated 1" in (cgroup / "cgroup.events").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    # systemd-nspawn makes the same folder in the named hierarchy, on a machine that has one beside.
    for group in (cgroup, cgroup.parents[1] / "systemd" / cgroup.name):
        for folder, _, _ in os.walk(group, topdown=False):
            Path(folder).rmdir()
