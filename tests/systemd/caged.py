"""A machine with a service worth attacking, and short ways to run something in its cage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import graviton_agent
from graviton_agent.units.bus import Bus
from graviton_agent.units.cage import Cage
from graviton_agent.units.interpreter import Interpreter
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

AGENT = Path(graviton_agent.__file__).resolve().parent
PYTHON = "/usr/bin/python3"
READ_SECONDS = 30

UNITS = {
    "app.service": """
[Service]
User=app
SupplementaryGroups=video
WorkingDirectory=/opt/app
CPUQuota=150%
AllowedCPUs=0
CPUAffinity=0
MemoryMax=1G
MemoryHigh=900M
TasksMax=500
Nice=3
NUMAPolicy=local
ExecStart=sleep infinity
""",
    "served.service": """
[Service]
Type=notify
NotifyAccess=all
User=app
SupplementaryGroups=disk
Environment=SECRET=of-the-service
StateDirectory=app
CacheDirectory=app
LogsDirectory=app
RuntimeDirectory=app
RuntimeDirectoryMode=0777
ReadWritePaths=/srv/data
BindPaths=/srv/models:/opt/models
Delegate=yes
ExecStart=/usr/bin/python3 /opt/app/serve.py
""",
    "labelled.service": (
        "[Service]\nUser=app\nSELinuxContext=-system_u:system_r:app_t:s0\nAppArmorProfile=app\n"
        "SmackProcessLabel=-app\nExecStart=sleep infinity\n"
    ),
    "root.service": "[Service]\nExecStart=sleep infinity\n",
    "dynamic.service": "[Service]\nType=exec\nDynamicUser=yes\nStateDirectory=dynamic\nExecStart=sleep 1d\n",
    "nobody.service": "[Service]\nUser=never-made\nExecStart=sleep infinity\n",
    "jail.service": "[Service]\nUser=app\nRootDirectory=/srv/jail\nExecStart=/usr/bin/python3\n",
    "hardened.service": """
[Service]
User=app
ProtectHome=tmpfs
ProtectProc=invisible
ProcSubset=pid
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateDevices=yes
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service
SystemCallFilter=~@resources
SystemCallErrorNumber=EPERM
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
LockPersonality=yes
BindPaths=/srv/models:/opt/models
TemporaryFileSystem=/mnt
InaccessiblePaths=/srv/jail /run/lock
ExecStart=sleep infinity
""",
}

# The service: whoever hears it or is heard by it could act for a hostile interpreter outside the cage.
SERVE = """
import ctypes, os, socket, subprocess, time
made = []
for family, address in (
    (socket.AF_INET, ("127.0.0.1", 7777)), (socket.AF_UNIX, "\\0listener"),
    (socket.AF_UNIX, "/run/app/socket"), (socket.AF_UNIX, "/tmp/app.socket"),
    (socket.AF_UNIX, "/opt/app/socket"),
):
    made.append(socket.socket(family))
    made[-1].bind(address)
    made[-1].listen(50)
libc = ctypes.CDLL(None)
assert libc.shmget(0x5EED, 4096, 0o1600) != -1
assert libc.mq_open(b"/app", os.O_CREAT | os.O_RDWR, 0o600, None) != -1
open("/dev/shm/app", "w").close()
subprocess.run(["systemd-notify", "--ready"], check=True)
time.sleep(3600)
"""


@contextmanager
def boot_machine(release: Release) -> Iterator[RebootableContainer]:
    """Boots a machine with the units above; none of them is started."""
    with boot(release, bind=[(AGENT, str(AGENT))]) as container:
        container.run("useradd", "--system", "--create-home", "app")
        container.run("usermod", "--append", "--groups", "video", "app")
        container.write("/root/secret", "secret", mode=0o600)
        container.run("mkdir", "-p", "/opt/app", "/srv/models", "/srv/jail", "/srv/data")
        container.run("cp", "/usr/bin/id", "/opt/app/suid")
        container.run("chmod", "4755", "/opt/app/suid")
        container.write("/opt/app/serve.py", SERVE)
        container.run("chown", "app:app", "/opt/app", "/srv/data", "/srv/models")
        container.add_units(UNITS)
        yield container


def read(descriptor: int) -> str:
    """What comes until the end."""
    received = b""
    while piece := os.read(descriptor, 65536):
        received += piece
    return received.decode()


def run_in_cage(
    unit: str, program: str, *arguments: str, python: str = PYTHON
) -> tuple[str, str, int | None]:
    """What a program prints in the cage of a unit, and its status."""
    with Bus.connect() as bus, Cage(bus, unit, Interpreter(python)) as cage:
        child = cage.launch((python, "-c", program, *arguments), {"PATH": "/usr/bin:/bin"})
        output, noise = read(child.answers), read(child.noise)
        status = child.wait(READ_SECONDS)
        child.close()
        return output, noise, status
