"""What the check's service may do: look at everything, and write nothing but environment files."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from graviton_agent.installed import CHECK, ENVIRONMENT, WITHDRAW
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.installed import REPOSITORY
from tests.systemd.rootfs import Release

# In the place of the check's program: what it achieves stands in the one folder that it may write to.
PROBE = f"""#!/usr/bin/python3
import json, os, socket
def attempt(path):
    try:
        open(path, "a").close()
    except OSError as error:
        return os.strerror(error.errno)
    return "done"
paths = {{
    "/etc": "/etc/new", "/usr": "/usr/new", "/var": "/var/lib/new", "/run": "/run/systemd/system/new.service",
    "the agent's folder": "/run/graviton-agent/new", "a home": "/home/new", "root's home": "/root/new",
    "shared memory": "/dev/shm/new", "a tunable": "/proc/sys/kernel/core_pattern",
    "huge pages": "/sys/kernel/mm/transparent_hugepage/enabled",
    "a control group": "/sys/fs/cgroup/cgroup.procs", "a temporary folder": "/tmp/new",
}}
told = {{
    "writes": {{name: attempt(path) for name, path in paths.items()}},
    "reads": os.access("/home/closed/venv/version.py", os.F_OK),
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
}}
with open("{ENVIRONMENT}/told", "w") as file:
    json.dump(told, file)
"""
CAP_DAC_READ_SEARCH = "0000000000000004"


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    with boot(release) as container:
        for unit in (CHECK, WITHDRAW):
            container.copy(REPOSITORY / "systemd" / unit, f"/usr/lib/systemd/system/{unit}")
        container.write("/usr/lib/graviton-agent/systemd/graviton-agent-check", PROBE, mode=0o755)
        container.write("/home/closed/venv/version.py", "")
        container.run("chmod", "700", "/home/closed")
        container.run("chown", "nobody", "/home/closed")
        container.write(f"{ENVIRONMENT}/app.service.env", "")
        container.systemctl("daemon-reload")
        yield container


@pytest.fixture(scope="module")
def told(container: RebootableContainer) -> dict[str, Any]:
    """What a program in the place of the check achieves."""
    container.systemctl("start", CHECK.replace("@", "@app.service"))
    found: dict[str, Any] = json.loads(container.path(f"{ENVIRONMENT}/told").read_text())
    return found


def test_it_writes_nowhere_but_to_environment_files(told: dict[str, Any]) -> None:
    assert "done" not in told["writes"].values()


def test_it_sees_files_in_homes_that_are_closed_to_others(told: dict[str, Any]) -> None:
    assert told["reads"] is True


def test_it_has_no_capability_but_to_read(told: dict[str, Any]) -> None:
    assert told["capabilities"] == [CAP_DAC_READ_SEARCH]
