"""The daemon on a booted host: what reaches the units' processes, whatever becomes of the agent."""

import re
import shlex
from collections.abc import Iterator

import pytest

from graviton_agent.installed import ENVIRONMENT, SERVICE
from tests.systemd.installed import CONFIGURATION, SEES_CPUS, AgentHost, boot_host
from tests.systemd.rootfs import BOOKWORM, Release
from tests.systemd.stand_in_calibration import NAME, PYTHON, TORCH

# Of type "exec", so that a start has ended only when the process has its own environment.
SERVE = f"[Service]\nType=exec\nExecStart={PYTHON} -c 'import time; time.sleep(3600)'\n"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"
ANYHOW = "[Unit]\nStartLimitIntervalSec=0\n"
ESCAPED, INSTANCE, OTHER = r"a-b\x2dc.service", "llm@1.service", "llm@2.service"
UNITS = {
    "app.service": ANYHOW + SERVE + INSTALL,
    ESCAPED: SERVE + INSTALL,
    "llm@.service": ANYHOW + SERVE + INSTALL,
    "early.service": (
        f"[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n{SERVE}[Install]\nWantedBy=sysinit.target\n"
    ),
    "pretend.service": f"[Unit]\nBefore={SERVICE}\n{SERVE}{INSTALL}",
}
MANAGED = ("app.service", ESCAPED, INSTANCE, "early.service", "pretend.service")
MANUAL = "[defaults]\ncalibrate = 'manual'\n"
TABLES = "".join(f"[units.'{unit}']\n" for unit in (*UNITS,))


@pytest.fixture(scope="module")
def host(release: Release) -> Iterator[AgentHost]:
    """A host whose units have been calibrated; nobody but the agent subscribes to PID 1's signals there."""
    units, configuration = UNITS, MANUAL + TABLES
    with boot_host(
        release, units=units, configuration=configuration, mask=["systemd-logind.service"]
    ) as host:
        host.systemctl("start", SERVICE)
        for unit in MANAGED:
            host.calibrated(unit, "64")
        host.systemctl("enable", *(unit for unit in UNITS if "@" not in unit), INSTANCE)
        yield host


@pytest.fixture(autouse=True)
def settled(host: AgentHost) -> None:
    """What every test may begin with: the agent is up, and so are the units' values."""
    host.systemctl("reset-failed")
    host.systemctl("start", SERVICE)
    for unit in MANAGED:
        host.wait_for_file(unit)


def test_it_says_how_things_stand(host: AgentHost) -> None:
    host.wait_for_status("measured values for 5 of 5 units")


@pytest.mark.parametrize("unit", MANAGED)
def test_the_values_reach_the_units_process(host: AgentHost, unit: str) -> None:
    assert host.restarted(unit) == "64"


def test_an_instance_that_nobody_has_heard_of_gets_what_the_others_get(host: AgentHost) -> None:
    assert host.restarted(OTHER) == "64"
    host.systemctl("stop", OTHER)


def test_units_that_start_while_it_is_dead_have_their_last_values(host: AgentHost) -> None:
    slow = "/run/systemd/system/graviton-agent.service.d/90-slow.conf"
    host.write(slow, "[Service]\nRestartSec=2\n")
    host.systemctl("daemon-reload")
    host.systemctl("kill", "--kill-whom=main", "--signal=KILL", SERVICE)
    assert host.restarted("early.service") == "64"
    assert host.restarted("app.service") == "64"
    host.path(slow).unlink()
    host.systemctl("daemon-reload")


def test_units_that_start_while_it_hangs_have_their_last_values(host: AgentHost) -> None:
    host.systemctl("kill", "--kill-whom=main", "--signal=STOP", SERVICE)
    assert host.restarted("app.service") == "64"
    host.systemctl("kill", "--kill-whom=main", "--signal=CONT", SERVICE)


