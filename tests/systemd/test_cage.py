"""The cage, with hostile interpreters: what they try comes to nothing, and torch sees no difference."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graviton_agent
from graviton_agent.calibration.launcher import WORKER
from graviton_agent.units.bus import Bus
from graviton_agent.units.cage import Cage
from graviton_agent.units.identity import PROCESS_FACTS, Observer, observe
from graviton_agent.units.interpreter import Interpreter
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

AGENT = Path(graviton_agent.__file__).resolve().parent
READ_SECONDS = 30

# Each tells on stdout what came of it, as JSON.
HOSTILE = """
import ctypes, json, os, socket, subprocess, sys, time

def attempt(action):
    try:
        return str(action() or "done")
    except OSError as error:
        return type(error).__name__

def connect(address, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.settimeout(2)
        made.connect(address)

def write(path):
    with open(path, "w") as file:
        file.write("x")

def writable_folders():
    found = []
    for path, folders, _ in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(path, name) not in ("/proc", "/sys")]
        if os.access(path, os.W_OK):
            found.append(path)
            folders[:] = []
    return found

def told():
    capabilities = open("/proc/self/status").read()
    return {
        "user": os.getuid(),
        "groups": sorted(os.getgroups()),
        "write /etc/passwd": attempt(lambda: write("/etc/passwd")),
        "write beside the program": attempt(lambda: write("/opt/app/new")),
        "write own home": attempt(lambda: write("/home/app/new")),
        "write /run": attempt(lambda: write("/run/new")),
        "write /var/tmp": attempt(lambda: write("/var/tmp/new")),
        "writable folders": writable_folders(),
        "read root's file": attempt(lambda: open("/root/secret").read()),
        "read /etc/shadow": attempt(lambda: open("/etc/shadow").read()),
        "read PID 1": attempt(lambda: open("/proc/1/environ").read()),
        "network": attempt(lambda: connect(("127.0.0.1", 7777))),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "D-Bus": attempt(lambda: connect("/run/dbus/system_bus_socket", socket.AF_UNIX)),
        "abstract socket": attempt(lambda: connect("\\0listener", socket.AF_UNIX)),
        "user manager": attempt(lambda: os.listdir("/run/user")),
        "kill the agent": attempt(lambda: os.kill(1, 9)),
        "become root": attempt(lambda: os.setuid(0)),
        "setuid program": subprocess.check_output(["/opt/app/suid", "-u"], text=True).strip(),
        "no new privileges": "NoNewPrivs:\\t1" in capabilities,
        "capabilities": sorted({line.split()[1] for line in capabilities.splitlines() if line[:3] == "Cap"}),
        "temporary": os.listdir("/tmp"),
        "core": __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE),
        "oom": open("/proc/self/oom_score_adj").read().strip(),
    }
"""
TELL_ALL = HOSTILE + "print(json.dumps(told()), flush=True)\n"
OUTLIVE = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in range(3):
            os.close(descriptor)
        open("/dev/shm/name", "w")
        time.sleep(3600)
    os._exit(0)
print("left", flush=True)
"""
FORKS = """
import os, time
children = 0
for _ in range(1000):
    try:
        if os.fork() == 0:
            time.sleep(3600)
    except OSError:
        break
    children += 1
print(children, flush=True)
time.sleep(3600)
"""

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
Nice=3
NUMAPolicy=local
ExecStart=sleep infinity
""",
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
InaccessiblePaths=/srv/jail
ExecStart=sleep infinity
""",
}


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    with boot(release, bind=[(AGENT, str(AGENT))]) as container:
        container.run("useradd", "--system", "--create-home", "app")
        container.run("usermod", "--append", "--groups", "video", "app")
        container.write("/root/secret", "secret", mode=0o600)
        container.run("cp", "/usr/bin/id", "/opt/suid")
        container.run("sh", "-c", "mkdir -p /opt/app /srv/models /srv/jail; mv /opt/suid /opt/app/suid")
        container.run("chmod", "4755", "/opt/app/suid")
        container.run("chown", "app:app", "/opt/app")
        container.add_units(UNITS)
        yield container


def read(descriptor: int) -> str:
    """What comes until the end."""
    received = b""
    while piece := os.read(descriptor, 65536):
        received += piece
    return received.decode()


def run_in_cage(unit: str, program: str, *, arguments: tuple[str, ...] = ()) -> tuple[str, str, int | None]:
    """What a program prints in the cage of a unit, and its status."""
    with Bus.connect() as bus, Cage(bus, unit, Interpreter("/usr/bin/python3")) as cage:
        child = cage.launch(("/usr/bin/python3", *arguments, "-c", program), {"PATH": "/usr/bin:/bin"})
        output, noise = read(child.answers), read(child.noise)
        status = child.wait(READ_SECONDS)
        child.close()
        return output, noise, status


