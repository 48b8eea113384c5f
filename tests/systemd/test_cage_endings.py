"""However a trial ends, and whatever it has started, nothing of it is left."""

import os
import re
import signal
from collections.abc import Iterator

import pytest

from graviton_agent.calibration.probe import probe
from graviton_agent.units.bus import Bus
from graviton_agent.units.cage import Cage
from graviton_agent.units.interpreter import Interpreter
from tests.systemd.caged import PYTHON, READ_SECONDS, boot_machine, run_in_cage
from tests.systemd.container import RebootableContainer
from tests.systemd.rootfs import Release

OUTLIVE = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in range(3):
            os.close(descriptor)
        open("/dev/shm/name", "w")
        time.sleep(3600)
    os._exit(0)
print("left", flush=True)
"""
FORKS = """
import os, time
children = 0
for _ in range(1000):
    try:
        if os.fork() == 0:
            time.sleep(3600)
    except OSError:
        break
    children += 1
print(children, flush=True)
time.sleep(3600)
"""
STAY = "import time; time.sleep(3600)"


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    with boot_machine(release) as container:
        yield container


def processes_of_its_user(container: RebootableContainer) -> list[str]:
    """The numbers of the processes that the unit's user has."""
    user = container.run("id", "-u", "app").strip()
    owners = container.run("sh", "-c", "stat --format='%u %n' /proc/[0-9]* 2>/dev/null || true")
    return re.findall(rf"(?m)^{user} /proc/(\d+)$", owners)


def test_what_it_leaves_behind_ends_with_it(container: RebootableContainer) -> None:
    output, _, status = container.call(run_in_cage, "app.service", OUTLIVE)
    assert (output, status) == ("left\n", 0)
    assert processes_of_its_user(container) == []
    assert container.run("find", "/dev/shm", "-name", "name") == ""


def test_a_thousand_forks_end_with_it(container: RebootableContainer) -> None:
    def fork_and_end() -> tuple[int, int | None]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter(PYTHON)) as cage:
            child = cage.launch((PYTHON, "-c", FORKS), {})
            forked = int(os.read(child.answers, 100))
            child.signal(signal.SIGKILL)
            status = child.wait(READ_SECONDS)
            child.close()
            return forked, status

    forked, status = container.call(fork_and_end)
    assert forked <= 1000
    assert status == -signal.SIGKILL
    assert processes_of_its_user(container) == []


def test_its_life_is_bounded(container: RebootableContainer) -> None:
    def wait_for_its_end() -> tuple[int | None, bool]:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter(PYTHON), life_seconds=1) as cage:
            child = cage.launch((PYTHON, "-c", STAY), {})
            early = child.wait(0)
            return child.wait(READ_SECONDS), early is None

    assert container.call(wait_for_its_end) == (-signal.SIGKILL, True)


def test_all_end_with_the_cage_and_nothing_is_left_in_systemd(container: RebootableContainer) -> None:
    def leave() -> None:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter(PYTHON)) as cage:
            for _ in range(2):
                cage.launch((PYTHON, "-c", STAY), {})

    container.call(leave)
    # Stopping takes a moment, which nobody waits for.
    container.run("systemd-run", "--quiet", "--wait", "--property=After=system.slice", "sleep", "0.5")
    patterns = ("graviton-agent-trial*", "*graviton_agent_*.slice")
    assert container.systemctl("list-units", "--all", "--plain", "--no-legend", *patterns) == ""
    assert "Failed with result 'signal'" not in container.journal()


def test_it_ends_with_the_agent_that_started_it_even_if_that_is_killed(
    container: RebootableContainer,
) -> None:
    def leave_and_die() -> str:
        with Bus.connect() as bus:
            cage = Cage(bus, "app.service", Interpreter(PYTHON))
            cage._own_unit = "agent.service"
            return cage.launch((PYTHON, "-c", STAY), {}).name

    container.run("systemd-run", "--quiet", "--unit=agent.service", "sleep", "3600")
    name = container.call(leave_and_die)
    assert processes_of_its_user(container) != []
    container.systemctl("kill", "--signal=KILL", "agent.service")
    container.run(
        "timeout", "30", "sh", "-c", f"while systemctl is-active --quiet {name}; do sleep 0.05; done"
    )
    assert processes_of_its_user(container) == []


FLOODS = {
    "without a line": ("#!/usr/bin/python3\nwhile True: print('x' * 60000, end='')\n", "but no greeting"),
    "beside its answers": (
        "#!/usr/bin/python3\nimport sys\nwhile True: sys.stderr.write('x' * 60000)\n",
        "printed more than 64 MiB",
    ),
    "after a greeting": (
        "#!/usr/bin/python3\nprint('graviton-agent worker 3.11.2')\nwhile True: print('x' * 60000, end='')\n",
        "answered with more than 8 MiB",
    ),
}


@pytest.mark.parametrize("how", FLOODS)
def test_a_flood_of_output_ends_the_trial(container: RebootableContainer, how: str) -> None:
    program, words = FLOODS[how]
    container.write("/opt/app/flood", program, mode=0o755)

    def flood() -> str:
        with Bus.connect() as bus, Cage(bus, "app.service", Interpreter("/opt/app/flood")) as cage:
            try:
                probe("/opt/app/flood", ["oneDNN"], environment={"PATH": "/usr/bin"}, launcher=cage)
            except Exception as error:  # noqa: BLE001 - its words are what counts
                return str(error)
        return "it was believed"

    assert words in container.call(flood)
    assert processes_of_its_user(container) == []