def test_a_daemon_that_hangs_is_replaced(host: AgentHost) -> None:
    host.add_units({f"{SERVICE}.d/90-watchdog.conf": "[Service]\nWatchdogSec=1\n"})
    host.systemctl("restart", SERVICE)
    before = host.show(SERVICE, "MainPID")
    host.systemctl("kill", "--kill-whom=main", "--signal=STOP", SERVICE)
    main_pid = f"$(systemctl show --value --property=MainPID {SERVICE})"
    host.wait(f"systemctl is-active --quiet {SERVICE} && test {main_pid} != {before}")
    assert host.restarted("app.service") == "64"
    host.run("rm", f"/etc/systemd/system/{SERVICE}.d/90-watchdog.conf")
    host.systemctl("daemon-reload")
    host.systemctl("restart", SERVICE)


def test_a_unit_that_starts_brings_a_stopped_agent_back(host: AgentHost) -> None:
    host.systemctl("stop", SERVICE)
    assert not host.has_file("app.service")
    assert host.restarted("app.service") == "64"


def test_units_have_default_values_when_it_is_masked(host: AgentHost) -> None:
    host.systemctl("mask", "--runtime", "--now", SERVICE)
    assert host.restarted("app.service") is None
    host.systemctl("unmask", "--runtime", SERVICE)


def test_units_have_default_values_when_it_has_failed_for_good(host: AgentHost) -> None:
    kill = f"systemctl kill --signal=KILL {SERVICE}"
    host.wait(f"{{ {kill}; systemctl is-failed --quiet {SERVICE}; }}")
    assert host.restarted("app.service") is None


def test_after_an_upgrade_of_torch_nothing_stale_is_injected_in_the_next_second(host: AgentHost) -> None:
    host.install_torch("2.10.0")
    assert host.restarted("app.service") is None
    assert not host.has_file("app.service")
    host.wait_for_status("5 to be calibrated by hand")
    host.install_torch("2.9.1")


def test_an_upgrade_of_torch_is_noticed_without_a_start(host: AgentHost) -> None:
    host.install_torch("2.10.0")
    host.wait_for_file("app.service", there=False)
    host.install_torch("2.9.1")
    host.wait_for_file("app.service")


def test_the_same_torch_installed_anew_changes_nothing(host: AgentHost) -> None:
    host.install_torch("2.9.1")
    new = f"version.py = $(stat --format=%i {TORCH}/version.py):"
    host.wait(f'grep --quiet "{new}" {ENVIRONMENT}/app.service.env')
    assert host.restarted("app.service") == "64"


def test_what_the_operator_sets_wins(host: AgentHost) -> None:
    host.add_units({"app.service.d/90-operator.conf": f"[Service]\nEnvironment={NAME}=7\n"})
    host.wait_for_file("app.service", there=False)
    assert host.restarted("app.service") == "7"
    host.run("rm", "/etc/systemd/system/app.service.d/90-operator.conf")
    host.systemctl("daemon-reload")


def test_what_is_pinned_is_never_written(host: AgentHost) -> None:
    pin = f"pin = {{ {NAME} = '7' }}\n"
    host.configure(MANUAL + TABLES.replace("[units.'app.service']\n", f"[units.'app.service']\n{pin}"))
    host.wait_for_file("app.service", there=False)
    assert host.restarted("app.service") is None
    host.configure(MANUAL + TABLES)


def test_a_reload_takes_in_a_changed_configuration(host: AgentHost) -> None:
    host.configure(f"{MANUAL}{TABLES}[units.'{INSTANCE}']\nenabled = false\n", reload=False)
    host.systemctl("reload", SERVICE)
    host.wait_for_file(INSTANCE, there=False)
    assert host.has_file("app.service")
    host.configure(MANUAL + TABLES)


def test_a_change_of_the_configuration_is_noticed_without_a_reload(host: AgentHost) -> None:
    host.configure(TABLES + MANUAL + "enabled = false\n", reload=False)
    host.wait_for_file("app.service", there=False)
    host.configure(MANUAL + TABLES, reload=False)
    host.wait_for_file("app.service")


def test_switched_off_it_stays_up_and_says_so(host: AgentHost) -> None:
    host.configure("enabled = false\n" + MANUAL + TABLES)
    host.wait_for_status("switched off (enabled = false): writing nothing")
    assert host.run("ls", ENVIRONMENT) == ""
    host.configure(MANUAL + TABLES)


