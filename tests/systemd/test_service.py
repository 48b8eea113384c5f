"""The agent's units: tight, and yet the whole job can be done in them. A stand-in plays its commands."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jeepney
import pytest

import graviton_agent
from graviton_agent.installed import GATE, QUIET, SERVICE
from graviton_agent.units import dropin
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = "/usr/lib/graviton-agent/agent"

UNITS = {
    "app.service": """
[Service]
User=app
EnvironmentFile=/home/app/secret.env
ExecStart=/home/app/venv/bin/python -c 'import time; time.sleep(3600)'
""",
    "gated.service": "[Service]\nExecStart=sleep infinity\n",
    "gated.service.d/50-graviton-agent.conf": dropin.render(
        "gated.service", ordered=True, gate=True, check=False
    ),
}


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    bind = [
        (Path(graviton_agent.__file__).resolve().parent, f"{MODULES}/graviton_agent"),
        (Path(jeepney.__file__).resolve().parent, f"{MODULES}/jeepney"),
    ]
    with boot(release, bind=bind) as container:
        container.copy(REPOSITORY / "tests/systemd/stand_in.py", "/usr/lib/graviton-agent/stand_in.py")
        container.write(
            "/usr/bin/graviton-agent",
            f'#!/bin/sh\nexec env PYTHONPATH={MODULES} python3 -B /usr/lib/graviton-agent/stand_in.py "$@"\n',
            mode=0o755,
        )
        for unit in (SERVICE, GATE, QUIET):
            container.copy(REPOSITORY / "systemd" / unit, f"/usr/lib/systemd/system/{unit}")
        container.run("useradd", "--system", "--create-home", "app")
        container.run("python3", "-m", "venv", "--without-pip", "/home/app/venv")
        container.write("/home/app/secret.env", "FROM_FILE=1\n", mode=0o600)
        container.run("chown", "--recursive", "app:app", "/home/app")
        container.run("chmod", "0700", "/home/app")
        container.add_units(UNITS)
        container.systemctl("start", "app.service")
        yield container


@pytest.fixture
def running(container: RebootableContainer) -> Iterator[RebootableContainer]:
    """The machine with the agent started."""
    container.systemctl("start", SERVICE)
    yield container
    container.systemctl("stop", SERVICE)
    container.systemctl("reset-failed")


@pytest.fixture(scope="module")
def told(container: RebootableContainer) -> dict[str, Any]:
    """What came of the whole job under the agent's unit."""
    container.systemctl("start", SERVICE)
    found: dict[str, Any] = json.loads(container.run("cat", "/var/lib/graviton-agent/told.json"))
    container.systemctl("stop", SERVICE)
    return found


def test_the_whole_job_can_be_done(told: dict[str, Any]) -> None:
    assert told["job"] == {
        "interpreter": "/home/app/venv/bin/python",
        "held": "1",
        "in the cage": "1",
        "user in the cage": "app",
        "key": ["1", "in sync"],
        "venv": True,
    }


def test_nothing_more_can_be_done(told: dict[str, Any]) -> None:
    assert set(told["more"].values()) <= {"OSError", "PermissionError"}


def test_its_exposure_is_at_most_1_4(container: RebootableContainer) -> None:
    summary = container.run("systemd-analyze", "security", "--no-pager", SERVICE).splitlines()[-1]
    assert float(summary.split("service: ")[1].split()[0]) <= 1.4


@pytest.mark.parametrize("unit", [SERVICE, GATE, QUIET])
def test_its_units_are_as_systemd_wants_them(container: RebootableContainer, unit: str) -> None:
    # systemd-analyze looks for the man pages too, which the packages bring.
    done = container.attempt("systemd-analyze", "verify", "--man=no", unit.replace("@", "@x"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_managed_units_do_not_wait_long_for_its_restart(container: RebootableContainer) -> None:
    assert container.show(SERVICE, "RestartUSec") == "250ms"


def test_results_outlive_it(running: RebootableContainer) -> None:
    running.systemctl("stop", SERVICE)
    assert running.run("cat", "/var/lib/graviton-agent/profile.json") == "{}"


def test_its_workers_end_with_it(container: RebootableContainer) -> None:
    container.write("/etc/graviton-agent/keep-a-worker", "")
    try:
        container.systemctl("start", SERVICE)
        container.run("sh", "-c", "until test -s /var/lib/graviton-agent/worker; do sleep 0.02; done")
        worker = container.run("cat", "/var/lib/graviton-agent/worker")
        assert container.show(worker, "ActiveState") == "active"
        container.run("rm", "/etc/graviton-agent/keep-a-worker")
        container.systemctl("kill", "--kill-whom=all", "--signal=KILL", SERVICE)
        container.run("sh", "-c", f"while systemctl is-active --quiet {worker}; do sleep 0.02; done")
    finally:
        container.run("rm", "--force", "/etc/graviton-agent/keep-a-worker")
        container.systemctl("stop", SERVICE)
        container.systemctl("reset-failed")


def test_a_gate_that_hangs_opens_at_its_time_out(running: RebootableContainer) -> None:
    running.write("/etc/graviton-agent/hang", "")
    drop_in = "graviton-agent-calibrate@.service.d/10-short.conf"
    running.add_units({drop_in: "[Service]\nTimeoutStartSec=1\nTimeoutStopSec=1\n"})
    try:
        running.systemctl("start", "gated.service")
        assert running.show("gated.service", "ActiveState") == "active"
        assert running.show("graviton-agent-calibrate@gated.service.service", "Result") == "timeout"
    finally:
        running.run("rm", "-r", f"/etc/systemd/system/{Path(drop_in).parent}", "/etc/graviton-agent/hang")
        running.systemctl("daemon-reload")
        running.systemctl("stop", "gated.service")


def test_a_unit_starts_when_its_gate_is_masked(container: RebootableContainer) -> None:
    container.systemctl("mask", "--runtime", GATE)
    try:
        container.systemctl("start", "gated.service")
        assert container.show("gated.service", "ActiveState") == "active"
    finally:
        container.systemctl("unmask", "--runtime", GATE)
        container.systemctl("stop", "gated.service", SERVICE)


def test_a_reload_is_a_signal(running: RebootableContainer) -> None:
    running.systemctl("reload", SERVICE)
    # The stand-in knows no SIGHUP, and ends by it.
    running.run("sh", "-c", f"while systemctl is-active --quiet {SERVICE}; do sleep 0.02; done")
