"""The generator's drop-ins and the check in a booted systemd: what reaches a unit's process."""

import shlex
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from graviton_agent.installed import CHECK, ENVIRONMENT, WITHDRAW
from graviton_agent.units import environment_file
from graviton_agent.units.assignments import parse_environment_block
from graviton_agent.units.environment_file import EnvironmentFile, Variable
from graviton_agent.units.identity import HOST_FACTS, Observer, observe, torch_facts
from graviton_agent.units.names import template_of
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
EARLY_INSTANCE = "template@early.service"
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
    f"{EARLY_INSTANCE}.d/10-order.conf": f"[Unit]\nBefore={AGENT}\n",
    "failing.service": (
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nRestart=on-failure\nRestartSec=0\n"
        "ExecStart=sh -c 'cat /proc/self/environ > \"/run/told/%n\"; sleep infinity'\n"
    ),
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
[units."failing.service"]
"""
STARTED_AT_BOOT = (
    "plain.service", "waiting.service", ESCAPED, INSTANCE, ESCAPED_INSTANCE, EARLY_INSTANCE, "own.service",
    "caged.service", "dynamic.service", "rooted.service", "pretend.service", "early.service",
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
        for unit in (CHECK, WITHDRAW):
            container.copy(REPOSITORY / "systemd" / unit, f"/usr/lib/systemd/system/{unit}")
        generators = "/usr/lib/systemd/system-generators"
        container.run("mkdir", "-p", generators)
        container.run("ln", "-s", f"{LIBRARY}/systemd/graviton-agent-generator", generators)
        enabled = [name for name in UNITS if "@" not in name and "[Install]" in UNITS[name]]
        container.systemctl("enable", *enabled, INSTANCE, ESCAPED_INSTANCE, EARLY_INSTANCE)
        container.reboot()
        yield container


def give(container: RebootableContainer, unit: str, value: str, *facts: str) -> None:
    """Does what the daemon does: leaves an environment file that fits the present."""

    def write() -> None:
        made_for = observe((*HOST_FACTS, *torch_facts(TORCH), *facts), Observer())
        variable = Variable(NAME, value, 1.28, date(2026, 11, 23))
        folder = Path(ENVIRONMENT)
        folder.mkdir(parents=True, exist_ok=True)
        environment_file.write(folder, EnvironmentFile(unit, made_for, (variable,)))

    container.call(write)


def has_file(container: RebootableContainer, unit: str) -> bool:
    """Whether there is an environment file for the unit."""
    return container.path(f"{ENVIRONMENT}/{unit}.env").exists()


def told(container: RebootableContainer, unit: str) -> str | None:
    """The value that the unit's process really gets after a restart."""
    container.systemctl("restart", unit)
    return parse_environment_block(container.path(f"/run/told/{unit}").read_bytes()).get(NAME)


def upgrade_torch(container: RebootableContainer) -> None:
    """Puts another file in the place of one of torch's."""
    container.run("sh", "-c", f"cp {TORCH}/version.py {TORCH}/new && mv {TORCH}/new {TORCH}/version.py")


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


@pytest.mark.parametrize("unit", [*STARTED_AT_BOOT, "template@never-heard-of.service"])
def test_after_an_upgrade_of_torch_the_very_next_start_gets_no_stale_value(
    container: RebootableContainer, unit: str
) -> None:
    give(container, unit, "3")
    upgrade_torch(container)
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


def test_an_instance_that_its_own_files_order_early_is_in_no_cycle(container: RebootableContainer) -> None:
    assert "ordering cycle" not in container.journal()
    assert AGENT not in shlex.split(container.show(EARLY_INSTANCE, "After"))
    assert AGENT in shlex.split(container.show(INSTANCE, "After"))


def test_a_process_that_is_restarted_by_itself_is_checked_too(container: RebootableContainer) -> None:
    unit = "failing.service"
    # Of this type a start has ended before the program has told anything.
    await_told = ("timeout", "30", "sh", "-c", f"until test -s /run/told/{unit}; do sleep 0.02; done")
    give(container, unit, "3")
    container.run("rm", "--force", f"/run/told/{unit}")
    container.systemctl("restart", unit)
    container.run(*await_told)
    assert parse_environment_block(container.path(f"/run/told/{unit}").read_bytes())[NAME] == "3"
    upgrade_torch(container)
    container.run("rm", f"/run/told/{unit}")
    container.systemctl("kill", "--signal=SEGV", unit)
    container.run(*await_told)
    assert NAME not in parse_environment_block(container.path(f"/run/told/{unit}").read_bytes())
    assert container.show(unit, "NRestarts") == "1"
    assert not has_file(container, unit)


def test_a_limit_that_was_set_on_the_running_unit_or_its_slice_counts_at_its_next_start(
    container: RebootableContainer,
) -> None:
    folder = "/etc/systemd/system.control"
    for name in ("plain.service", "system.slice"):
        give(container, "plain.service", "3", f"file {folder}/{name}.d")
        assert told(container, "plain.service") == "3"
        container.systemctl("set-property", name, "CPUQuota=150%")
        assert told(container, "plain.service") is None
        container.systemctl("revert", name)


# Whose the process is


HOSTILE = "/home/served/hostile.so"