def test_a_new_profile_is_noticed(host: AgentHost) -> None:
    host.calibrated("app.service", "32")
    host.wait(f"grep --quiet {NAME}=32 {ENVIRONMENT}/app.service.env")
    host.calibrated("app.service", "64")
    host.wait(f"grep --quiet {NAME}=64 {ENVIRONMENT}/app.service.env")


def test_a_bus_that_is_restarted_is_found_again(host: AgentHost) -> None:
    host.systemctl("restart", "dbus.service")
    host.calibrated("app.service", "32")
    host.wait(f"grep --quiet {NAME}=32 {ENVIRONMENT}/app.service.env")
    host.calibrated("app.service", "64")


def test_on_another_machine_it_stays_up_writes_nothing_and_says_so(host: AgentHost) -> None:
    seen = f"/etc/systemd/system/{SERVICE}.d/10-cpus.conf"
    host.write(
        "/opt/hardware/other", "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7R13\n"
    )
    host.write(seen, SEES_CPUS.replace("/opt/hardware/cpuinfo", "/opt/hardware/other"))
    host.systemctl("daemon-reload")
    host.systemctl("restart", SERVICE)
    host.wait_for_status(
        "not known to be a Graviton, so watching and writing nothing: The CPUs are x86 (AMD EPYC 7R13)"
    )
    assert host.run("ls", ENVIRONMENT) == ""
    assert host.restarted("app.service") is None
    host.write(seen, SEES_CPUS)
    host.systemctl("daemon-reload")
    host.systemctl("restart", SERVICE)


def test_no_heavy_module_is_resident(host: AgentHost) -> None:
    pid = host.show(SERVICE, "MainPID")
    libraries = set(re.findall(r"[^/\s]+\.so", host.path(f"/proc/{pid}/maps").read_text()))
    assert not [name for name in libraries if re.search("torch|pydantic|ssl|crypto|numpy", name)]


def test_it_ends_at_once_when_it_is_stopped(host: AgentHost) -> None:
    host.systemctl("stop", SERVICE)
    assert host.show(SERVICE, "Result") == "success"
    assert host.show(SERVICE, "ExecMainStatus") == "0"


def test_after_a_reboot_everything_comes_back(host: AgentHost) -> None:
    host.reboot()
    assert {unit: host.show(unit, "ActiveState") for unit in (*MANAGED, SERVICE)} == dict.fromkeys(
        (*MANAGED, SERVICE), "active"
    )
    assert [host.told(unit) for unit in ("app.service", ESCAPED, INSTANCE)] == ["64"] * 3
    assert SERVICE in shlex.split(host.show("app.service", "After"))


def test_after_a_soft_reboot_a_masked_agent_leaves_default_values(host: AgentHost) -> None:
    if host.release is BOOKWORM:
        pytest.skip("soft reboots came with systemd 254")
    host.systemctl("mask", SERVICE)
    host.soft_reboot()
    assert host.show("app.service", "ActiveState") == "active"
    assert host.told("app.service") is None
    host.systemctl("unmask", SERVICE)


def test_after_a_soft_reboot_everything_comes_back(host: AgentHost) -> None:
    if host.release is BOOKWORM:
        pytest.skip("soft reboots came with systemd 254")
    host.soft_reboot()
    assert [host.told(unit) for unit in ("app.service", ESCAPED, INSTANCE)] == ["64"] * 3


def test_removal_leaves_nothing_but_its_results(host: AgentHost) -> None:
    host.systemctl("disable", "--now", SERVICE)
    host.run(
        "sh",
        "-c",
        "rm -rf /usr/lib/systemd/system/graviton-agent* /usr/lib/systemd/system-generators/graviton*",
    )
    configuration = host.path(CONFIGURATION).read_text()
    host.run("rm", CONFIGURATION)
    host.systemctl("daemon-reload")
    assert host.restarted("app.service") is None
    assert host.show("app.service", "DropInPaths") == ""
    assert host.run("find", "/run/graviton-agent", "-type", "f") == ""
    assert configuration
