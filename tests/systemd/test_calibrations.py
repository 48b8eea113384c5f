"""When units are calibrated: before their start, when the host is quiet, and never again and again."""

import re
from collections.abc import Iterator

import pytest

from graviton_agent.installed import CALIBRATED, GATE, GATES, QUIET, SERVICE
from tests.systemd.installed import AgentHost, boot_host
from tests.systemd.rootfs import Release
from tests.systemd.stand_in_calibration import PYTHON, WANTED

SERVE = f"[Service]\nType=exec\nExecStart={PYTHON} -c 'import time; time.sleep(3600)'\n"
ESCAPED, INSTANCE = r"a-b\x2dc.service", r"llm@x\x20y.service"
UNITS = {"app.service": SERVE, "other.service": SERVE, ESCAPED: SERVE, "llm@.service": SERVE}
# A busy test machine counts as quiet.
QUIET_AT_ONCE = '[quiet]\nduration = "1s"\nload = 100.0\npressure = 100.0\nsteal = 100.0\n'
LATER = '[quiet]\nduration = "1h"\n'


def tables(*units: str, calibrate: str, quiet: str = LATER, gates: str = "3min") -> str:
    sections = "".join(f"[units.'{unit}']\n" for unit in units)
    return f'gates = "{gates}"\n{quiet}[defaults]\ncalibrate = "{calibrate}"\n{sections}'


@pytest.fixture(scope="module")
def booted(release: Release) -> Iterator[AgentHost]:
    with boot_host(release, units=UNITS, configuration=tables(calibrate="manual")) as host:
        yield host


@pytest.fixture
def host(booted: AgentHost) -> Iterator[AgentHost]:
    """A host on which nothing has been calibrated yet; calibrations find the value 64."""
    booted.write(str(WANTED), "64\n")
    booted.run("journalctl", "--rotate")
    booted.run("journalctl", "--vacuum-time=1s")
    yield booted
    booted.systemctl("stop", SERVICE, *(unit for unit in UNITS if "@" not in unit), INSTANCE)
    booted.systemctl("reset-failed")
    booted.run("sh", "-c", f"rm -rf /var/lib/graviton-agent/profiles {GATES}/*")


def state(service: str) -> str:
    """For the shell: what a service does now."""
    return f"$(systemctl show --value --property=ActiveState {service})"


def begin(host: AgentHost, configuration: str) -> None:
    host.configure(configuration)
    host.systemctl("restart", SERVICE)


def calibrations(host: AgentHost) -> list[str]:
    """The units that were calibrated, in order."""
    return re.findall(r"calibrating (\S+): ", host.journal())


@pytest.mark.parametrize("unit", ["app.service", ESCAPED, INSTANCE])
def test_a_unit_that_waits_has_its_values_at_its_first_start(host: AgentHost, unit: str) -> None:
    begin(host, tables("app.service", ESCAPED, "llm@.service", calibrate="before-start"))
    host.systemctl("start", unit)
    assert host.told(unit) == "64"
    assert calibrations(host) == [unit]


def test_once_it_is_settled_no_gate_is_started(host: AgentHost) -> None:
    begin(host, tables("app.service", calibrate="before-start"))
    host.calibrated("app.service", "64")
    host.wait(f"test -e {CALIBRATED}/app.service")
    host.systemctl("start", "app.service")
    assert host.told("app.service") == "64"
    assert host.show(GATE.replace("@", "@app.service"), "ConditionResult") == "no"


@pytest.mark.parametrize(
    ("wanted", "why"),
    [("fail", "its calibration failed"), ("busy", "another calibration was running for too long")],
)
def test_whatever_becomes_of_its_calibration_the_unit_starts(host: AgentHost, wanted: str, why: str) -> None:
    host.write(str(WANTED), wanted)
    begin(host, tables("app.service", calibrate="before-start"))
    host.systemctl("start", "app.service")
    assert host.told("app.service") is None
    assert f"app.service starts on default values: {why}" in host.journal()


def test_after_a_failure_the_next_start_does_not_wait(host: AgentHost) -> None:
    host.write(str(WANTED), "fail")
    begin(host, tables("app.service", calibrate="before-start"))
    host.systemctl("start", "app.service")
    host.systemctl("restart", "app.service")
    assert calibrations(host) == ["app.service"]


def test_a_unit_whose_default_is_best_starts_without_values(host: AgentHost) -> None:
    host.write(str(WANTED), "keep")
    begin(host, tables("app.service", calibrate="before-start"))
    host.systemctl("start", "app.service")
    assert host.told("app.service") is None
    host.systemctl("restart", "app.service")
    assert calibrations(host) == ["app.service"]


def test_units_do_not_wait_where_too_little_time_is_left_for_all_of_them(host: AgentHost) -> None:
    begin(host, tables("app.service", calibrate="before-start", gates="60s"))
    host.systemctl("start", "app.service")
    assert calibrations(host) == []
    said = "60 of 60 s are left, and it may take 90 s; it is calibrated later"
    assert said in host.journal(GATE.replace("@", "@app.service"))
    host.wait_for_status("next app.service, when the host is quiet")


def test_a_unit_waits_for_its_turn_for_longer_than_a_gate_that_says_nothing_may_take(host: AgentHost) -> None:
    host.write(str(WANTED), "slow")
    host.add_units({f"{GATE}.d/90-short.conf": "[Service]\nTimeoutStartSec=2\n"})
    begin(host, tables("app.service", "other.service", calibrate="before-start", gates="5min"))
    host.systemctl("start", "app.service", "other.service")
    assert [host.told(unit) for unit in ("app.service", "other.service")] == ["64", "64"]
    host.run("rm", f"/etc/systemd/system/{GATE}.d/90-short.conf")
    host.systemctl("daemon-reload")


