"""A hostile interpreter in the cage: whatever it tries to reach, to change or to gain, it doesn't."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.calibration.launcher import WORKER
from graviton_agent.units.bus import Bus
from graviton_agent.units.cage import Cage
from graviton_agent.units.interpreter import Interpreter
from tests.systemd import hostile
from tests.systemd.caged import READ_SECONDS, boot_machine, read
from tests.systemd.container import RebootableContainer
from tests.systemd.hostile import DONE
from tests.systemd.rootfs import Release

HOSTILE = Path(__file__).with_name("hostile.py").read_text()
EVIL = "/opt/app/evil"
UNIT = "served.service"
POSSIBLE_OUTSIDE = (
    *(("write", what) for what in hostile.WRITING if what.startswith(("the u", "the p", "ReadWrite"))),
    *(("reach", what) for what in hostile.REACHING),
    *(("touch", what) for what in hostile.TOUCHING),
    *(("signal", what) for what in hostile.SIGNALLING),
)
"""Each shows that what the cage refuses is there, and would be granted to the unit's user."""

Told = dict[str, Any]


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    """The machine with the service that the interpreter attacks."""
    with boot_machine(release) as container:
        container.write(EVIL, f"#!/usr/bin/python3\n{HOSTILE}", mode=0o755)
        container.run("chown", "app:app", EVIL)
        container.write("/srv/of-a-group", "weights", mode=0o640)
        container.run("chown", "root:disk", "/srv/of-a-group")
        container.systemctl("start", UNIT)
        yield container


def ask(container: RebootableContainer, unit: str) -> Told:
    """What the service user's own interpreter achieves in the cage of a unit."""
    environment = {
        "PATH": "/usr/bin:/bin", "PROCESS": container.show(UNIT, "MainPID"), "HOME": "/home/app"
    }  # fmt: skip

    def launch() -> tuple[str, str]:
        with Bus.connect() as bus, Cage(bus, unit, Interpreter(EVIL)) as cage:
            child = cage.launch((EVIL, str(WORKER)), environment)
            output, noise = read(child.answers), read(child.noise)
            child.wait(READ_SECONDS)
            child.close()
            return output, noise

    output, noise = container.call(launch)
    assert noise == ""
    found: Told = json.loads(output)
    return found


@pytest.fixture(scope="module")
def outside(container: RebootableContainer) -> Told:
    """What the same program achieves as the same user without the cage."""
    process = container.show(UNIT, "MainPID")
    options = ("--quiet", "--wait", "--pipe", "--property=User=app", "--property=SupplementaryGroups=disk")
    told: Told = json.loads(
        container.run("systemd-run", *options, f"--setenv=PROCESS={process}", "--setenv=HOME=/home/app", EVIL)
    )
    return told


@pytest.fixture(scope="module")
def told(container: RebootableContainer, outside: Told) -> Told:
    """What it achieves in the cage, after all that it has achieved outside."""
    assert outside
    return ask(container, UNIT)


@pytest.mark.parametrize(("group", "what"), POSSIBLE_OUTSIDE)
def test_without_the_cage_the_user_can(outside: Told, group: str, what: str) -> None:
    assert outside[group][what] == DONE


@pytest.mark.parametrize("what", hostile.WRITING)
def test_it_can_not_write(told: Told, what: str) -> None:
    assert told["write"][what] != DONE


def test_no_folder_is_writable_but_its_own_temporary_ones(told: Told) -> None:
    assert set(told["writable folders"]) <= {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"}


def test_nothing_in_sys_is_writable_but_what_tells_it_of_its_own_memory(told: Told) -> None:
    # systemd 257 lets each service ask to be told when its memory gets short.
    assert [
        path for path in told["writable controls"] if not re.search(r"-trial-.*/memory.pressure$", path)
    ] == []


def test_it_can_not_fill_a_disk(told: Told) -> None:
    assert set(told["fill"].values()) == {"No space left on device"}


@pytest.mark.parametrize("what", hostile.READING)
def test_it_can_not_read(told: Told, what: str) -> None:
    assert told["read"][what] == "Permission denied"


@pytest.mark.parametrize("what", hostile.REACHING)
def test_it_can_not_reach(told: Told, what: str) -> None:
    assert told["reach"][what] != DONE


def test_no_network_interface_but_its_own_loopback_is_there(told: Told) -> None:
    assert told["interfaces"] == ["lo"]


@pytest.mark.parametrize("what", hostile.TOUCHING)
def test_of_the_units_own_process_it_can_not_touch(told: Told, what: str) -> None:
    assert told["touch"][what] != DONE


@pytest.mark.parametrize("what", hostile.SIGNALLING)
def test_the_units_own_process_is_out_of_reach_where_systemd_has_pid_namespaces(
    container: RebootableContainer, told: Told, what: str
) -> None:
    # Before that, processes of one user can send each other signals, and the cage has no way to forbid it.
    has_namespaces = container.release.systemd >= 257
    assert told["signal"][what] == ("No such process" if has_namespaces else DONE)


def test_it_gains_no_rights(told: Told) -> None:
    assert told["no new privileges"] is True
    assert told["capabilities"] == ["0000000000000000"]
    assert told["setuid program"] == str(told["user"])
    assert DONE not in told["gain"].values()


def test_it_leaves_no_core_and_is_the_first_to_go_when_memory_is_short(told: Told) -> None:
    assert told["core"] == [0, 0]
    assert told["oom"] == "1000"


def test_it_runs_as_the_units_user_with_its_groups(container: RebootableContainer, told: Told) -> None:
    assert told["user"] == int(container.run("id", "-u", "app"))
    assert told["allowed"] == {"what one of its groups may read": DONE}


def test_after_all_that_the_service_serves_on(container: RebootableContainer, told: Told) -> None:
    assert told
    assert container.show(UNIT, "ActiveState") == "active"
    assert container.show(UNIT, "NRestarts") == "0"


@pytest.mark.parametrize("unit", ["root.service", "dynamic.service", "hardened.service"])
def test_other_kinds_of_units_have_cages_as_tight(container: RebootableContainer, unit: str) -> None:
    told = ask(container, unit)
    # For a dynamic user systemd 257 makes temporary folders of another size, but not on a disk either.
    assert {told["file systems"][folder] for folder in told["writable folders"]} <= {"tmpfs", "mqueue"}
    assert DONE not in {*told["write"].values(), *told["reach"].values(), *told["touch"].values()}
    assert told["capabilities"] == ["0000000000000000"]
