"""The cage is like the unit: its user, its limits, its files and its environment; only shut."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.calibration.launcher import WORKER
from graviton_agent.units.bus import Bus
from graviton_agent.units.cage import Cage
from graviton_agent.units.identity import PROCESS_FACTS, Observer, observe
from graviton_agent.units.interpreter import Interpreter
from graviton_agent.units.manager import read_properties
from tests.systemd.caged import UNITS, boot_machine, run_in_cage
from tests.systemd.container import RebootableContainer
from tests.systemd.rootfs import Release

Told = dict[str, Any]


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    with boot_machine(release) as container:
        yield container


def test_a_worker_stands_still_and_goes_on(container: RebootableContainer) -> None:
    def states() -> list[str]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/usr/bin/python3")) as cage:
            child = cage.launch(("/usr/bin/python3", "-c", "print(flush=True); input()"), {})
            os.read(child.answers, 1)
            # It may know itself by another number.
            pid = read_properties(bus, child.name)["MainPID"][1]
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


def test_the_units_security_labels_are_its_workers(container: RebootableContainer) -> None:
    names = ("SELinuxContext", "AppArmorProfile", "SmackProcessLabel")

    def ask() -> list[tuple[bool, str]]:
        with Bus.connect() as bus, Cage(bus, "labelled.service", Interpreter("/usr/bin/python3")) as cage:
            child = cage.launch(("/usr/bin/python3", "-c", "input()"), {})
            properties = read_properties(bus, child.name)
            return [properties[name][1] for name in names]

    # None of the three is in force here, and systemd passes over them, as it does for the unit.
    context = (False, "system_u:system_r:app_t:s0")
    assert container.call(ask) == [context, (False, "app"), (True, "app")]


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
    "status": [line for line in read("/proc/self/status").splitlines() if line[:4] in ("Spec", "Cpus")],
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