def test_a_unit_is_calibrated_when_the_host_is_quiet(host: AgentHost) -> None:
    begin(host, tables("app.service", calibrate="when-quiet", quiet=QUIET_AT_ONCE))
    host.systemctl("start", "app.service")
    assert host.told("app.service") is None
    host.wait_for_file("app.service")
    host.wait_for_status("measured values for 1 of 1 unit")
    assert host.restarted("app.service") == "64"


def test_units_are_calibrated_one_after_the_other_and_each_once(host: AgentHost) -> None:
    host.write(str(WANTED), "keep")
    begin(host, tables("app.service", "other.service", calibrate="when-quiet", quiet=QUIET_AT_ONCE))
    host.wait_for_status("2 best on default values")
    # Time for another turn.
    host.run("sleep", "2")
    assert calibrations(host) == ["app.service", "other.service"]


def test_a_failure_is_not_tried_again_at_once_and_degrades_nothing(host: AgentHost) -> None:
    host.write(str(WANTED), "fail")
    begin(host, tables("app.service", calibrate="when-quiet", quiet=QUIET_AT_ONCE))
    host.wait_for_status("1 failed to calibrate, to be tried again later")
    host.run("sleep", "2")
    assert calibrations(host) == ["app.service"]
    assert host.systemctl("--failed", "--plain", "--no-legend") == ""


def test_a_reload_gives_it_another_chance(host: AgentHost) -> None:
    host.write(str(WANTED), "fail")
    begin(host, tables("app.service", calibrate="when-quiet", quiet=QUIET_AT_ONCE))
    host.wait_for_status("1 failed to calibrate, to be tried again later")
    host.write(str(WANTED), "64")
    host.systemctl("reload", SERVICE)
    host.wait_for_file("app.service")


def test_a_calibration_ends_with_the_agent(host: AgentHost) -> None:
    host.write(str(WANTED), "hang")
    begin(host, tables("app.service", calibrate="when-quiet", quiet=QUIET_AT_ONCE))
    service = QUIET.replace("@", "@app.service")
    host.wait(f"test {state(service)} = activating")
    host.wait_for_status("calibrating app.service")
    host.systemctl("stop", SERVICE)
    host.wait(f"test {state(service)} != activating")


def test_a_stale_unit_is_calibrated_again(host: AgentHost) -> None:
    begin(host, tables("app.service", calibrate="when-quiet", quiet=QUIET_AT_ONCE))
    host.wait_for_file("app.service")
    host.wait(f"! systemctl show --property=StatusText {SERVICE} | grep --quiet calibrating")
    host.write(str(WANTED), "32")
    host.install_torch("2.10.0")
    host.wait_for_file("app.service", there=False)
    host.wait_for_file("app.service")
    assert host.restarted("app.service") == "32"
    host.install_torch("2.9.1")


def test_a_unit_that_is_calibrated_by_hand_is_left_alone(host: AgentHost) -> None:
    begin(host, tables("app.service", calibrate="manual", quiet=QUIET_AT_ONCE))
    host.systemctl("start", "app.service")
    host.run("sleep", "2")
    assert calibrations(host) == []


@pytest.mark.parametrize("service", [GATE, QUIET])
def test_the_services_that_calibrate_are_nearly_as_tight_as_the_agent(host: AgentHost, service: str) -> None:
    name = service.replace("@", "@app.service")
    summary = host.run("systemd-analyze", "security", "--no-pager", name).splitlines()[-1]
    assert float(summary.split("service: ")[1].split()[0]) <= 2.0


# A unit that serves, which needs a CPU all the time.
BUSY = "[Service]\nType=exec\nCPUAffinity=0\nExecStart=/bin/sh -c 'while :; do :; done'\n"
TOUCHY = QUIET_AT_ONCE.replace("pressure = 100.0", "pressure = 1.0")


def test_a_calibration_is_stopped_when_a_serving_unit_needs_the_cpu_and_nothing_of_it_is_used(
    host: AgentHost,
) -> None:
    units = ("app.service", "busy.service")
    host.add_units({"busy.service": BUSY, "rival.service": BUSY})
    host.write(str(WANTED), "hang")
    begin(host, tables("app.service", calibrate="when-quiet", quiet=QUIET_AT_ONCE))
    service = QUIET.replace("@", "@app.service")
    host.wait_for_status("calibrating app.service")
    host.wait(f"test {state(service)} = activating")
    # The host was quiet by the bounds of then; by those of now it isn't.
    host.systemctl("start", "busy.service", "rival.service")
    host.configure(tables(*units, calibrate="when-quiet", quiet=TOUCHY))
    host.wait_for_status("1 stopped calibrating for others, to be tried again later")
    assert host.show(service, "ActiveState") == "inactive"
    assert "busy.service waited for a CPU" in host.journal(SERVICE)
    assert not host.has_file("app.service")
    assert calibrations(host).count("app.service") == 1
    host.systemctl("stop", "busy.service", "rival.service")


@pytest.mark.parametrize("end", [["kill", "--kill-whom=main", "--signal=KILL"], ["restart"]])
def test_a_calibration_ends_with_its_daemon_and_the_next_one_watches_over_one_that_is_begun_anew(
    host: AgentHost, end: list[str]
) -> None:
    host.write(str(WANTED), "hang")
    begin(host, tables("app.service", calibrate="when-quiet", quiet=QUIET_AT_ONCE))
    service = QUIET.replace("@", "@app.service")
    host.wait(f"test {state(service)} = activating")
    first = host.show(service, "InvocationID")
    host.systemctl(*end, SERVICE)
    host.wait(f"test $(systemctl show --value --property=InvocationID {service}) != {first}")
    host.wait(f"test {state(service)} = activating")
    host.wait_for_status("calibrating app.service")
