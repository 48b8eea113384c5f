"""The generator's drop-ins and the check in a booted systemd: what reaches a unit's process."""

import shlex
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from graviton_agent.installed import ENVIRONMENT
from graviton_agent.units import environment_file
from graviton_agent.units.assignments import parse_environment_block
from graviton_agent.units.environment_file import EnvironmentFile, Variable
from graviton_agent.units.identity import HOST_FACTS, Observer, observe, torch_facts
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

REPOSITORY = Path(__file__).parents[2]
LIBRARY = "/usr/lib/graviton-agent"
TORCH = "/opt/torch"
NAME = "OMP_NUM_THREADS"
AGENT = "graviton-agent.service"

# Stands for the daemon: all that matters here is when it starts.
STAND_IN = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
[Install]
WantedBy=multi-user.target
"""
TELL = """[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh -c 'cat /proc/self/environ > "/run/told/%n"'
"""
CAGED = (
    "User=nobody\nNoNewPrivileges=yes\nProtectSystem=strict\nReadWritePaths=/run/told\nPrivateTmp=yes\n"
    "CapabilityBoundingSet=\nMemoryDenyWriteExecute=yes\nSystemCallFilter=@system-service\nPrivateNetwork=yes\n"
)
INSTALL = "[Install]\nWantedBy=multi-user.target\n"
ESCAPED, INSTANCE, ESCAPED_INSTANCE = "a-b\\x2dc.service", "template@1.service", "template@a\\x20b.service"
UNITS = {
    "plain.service": TELL + INSTALL,
    "waiting.service": TELL + INSTALL,
    ESCAPED: TELL + INSTALL,
    "template@.service": TELL + INSTALL,
    "own.service": f"{TELL}{INSTALL}[X-GravitonAgent]\n",
    "caged.service": TELL + CAGED + INSTALL,
    "dynamic.service": f"{TELL}DynamicUser=yes\nReadWritePaths=/run/told\n{INSTALL}",
    "rooted.service": (
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nRemainAfterExit=yes\nRootDirectory=/opt/root\nMountAPIVFS=yes\n"
        "BindReadOnlyPaths=/usr /bin /lib -/lib64\nBindPaths=/run/told\n"
        f"{TELL.splitlines()[-1].replace('sh -c', '/bin/sh -c')}\n{INSTALL}"
    ),
    "pretend.service": f"[Unit]\nBefore={AGENT}\n{TELL}{INSTALL}",
    "early.service": (
        "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n"
        f"{TELL}ExecStartPre=mkdir -p /run/told\n[Install]\nWantedBy=sysinit.target\n"
    ),
    AGENT: STAND_IN,
}
CONFIGURATION = f"""
[units."plain.service"]
[units."waiting.service"]
calibrate = "before-start"
[units.'{ESCAPED}']
[units."template@.service"]
[units."caged.service"]
[units."dynamic.service"]
[units."rooted.service"]
[units."pretend.service"]
[units."early.service"]
"""
STARTED_AT_BOOT = (
    "plain.service", "waiting.service", ESCAPED, INSTANCE, ESCAPED_INSTANCE, "own.service", "caged.service",
    "dynamic.service", "rooted.service", "pretend.service", "early.service",
)  # fmt: skip


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    """A host on which the agent's programs are installed and the units are enabled, booted with all that."""
    files = {
        "/etc/graviton-agent/graviton-agent.toml": CONFIGURATION,
        "/etc/tmpfiles.d/told.conf": "d /run/told 1777\n",
        **{f"/opt/root/{name}/.keep": "" for name in ("usr", "bin", "lib", "lib64", "run/told")},
        f"{TORCH}/version.py": "__version__ = '2.9.1'\n",
        f"{TORCH}/lib/libtorch_cpu.so": "ELF",
        **{f"/etc/systemd/system/{name}": text for name, text in UNITS.items()},
    }
    programs = [(REPOSITORY / name, f"{LIBRARY}/{name}") for name in ("agent", "systemd")]
    with boot(release, files=files, bind=programs) as container:
        generators = "/usr/lib/systemd/system-generators"
        container.run("mkdir", "-p", generators)
        container.run("ln", "-s", f"{LIBRARY}/systemd/graviton-agent-generator", generators)
        enabled = [name for name in UNITS if "@" not in name]
        container.systemctl("enable", *enabled, INSTANCE, ESCAPED_INSTANCE)
        container.reboot()
        yield container


def give(container: RebootableContainer, unit: str, value: str) -> None:
    """Does what the daemon does: leaves an environment file that fits the present."""

    def write() -> None:
        facts = observe((*HOST_FACTS, *torch_facts(TORCH)), Observer())
        variable = Variable(NAME, value, 1.28, date(2026, 11, 23))
        environment_file.write(Path(ENVIRONMENT), EnvironmentFile(unit, facts, (variable,)))

    container.call(write)


def has_file(container: RebootableContainer, unit: str) -> bool:
    """Whether there is an environment file for the unit."""
    return container.path(f"{ENVIRONMENT}/{unit}.env").exists()


def told(container: RebootableContainer, unit: str) -> str | None:
    """The value that the unit's process really gets after a restart."""
    container.systemctl("restart", unit)
    return parse_environment_block(container.path(f"/run/told/{unit}").read_bytes()).get(NAME)


@pytest.mark.parametrize("unit", STARTED_AT_BOOT)
def test_every_managed_unit_is_up_after_boot(container: RebootableContainer, unit: str) -> None:
    assert container.show(unit, "ActiveState") == "active"


def test_the_agent_is_up_after_boot(container: RebootableContainer) -> None:
    assert container.show(AGENT, "ActiveState") == "active"


@pytest.mark.parametrize("unit", ["plain.service", ESCAPED, INSTANCE, ESCAPED_INSTANCE, "own.service"])
def test_a_managed_unit_starts_after_the_agent(container: RebootableContainer, unit: str) -> None:
    assert AGENT in shlex.split(container.show(unit, "After"))
    started = [int(container.show(name, "ActiveEnterTimestampMonotonic")) for name in (AGENT, unit)]
    assert started == sorted(started)


@pytest.mark.parametrize("unit", ["plain.service", ESCAPED, INSTANCE, ESCAPED_INSTANCE])
def test_a_unit_waits_at_the_gate_that_has_its_name(container: RebootableContainer, unit: str) -> None:
    configuration = "/etc/graviton-agent/conf.d/gates.toml"
    container.write(configuration, '[defaults]\ncalibrate = "before-start"\n')
    container.systemctl("daemon-reload")
    try:
        assert f"graviton-agent-calibrate@{unit}.service" in shlex.split(container.show(unit, "After"))
    finally:
        container.path(configuration).unlink()
        container.systemctl("daemon-reload")


@pytest.mark.parametrize("unit", STARTED_AT_BOOT)
def test_the_value_reaches_the_units_process(container: RebootableContainer, unit: str) -> None:
    give(container, unit, "3")
    assert told(container, unit) == "3"


def test_an_instances_own_value_wins_over_its_templates(container: RebootableContainer) -> None:
    give(container, "template@.service", "1")
    give(container, INSTANCE, "2")
    assert told(container, INSTANCE) == "2"
    assert told(container, "template@other.service") == "1"


@pytest.mark.parametrize(
    "unit", ["plain.service", ESCAPED, ESCAPED_INSTANCE, "own.service", "caged.service", "dynamic.service"]
)
def test_after_an_upgrade_of_torch_the_very_next_start_gets_no_stale_value(
    container: RebootableContainer, unit: str
) -> None:
    give(container, unit, "3")
    container.run("sh", "-c", f"cp {TORCH}/version.py {TORCH}/new && mv {TORCH}/new {TORCH}/version.py")
    assert told(container, unit) is None
    assert not has_file(container, unit)
    assert f"withdrew the environment of {unit}" in container.journal(unit)


def test_a_reload_takes_the_drop_in_of_a_unit_that_is_not_managed_any_more(
    container: RebootableContainer,
) -> None:
    give(container, "plain.service", "3")
    configuration = "/etc/graviton-agent/conf.d/off.toml"
    container.write(configuration, '[units."plain.service"]\nenabled = false\n')
    container.systemctl("daemon-reload")
    try:
        assert told(container, "plain.service") is None
    finally:
        container.path(configuration).unlink()
        container.systemctl("daemon-reload")
    assert told(container, "plain.service") == "3"


def test_a_broken_configuration_keeps_no_unit_from_starting(container: RebootableContainer) -> None:
    configuration = "/etc/graviton-agent/conf.d/10-broken.toml"
    container.run("mkdir", "-p", "/etc/graviton-agent/conf.d")
    container.run("mkfifo", configuration)
    container.write("/etc/graviton-agent/conf.d/20-broken.toml", "[units\n")
    container.systemctl("daemon-reload")
    try:
        told(container, "plain.service")
        assert container.show("plain.service", "ActiveState") == "active"
        assert AGENT in container.show("plain.service", "After").split()
    finally:
        container.run("rm", configuration, "/etc/graviton-agent/conf.d/20-broken.toml")
        container.systemctl("daemon-reload")


def test_a_check_that_can_not_run_keeps_no_unit_from_starting(container: RebootableContainer) -> None:
    give(container, "plain.service", "3")
    container.run("mount", "--bind", "/dev/null", f"{LIBRARY}/systemd/graviton-agent-check")
    try:
        assert told(container, "plain.service") == "3"
    finally:
        container.run("umount", f"{LIBRARY}/systemd/graviton-agent-check")
