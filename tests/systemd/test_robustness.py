"""The daemon where something around it is broken: dead and full disks, hostile files, signals out of turn."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from jeepney.io.blocking import open_dbus_connection

from graviton_agent.installed import ENVIRONMENT, SERVICE, STATE
from graviton_agent.units.bus import BUS, Call
from tests.systemd.calls import forged
from tests.systemd.dead_disk import dead_disk
from tests.systemd.installed import AgentHost, boot_host
from tests.systemd.rootfs import Release
from tests.systemd.stand_in_calibration import PYTHON

SERVE = (
    "[Unit]\nStartLimitIntervalSec=0\n"
    f"[Service]\nType=exec\nExecStart={PYTHON} -c 'import time; time.sleep(3600)'\n"
)
APP, DEAD, THEIRS = "app.service", "dead.service", "theirs.service"
UNITS = {
    APP: SERVE,
    DEAD: f"{SERVE}EnvironmentFile=-/mnt/dead/env\n",
    THEIRS: f"{SERVE}EnvironmentFile=-/home/app/env\n",
}
CONFIGURATION = "[defaults]\ncalibrate = 'manual'\n" + "".join(f"[units.'{unit}']\n" for unit in UNITS)
SILENT = f"the files of {DEAD} don't answer, so nothing is given"
FULL = "No space left on device"


@pytest.fixture(scope="module")
def booted(release: Release) -> Iterator[AgentHost]:
    with boot_host(release, units=UNITS, configuration=CONFIGURATION) as host:
        # Fifty starts within a minute are no failure here.
        host.add_units({f"{SERVICE}.d/90-limit.conf": "[Unit]\nStartLimitIntervalSec=0\n"})
        host.run("mkdir", "-p", "/mnt/dead", "/home/app")
        host.systemctl("start", SERVICE)
        for unit in UNITS:
            host.calibrated(unit, "64")
        yield host


@pytest.fixture
def host(booted: AgentHost) -> AgentHost:
    """A host with an agent that is up, and with three units that have their values."""
    booted.systemctl("reset-failed")
    booted.systemctl("start", SERVICE)
    for unit in UNITS:
        booted.wait_for_file(unit)
    return booted


def main_pid(host: AgentHost) -> str:
    return host.show(SERVICE, "MainPID")


# Dead disks


def test_a_unit_on_a_dead_disk_holds_up_neither_ready_nor_the_others(host: AgentHost) -> None:
    host.systemctl("stop", SERVICE)
    with dead_disk(host, "/mnt/dead"):
        host.systemctl("start", SERVICE)
        # READY=1 has come; for the others their files have come before it.
        assert (host.has_file(APP), host.has_file(DEAD)) == (True, False)
        host.wait_for_status(SILENT)
        assert host.show(SERVICE, "NRestarts") == "0"
    host.wait_for_file(DEAD)


def test_a_disk_that_dies_later_costs_its_unit_its_file_and_no_other(host: AgentHost) -> None:
    with dead_disk(host, "/mnt/dead"):
        host.systemctl("reload", SERVICE)
        host.wait_for_file(DEAD, there=False)
        host.wait_for_status(SILENT)
        assert host.restarted(APP) == "64"
        # It goes on hearing of the others.
        host.calibrated(APP, "32")
        host.wait(f"grep --quiet =32 {ENVIRONMENT}/{APP}.env")
        host.calibrated(APP, "64")
        host.wait(f"grep --quiet =64 {ENVIRONMENT}/{APP}.env")
        assert f"{DEAD} gets nothing any more: its files don't answer" in host.journal(SERVICE)
    host.wait_for_file(DEAD)
    host.wait_for_status("measured values for 3 of 3 units")


def test_it_is_stopped_at_once_though_a_disk_is_dead(host: AgentHost) -> None:
    with dead_disk(host, "/mnt/dead"):
        host.systemctl("reload", SERVICE)
        host.systemctl("stop", SERVICE)
        assert host.show(SERVICE, "Result") == "success"


# Signals


def test_a_reload_right_after_ready_ends_nothing(host: AgentHost) -> None:
    for _ in range(5):
        host.systemctl("restart", SERVICE)
        before = main_pid(host)
        host.systemctl("kill", "--kill-whom=main", "--signal=HUP", SERVICE)
        host.systemctl("reload", SERVICE)
        host.wait(f"systemctl is-active --quiet {SERVICE}")
        assert main_pid(host) == before


def test_a_reload_before_ready_is_not_the_end_of_it(host: AgentHost) -> None:
    for pause in ("0", "0.01", "0.05", "0.1", "0.2"):
        host.systemctl("stop", SERVICE)
        host.systemctl("start", "--no-block", SERVICE)
        host.wait(f"test $(systemctl show --value --property=MainPID {SERVICE}) != 0")
        host.run("sleep", pause)
        host.systemctl("kill", "--kill-whom=main", "--signal=HUP", SERVICE)
        host.wait(f"systemctl is-active --quiet {SERVICE}")
        host.wait_for_file(APP)


@pytest.mark.parametrize("pause", ["0", "0.1", "0.3"])
def test_whenever_it_is_stopped_it_ends_well(host: AgentHost, pause: str) -> None:
    host.systemctl("restart", "--no-block", SERVICE)
    host.run("sleep", pause)
    host.systemctl("stop", SERVICE)
    assert host.show(SERVICE, "Result") == "success"


# What the user of a unit can write

HOSTILE = {
    "gigantic": "truncate --size=20G /home/app/env",
    "a million lines": "yes A=1 | head --lines=1000000 > /home/app/env",
    "a FIFO": "mkfifo /home/app/env",
    "a device": "ln --symbolic /dev/zero /home/app/env",
    "a folder": "mkdir /home/app/env",
    "a link to itself": "ln --symbolic env /home/app/env",
    "a process's memory": "ln --symbolic /proc/self/mem /home/app/env",
}
HARMLESS = {
    "binary": "head --bytes=5000 /dev/urandom > /home/app/env",
    "not UTF-8": r"printf 'A=\377\n' > /home/app/env",
    "not readable": "echo A=1 > /home/app/env; chmod 000 /home/app/env",
}


@pytest.mark.parametrize("kind", [*HOSTILE, *HARMLESS])
def test_whatever_a_units_user_puts_there_the_daemon_goes_on(host: AgentHost, kind: str) -> None:
    before = main_pid(host)
    host.run("sh", "-c", {**HOSTILE, **HARMLESS}[kind])
    try:
        host.systemctl("reload", SERVICE)
        assert host.has_file(APP)
        host.calibrated(APP, "32")
        host.wait(f"grep --quiet =32 {ENVIRONMENT}/{APP}.env")
        host.calibrated(APP, "64")
        host.wait(f"grep --quiet =64 {ENVIRONMENT}/{APP}.env")
        assert main_pid(host) == before
    finally:
        host.run("rm", "--recursive", "--force", "/home/app/env")
        host.systemctl("reload", SERVICE)


@pytest.mark.parametrize("kind", ["gigantic", "a FIFO", "a device", "a folder"])
def test_beside_what_can_not_be_read_nothing_is_given(host: AgentHost, kind: str) -> None:
    host.run("sh", "-c", HOSTILE[kind])
    try:
        host.wait_for_file(THEIRS, there=False)
        host.systemctl("reload", SERVICE)
        assert not host.has_file(THEIRS)
    finally:
        host.run("rm", "--recursive", "--force", "/home/app/env")
        host.systemctl("reload", SERVICE)


def test_a_file_that_changes_all_the_time_stalls_nothing(host: AgentHost) -> None:
    write = "while :; do echo A=$$ > /home/app/env; cat /home/app/env > /home/app/env; done"
    host.run("systemd-run", "--quiet", "--collect", "--unit=writer.service", "sh", "-c", write)
    before = main_pid(host)
    try:
        host.systemctl("reload", SERVICE)
        host.calibrated(APP, "32")
        host.wait(f"grep --quiet =32 {ENVIRONMENT}/{APP}.env")
    finally:
        host.systemctl("stop", "writer.service")
        host.run("rm", "--force", "/home/app/env")
        host.calibrated(APP, "64")
        host.systemctl("reload", SERVICE)
    assert main_pid(host) == before


# Full and read-only disks


@contextmanager
def small_disk(host: AgentHost, folder: str) -> Iterator[None]:
    """Puts a disk of a few pages with the same content over a folder, while the agent is stopped."""
    host.systemctl("stop", SERVICE)
    host.run("mkdir", "-p", "-m", "700", folder)
    host.run("sh", "-c", f"rm -rf /opt/copy; cp -a {folder} /opt/copy")
    host.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", folder)
    host.run("cp", "-a", "/opt/copy/.", folder)
    try:
        yield
    finally:
        host.systemctl("stop", SERVICE)
        host.run("umount", "--lazy", folder)


def fill(host: AgentHost, folder: str) -> None:
    host.attempt("sh", "-c", f"cat /dev/zero > {folder}/filling")


def test_where_run_is_full_it_says_so_and_goes_on(host: AgentHost) -> None:
    with small_disk(host, ENVIRONMENT):
        fill(host, ENVIRONMENT)
        host.systemctl("start", SERVICE)
        host.wait_for_status(FULL)
        assert host.show(SERVICE, "NRestarts") == "0"
        assert host.run("ls", "-A", ENVIRONMENT) == "filling\n"
        assert host.journal(SERVICE).count(FULL) <= 2
        host.run("rm", f"{ENVIRONMENT}/filling")
        host.systemctl("reload", SERVICE)
        host.wait_for_file(APP)


def test_where_run_is_full_what_is_in_place_and_stale_goes(host: AgentHost) -> None:
    with small_disk(host, ENVIRONMENT):
        host.systemctl("start", SERVICE)
        host.wait_for_file(APP)
        fill(host, ENVIRONMENT)
        host.calibrated(APP, "3" * 100)
        host.wait_for_file(APP, there=False)
        host.calibrated(APP, "64")


def test_where_run_is_read_only_it_says_so_and_goes_on(host: AgentHost) -> None:
    with small_disk(host, ENVIRONMENT):
        host.run("mount", "-o", "remount,ro", ENVIRONMENT)
        host.systemctl("start", SERVICE)
        host.wait_for_status("Read-only file system")
        assert host.show(SERVICE, "NRestarts") == "0"


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_where_results_can_not_be_written_units_still_have_theirs(host: AgentHost, kind: str) -> None:
    with small_disk(host, STATE):
        if kind == "full":
            fill(host, STATE)
        else:
            host.run("mount", "-o", "remount,ro", STATE)
        host.systemctl("start", SERVICE)
        assert host.has_file(APP)
        assert host.show(SERVICE, "NRestarts") == "0"


def test_where_a_new_configuration_can_not_be_kept_nothing_is_given_and_it_says_why(host: AgentHost) -> None:
    with small_disk(host, STATE):
        fill(host, STATE)
        host.systemctl("start", SERVICE)
        host.configure(f"{CONFIGURATION}# Another one.\n", reload=False)
        host.wait_for_file(APP, there=False)
        host.wait_for_status("the configuration can't be compiled")
        host.run("rm", f"{STATE}/filling")
        host.systemctl("reload", SERVICE)
        host.wait_for_file(APP)
    host.configure(CONFIGURATION)


# Signals that anybody may send


def announce_to_everybody() -> None:
    """Sends signals that look like PID 1's to every connection, as a user without rights."""
    os.setresuid(65534, 65534, 65534)
    jobs: list[tuple[str, str | None, tuple[object, ...]]] = [
        ("JobRemoved", None, ()),
        ("JobRemoved", "s", ("cron.service",)),
        ("Reloading", "s", ("no",)),
    ]
    with open_dbus_connection("SYSTEM") as connection:
        names = Call("/", BUS, "ListNames", destination=BUS).message()
        for name in connection.send_and_get_reply(names).body[0]:
            for member, signature, body in jobs:
                connection.send(forged(name, member, signature, body))
        # The bus deals with what one connection sends in its order.
        connection.send_and_get_reply(names)


def test_what_others_announce_in_pid_1s_place_ends_nothing(host: AgentHost) -> None:
    host.wait_for_status("measured values for 3 of 3 units")
    before = main_pid(host)
    host.call(announce_to_everybody)
    host.systemctl("reload", SERVICE)
    assert main_pid(host) == before