Told = dict[str, Any]


@pytest.fixture(scope="module")
def listening(container: RebootableContainer) -> Iterator[RebootableContainer]:
    """The machine with programs outside the cage that would hear a hostile interpreter."""
    program = """
import socket, time
made = [socket.socket(), socket.socket(socket.AF_UNIX)]
made[0].bind(("127.0.0.1", 7777)); made[1].bind("\\0listener")
for one in made: one.listen()
open("/run/ready", "w").close(); time.sleep(3600)
"""
    container.run("systemd-run", "--quiet", "--unit=listeners", "python3", "-c", program)
    container.run("sh", "-c", "until test -e /run/ready; do sleep 0.01; done")
    yield container
    container.systemctl("stop", "listeners.service")


@pytest.fixture(scope="module")
def told(listening: RebootableContainer) -> Told:
    """What a hostile interpreter of app.service achieves."""
    output, noise, _ = listening.call(run_in_cage, "app.service", TELL_ALL)
    assert noise == ""
    found: Told = json.loads(output)
    return found


def test_without_the_cage_the_same_program_achieves_a_lot(listening: RebootableContainer) -> None:
    options = ("--quiet", "--wait", "--pipe", "--property=User=app", "--property=WorkingDirectory=/opt/app")
    outside = json.loads(listening.run("systemd-run", *options, "python3", "-c", TELL_ALL))
    listening.run("rm", "/var/tmp/new")
    achieved = ("write beside the program", "write own home", "network", "D-Bus", "abstract socket")
    assert {name: outside[name] for name in achieved} == dict.fromkeys(achieved, "done")
    assert outside["setuid program"] == "0"
    assert "/home/app" in outside["writable folders"]


def test_it_runs_as_the_units_user(container: RebootableContainer, told: Told) -> None:
    assert told["user"] == int(container.run("id", "-u", "app"))
    assert int(container.run("getent", "group", "video").split(":")[2]) in list(told["groups"])


@pytest.mark.parametrize("where", ["/etc/passwd", "beside the program", "own home", "/run"])
def test_it_can_not_write(told: Told, where: str) -> None:
    assert told[f"write {where}"] in {"OSError", "PermissionError"}


def test_what_it_writes_to_temporary_folders_is_its_own_and_goes(
    container: RebootableContainer, told: Told
) -> None:
    assert told["write /var/tmp"] == "done"
    assert told["temporary"] == []
    assert container.run("find", "/var/tmp", "/tmp", "/dev/shm", "-name", "new", "-o", "-name", "name") == ""


