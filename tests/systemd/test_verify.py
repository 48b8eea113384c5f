"""Verifying units that really run."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from graviton_agent.root import Root
from graviton_agent.units.bus import Bus, add_match
from graviton_agent.units.held import unit_environment
from graviton_agent.units.manager import JOB_ENDS, manager_environment
from graviton_agent.units.unit import read_unit
from graviton_agent.units.verify import Expectation, Sync, Verification, verify
from tests.systemd.calls import restart_unit
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

NAME = "DNNL_DEFAULT_FPMATH_MODE"
OURS = "EnvironmentFile=-/run/graviton-agent/environment/%n.env"
RESTARTS = 20

UNITS = {
    "plain.service": f"[Service]\nUser=app\n{OURS}\nExecStart=sleep infinity\n",
    "later-file.service": f"[Service]\n{OURS}\nEnvironmentFile=/etc/later\nExecStart=sleep infinity\n",
    "dropped.service": f"[Service]\n{OURS}\nEnvironmentFile=\nExecStart=sleep infinity\n",
    "unset.service": f"[Service]\n{OURS}\nUnsetEnvironment={NAME}\nExecStart=sleep infinity\n",
    "script.service": f"[Service]\n{OURS}\nExecStart=sh -c 'unset {NAME}; exec sleep infinity'\n",
    "children.service": f"[Service]\n{OURS}\nExecStart=sh -c 'sleep 1d & env -u {NAME} sleep 2d & wait'\n",
    "often.service": f"[Unit]\nStartLimitIntervalSec=0\n[Service]\n{OURS}\nExecStart=sleep infinity\n",
}


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    with boot(release, files={"/etc/later": f"{NAME}=STRICT\n"}) as container:
        container.run("useradd", "--system", "app")
        container.add_units(UNITS)
        yield container


def write(container: RebootableContainer, unit: str, text: str) -> None:
    container.write(f"/run/graviton-agent/environment/{unit}.env", text)


def check(name: str, expected: dict[str, str], changed: datetime | None = None) -> Verification:
    with Bus.connect() as bus:
        unit = read_unit(bus, name)
        environment = unit_environment(unit, manager_environment(bus), Root())
        return verify(unit, Expectation(expected, changed), environment, [NAME], Root())


def wait_until(container: RebootableContainer, condition: str) -> None:
    container.run("sh", "-c", f"until {condition}; do sleep 0.01; done")


def started(container: RebootableContainer, unit: str) -> Verification:
    """Starts a unit with our value in its file."""
    write(container, unit, f"{NAME}=BF16\n")
    container.systemctl("restart", unit)
    return container.call(check, unit, {NAME: "BF16"})


def test_a_unit_that_was_started_with_our_file_is_in_sync(container: RebootableContainer) -> None:
    assert started(container, "plain.service").sync is Sync.IN_SYNC


def test_a_new_value_needs_a_restart_and_a_restart_brings_it(container: RebootableContainer) -> None:
    started(container, "plain.service")
    write(container, "plain.service", f"{NAME}=STRICT\n")
    found = container.call(check, "plain.service", {NAME: "STRICT"})
    assert [(key.expected, key.actual) for key in found.keys] == [("STRICT", "BF16")]
    assert found.sync is Sync.RESTART_NEEDED
    container.systemctl("restart", "plain.service")
    assert container.call(check, "plain.service", {NAME: "STRICT"}).sync is Sync.IN_SYNC


def test_a_withdrawn_value_needs_a_restart(container: RebootableContainer) -> None:
    started(container, "plain.service")
    assert container.call(check, "plain.service", {}).sync is Sync.RESTART_NEEDED


@pytest.mark.parametrize(
    ("unit", "actual", "source"),
    [
        ("later-file.service", "STRICT", "/etc/later"),
        ("unset.service", None, "UnsetEnvironment="),
        ("dropped.service", None, "the unit's own files, which drop the agent's EnvironmentFile="),
    ],
)
def test_who_overrides_our_value_is_named(
    container: RebootableContainer, unit: str, actual: str | None, source: str
) -> None:
    (key,) = started(container, unit).keys
    assert (key.sync, key.actual, key.source) == (Sync.OVERRIDDEN, actual, source)


def test_a_script_that_drops_our_value_is_suspected(container: RebootableContainer) -> None:
    write(container, "script.service", f"{NAME}=BF16\n")
    changed = datetime.fromtimestamp(
        container.path("/run/graviton-agent/environment/script.service.env").stat().st_mtime
    ).astimezone()
    container.systemctl("restart", "script.service")
    wait_until(container, "grep -qx sleep /proc/$(systemctl show --value -p MainPID script.service)/comm")
    found = container.call(check, "script.service", {NAME: "BF16"}, changed)
    assert found.sync is Sync.OVERRIDDEN
    assert found.keys[0].source == "what starts the program, such as a script"


def test_a_child_with_another_environment_is_found(container: RebootableContainer) -> None:
    write(container, "children.service", f"{NAME}=BF16\n")
    container.systemctl("restart", "children.service")
    wait_until(container, "test $(grep -lx sleep /proc/[0-9]*/comm | wc -l) -ge 2")
    found = container.call(check, "children.service", {NAME: "BF16"})
    assert found.sync is Sync.OVERRIDDEN
    assert container.run("cat", f"/proc/{found.keys[0].process}/cmdline") == "sleep\x002d\x00"


def test_a_stopped_unit_is_not_running(container: RebootableContainer) -> None:
    container.systemctl("stop", "plain.service")
    assert container.call(check, "plain.service", {NAME: "BF16"}).sync is Sync.NOT_RUNNING


def test_just_after_a_restart_systemds_own_environment_is_never_taken_for_the_units(
    container: RebootableContainer,
) -> None:
    def restart_and_look() -> list[Sync]:
        found = []
        with Bus.connect() as bus:
            bus.call(add_match(JOB_ENDS))
            bus.subscribe()
            environment = unit_environment(read_unit(bus, "often.service"), {}, Root())
            for _ in range(RESTARTS):
                (job,) = bus.call(restart_unit("often.service"))
                while (signal := bus.next_signal(30)) and signal.arguments[1] != job:
                    pass
                unit = read_unit(bus, "often.service")
                found.append(verify(unit, Expectation({NAME: "BF16"}, None), environment, [], Root()).sync)
        return found

    write(container, "often.service", f"{NAME}=BF16\n")
    assert container.call(restart_and_look) == [Sync.IN_SYNC] * RESTARTS