def test_nothing_of_what_the_units_user_can_write_runs_as_root(container: RebootableContainer) -> None:
    # A library that can't be loaded is complained of by whoever is told to load it.
    lines = "".join(f"{name}={HOSTILE}\n" for name in ("LD_PRELOAD", "LD_AUDIT"))
    container.write("/home/served/.env", f"{lines}LD_LIBRARY_PATH=/home/served\n")
    container.write(HOSTILE, "no library")
    container.run("chown", "-R", "nobody", "/home/served")
    hostile = "[Service]\nUser=nobody\nEnvironmentFile=/home/served/.env\n"
    container.add_units({"plain.service.d/90-hostile.conf": hostile})
    container.run("rm", "/run/told/plain.service")
    try:
        give(container, "plain.service", "3")
        assert told(container, "plain.service") == "3"
        upgrade_torch(container)
        assert told(container, "plain.service") is None
        own = container.run("journalctl", "--no-pager", "--boot", "_SYSTEMD_UNIT=plain.service")
        assert HOSTILE in own
        check = CHECK.replace("@", "@plain.service")
        assert HOSTILE not in container.run("journalctl", "--no-pager", "--boot", f"_SYSTEMD_UNIT={check}")
        assert HOSTILE not in container.run("journalctl", "--no-pager", "--boot", "_UID=0")
    finally:
        container.run("rm", "/etc/systemd/system/plain.service.d/90-hostile.conf", "/run/told/plain.service")
        container.systemctl("daemon-reload")


def test_of_a_root_directory_that_the_units_user_owns_nothing_runs_as_root(
    container: RebootableContainer,
) -> None:
    program = f"/opt/root{LIBRARY}/systemd/graviton-agent-check"
    trap = "#!/bin/sh\necho trapped >> /run/told/trapped\n"
    container.write("/opt/mine/graviton-agent-check", trap, mode=0o755)
    container.write("/opt/mine/graviton-agent-withdraw", trap, mode=0o755)
    container.run("chown", "-R", "nobody", "/opt/root", "/opt/mine")
    binds = f"[Service]\nBindPaths=/opt/mine:{LIBRARY}/systemd\n"
    container.add_units({f"{name}.service.d/90-trap.conf": binds for name in ("rooted", "plain")})
    try:
        for unit in ("rooted.service", "plain.service"):
            give(container, unit, "3")
            upgrade_torch(container)
            assert told(container, unit) is None
            assert not container.path("/run/told/trapped").exists()
    finally:
        container.run(
            "rm", *(f"/etc/systemd/system/{unit}.service.d/90-trap.conf" for unit in ("rooted", "plain"))
        )
        container.systemctl("daemon-reload")
    assert not container.path(program).exists()


# A check that doesn't do its work


BROKEN = {
    "hangs": "#!/bin/sh\nsleep 600\n",
    "hangs and hears no signal": "#!/bin/sh\ntrap '' TERM INT HUP\nsleep 600 & sleep 600\n",
    "kills itself": "#!/bin/sh\nkill -KILL $$\n",
    "fails": "#!/bin/sh\nexit 1\n",
    "is no program": "",
    "has no interpreter": "#!/nowhere/python3\n",
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("unit", ["plain.service", ESCAPED_INSTANCE])
def test_whatever_becomes_of_the_check_the_unit_starts_in_time_on_default_values(
    container: RebootableContainer, unit: str, how: str
) -> None:
    program = f"{LIBRARY}/systemd/graviton-agent-check"
    give(container, unit, "3")
    if template_of(unit):
        give(container, str(template_of(unit)), "4")
    container.write("/run/broken", BROKEN[how], mode=0o755 if BROKEN[how] else 0o644)
    container.run("mount", "--bind", "/run/broken", program)
    try:
        begin = time.monotonic()
        assert told(container, unit) is None
        # Three seconds, and what a busy machine makes of them.
        assert time.monotonic() - begin < 10
        assert container.show(unit, "ActiveState") == "active"
        assert not has_file(container, unit)
        assert "it could not be checked" in container.journal(unit)
    finally:
        container.run("umount", program)
    give(container, unit, "3")
    assert told(container, unit) == "3"


def test_a_check_whose_protections_can_not_be_set_up_withdraws_the_file(
    container: RebootableContainer,
) -> None:
    container.add_units({f"{CHECK}.d/90-broken.conf": "[Service]\nBindPaths=/nowhere\n"})
    try:
        give(container, "plain.service", "3")
        assert told(container, "plain.service") is None
    finally:
        container.run("rm", f"/etc/systemd/system/{CHECK}.d/90-broken.conf")
        container.systemctl("daemon-reload")
    container.systemctl("reset-failed")


def test_however_often_a_unit_starts_it_is_checked(container: RebootableContainer) -> None:
    give(container, "plain.service", "3")
    for _ in range(12):
        assert told(container, "plain.service") == "3"
    upgrade_torch(container)
    assert told(container, "plain.service") is None


def test_where_there_is_nothing_to_withdraw_no_process_is_started(container: RebootableContainer) -> None:
    container.run("sh", "-c", f"rm -f {ENVIRONMENT}/*")
    told(container, "plain.service")
    assert container.show(CHECK.replace("@", "@plain.service"), "ConditionResult") == "no"