def test_no_other_folder_is_writable(told: Told) -> None:
    assert set(told["writable folders"]) <= {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"}


@pytest.mark.parametrize("what", ["root's file", "/etc/shadow", "PID 1"])
def test_it_can_not_read_what_is_roots(told: Told, what: str) -> None:
    assert told[f"read {what}"] == "PermissionError"


def test_it_has_no_network(told: Told) -> None:
    assert told["network"] == "ConnectionRefusedError"
    assert told["interfaces"] == ["lo"]


@pytest.mark.parametrize("what", ["D-Bus", "abstract socket"])
def test_it_reaches_nobody_who_could_act_for_it(told: Told, what: str) -> None:
    assert told[what] in {"PermissionError", "ConnectionRefusedError", "FileNotFoundError"}


def test_it_gains_no_rights(told: Told) -> None:
    assert told["no new privileges"] is True
    assert told["capabilities"] == ["0000000000000000"]
    assert told["become root"] == "PermissionError"
    assert told["setuid program"] == str(told["user"])
    assert told["kill the agent"] == "PermissionError"


def test_it_leaves_no_core_and_is_the_first_to_go_when_memory_is_short(told: Told) -> None:
    assert told["core"] == [0, 0]
    assert told["oom"] == "1000"


def test_what_it_leaves_behind_ends_with_it(container: RebootableContainer) -> None:
    output, _, status = container.call(run_in_cage, "app.service", OUTLIVE)
    assert (output, status) == ("left\n", 0)
    user = container.run("id", "-u", "app").strip()
    owners = container.run("sh", "-c", "stat --format=%u /proc/[0-9]* 2>/dev/null || true").split()
    assert user not in owners


def test_a_thousand_forks_end_with_it(container: RebootableContainer) -> None:
    def fork_and_end() -> tuple[int, int | None]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3")) as cage:
            child = cage.launch(("/usr/bin/python3", "-c", FORKS), {})
            forked = int(os.read(child.answers, 100))
            child.signal(signal.SIGKILL)
            status = child.wait(READ_SECONDS)
            child.close()
            return forked, status

    forked, status = container.call(fork_and_end)
    assert forked <= 1000
    assert status == -signal.SIGKILL
    user = container.run("id", "-u", "app").strip()
    assert user not in container.run("sh", "-c", "stat --format=%u /proc/[0-9]* 2>/dev/null || true").split()


def test_its_life_is_bounded(container: RebootableContainer) -> None:
    def wait_for_its_end() -> tuple[int | None, bool]:
        with (
            Bus.connect() as bus,
            Cage(bus, "app.service", Interpreter("/usr/bin/python3"), life_seconds=1) as cage,
        ):
            child = cage.launch(("/usr/bin/python3", "-c", "import time; time.sleep(3600)"), {})
            early = child.wait(0)
            return child.wait(READ_SECONDS), early is None

    assert container.call(wait_for_its_end) == (-signal.SIGKILL, True)


def test_all_end_with_the_cage_and_nothing_is_left_in_systemd(container: RebootableContainer) -> None:
    def leave() -> None:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3")) as cage:
            for _ in range(2):
                cage.launch(("/usr/bin/python3", "-c", "import time; time.sleep(3600)"), {})

    container.call(leave)
    # Stopping takes a moment, which nobody waits for.
    container.run("systemd-run", "--quiet", "--wait", "--property=After=system.slice", "sleep", "0.5")
    patterns = ("graviton-agent-trial*", "*graviton_agent_*.slice")
    assert container.systemctl("list-units", "--all", "--plain", "--no-legend", *patterns) == ""
    assert "Failed with result 'signal'" not in container.journal()


def test_a_worker_stands_still_and_goes_on(container: RebootableContainer) -> None:
    def states() -> list[str]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3")) as cage:
            child = cage.launch(
                ("/usr/bin/python3", "-c", "import os; print(os.getpid(), flush=True); input()"), {}
            )
            pid = int(os.read(child.answers, 100))
            found = []
            for number in (signal.SIGSTOP, signal.SIGCONT):
                child.signal(number)
                time.sleep(0.1)
                found.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
            return found

    assert container.call(states) == ["T", "S"]


def test_the_environment_is_exactly_as_given_and_shown_to_nobody(container: RebootableContainer) -> None:
    given = {"A": "b c", "SECRET": "x\"y'z$HOME\\n\n", "PATH": "/opt/bin"}

    def ask() -> tuple[str, str]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3")) as cage:
            program = "import json, os; print(json.dumps(dict(os.environ)), flush=True); input()"
            child = cage.launch(("/usr/bin/python3", "-I", "-c", program), given)
            told = os.read(child.answers, 65536).decode()
            shown = os.popen(f"systemctl show {child.name}; systemctl cat {child.name}").read()  # noqa: S605
            return told, shown

    told, shown = container.call(ask)
    seen = json.loads(told)
    assert {name: seen[name] for name in given} == given
    assert "LANG" not in seen
    assert "graviton-agent-trial" in shown
    assert 'x"y' not in shown
    assert "SECRET" not in shown


def test_the_units_limits_hold_for_the_trial(container: RebootableContainer) -> None:
    def ask() -> dict[str, str]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3")) as cage:
            child = cage.launch(("/usr/bin/python3", "-c", "input()"), {})
            found = {}
            for key in ("MemoryMax", "MemoryHigh", "CPUAffinity", "Nice", "NUMAPolicy", "WorkingDirectory"):
                found[key] = os.popen(f"systemctl show --value -p {key} {child.name}").read().strip()  # noqa: S605
            slice_name = os.popen(f"systemctl show --value -p Slice {child.name}").read().strip()  # noqa: S605
            for key in ("CPUQuotaPerSecUSec", "AllowedCPUs", "TasksMax"):
                found[key] = os.popen(f"systemctl show --value -p {key} {slice_name}").read().strip()  # noqa: S605
            found["parent"] = os.popen(f"systemctl show --value -p ControlGroup {slice_name}").read().strip()  # noqa: S605
            return found

    found = container.call(ask)
    assert found.pop("parent").startswith("/system.slice/system-graviton_agent_")
    assert found == {
        "MemoryMax": str(1 << 30),
        "MemoryHigh": str(900 << 20),
        "CPUAffinity": "0",
        "Nice": "3",
        "NUMAPolicy": "local",
        "WorkingDirectory": "!/opt/app",
        "CPUQuotaPerSecUSec": "1.500000s",
        "AllowedCPUs": "0",
        "TasksMax": "8192",
    }


def test_what_limits_the_unit_is_seen_in_the_cage_as_in_the_unit(container: RebootableContainer) -> None:
    def see() -> dict[str, str]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3")) as cage:
            return cage.observe(PROCESS_FACTS)

    container.systemctl("start", "app.service")
    pid = int(container.show("app.service", "MainPID"))
    container.run("sh", "-c", f"until readlink /proc/{pid}/exe | grep --quiet sleep; do sleep 0.02; done")
    inside = container.call(lambda: observe(PROCESS_FACTS, Observer(process=pid)))
    container.systemctl("stop", "app.service")
    assert container.call(see) == inside
    assert inside["cpus"] == "1"


@pytest.mark.parametrize("unit", ["root.service", "dynamic.service"])
def test_in_place_of_root_and_of_a_dynamic_user_somebody_without_rights_runs_it(
    container: RebootableContainer, unit: str
) -> None:
    output, noise, status = container.call(run_in_cage, unit, "import os; print(os.getuid(), os.getgid())")
    assert (noise, status) == ("", 0)
    user, group = map(int, output.split())
    assert 61184 <= user <= 65519
    assert 61184 <= group <= 65519


def test_a_running_units_dynamic_user_is_shared_and_its_state_keeps_its_owner(
    container: RebootableContainer,
) -> None:
    container.systemctl("start", "dynamic.service")
    owner = container.run("stat", "--format=%u", "/var/lib/private/dynamic").strip()
    output, _, _ = container.call(run_in_cage, "dynamic.service", "import os; print(os.getuid())")
    assert output.strip() == owner
    assert container.run("stat", "--format=%u", "/var/lib/private/dynamic").strip() == owner
    container.systemctl("stop", "dynamic.service")


def test_a_user_that_does_not_exist_is_said_in_words(container: RebootableContainer) -> None:
    with pytest.raises(OSError, match="its user is not known"):
        container.call(run_in_cage, "nobody.service", "")


def test_an_interpreter_that_does_not_exist_is_said_in_words(container: RebootableContainer) -> None:
    def launch() -> None:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3")) as cage:
            cage.launch(("/opt/none/python", "-c", ""), {})

    with pytest.raises(OSError, match="the program can't be run"):
        container.call(launch)


LOOK = """
import json, os
def read(path):
    try:
        return open(path).read()
    except OSError as error:
        return type(error).__name__
print(json.dumps({
    "cpu": read("/sys/devices/system/cpu/online"),
    "thp": read("/sys/kernel/mm/transparent_hugepage/enabled"),
    "cpuinfo": read("/proc/cpuinfo")[:200],
    "meminfo": read("/proc/meminfo")[:9],
    "devices": sorted(os.listdir("/dev")),
    "status": [line for line in read("/proc/self/status").splitlines() if line[:4] in ("Secc", "Cpus")],
    "limits": [line for line in read("/proc/self/limits").splitlines() if "core file" not in line],
    "models": read("/opt/models/model"),
    "mnt": os.path.ismount("/mnt"),
    "home": os.listdir("/home") if os.access("/home", os.R_OK) else None,
}))
"""


def seen_by_the_unit(container: RebootableContainer, name: str) -> Told:
    """What a process sees under the unit's own directives, without any cage."""
    unit = UNITS[name].replace("ExecStart=sleep infinity", "Type=oneshot\nExecStart=python3 /opt/app/look.py")
    container.write("/opt/app/look.py", LOOK)
    container.add_units({f"look-{name}": unit})
    container.systemctl("start", f"look-{name}")
    found: Told = json.loads(
        container.run("journalctl", "--output=cat", "--identifier=python3", f"--unit=look-{name}")
    )
    return found


@pytest.mark.parametrize("unit", ["app.service", "hardened.service"])
def test_torch_sees_in_the_cage_what_it_sees_in_the_unit(container: RebootableContainer, unit: str) -> None:
    container.write("/srv/models/model", "weights")
    expected = seen_by_the_unit(container, unit)
    output, noise, _ = container.call(run_in_cage, unit, LOOK)
    assert noise == ""
    assert json.loads(output) == expected


def test_the_worker_comes_in_by_stdin_and_answers(container: RebootableContainer) -> None:
    def ask() -> tuple[str, str]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3", ("-s",))) as cage:
            child = cage.launch(("/usr/bin/python3", str(WORKER)), {})
            greeting = os.read(child.answers, 1000).decode()
            os.write(child.commands, b'{"command": "probe", "markers": []}\n')
            return greeting, os.read(child.answers, 1000).decode()

    greeting, answer = container.call(ask)
    assert f"graviton-agent worker {container.release.python}." in greeting
    assert json.loads(answer)["missing"] == "torch"


def test_a_unit_in_a_root_folder_of_its_own_is_entered(container: RebootableContainer) -> None:
    # The same system, seen as a root folder of its own.
    container.run("mount", "--bind", "/", "/srv/jail")
    try:
        output, noise, status = container.call(
            run_in_cage, "jail.service", "import os; print(os.listdir('/srv/jail'))"
        )
    finally:
        container.run("umount", "/srv/jail")
    assert (output, noise, status) == ("[]\n", "", 0)
