"""Signals that come before the event loop has begun."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graviton_agent.service.signals import EarlySignals, Ended

SOURCE = Path(__file__).parents[2] / "agent"
BEGINS = """
import sys
from graviton_agent.cli import entry
import graviton_agent.service.daemon as daemon
def main(signals):
    print("begun", flush=True)
    while not signals.wants_reload:
        sys.stdin.readline()
    print("reload", flush=True)
    return 7
daemon.main = main
sys.argv[1:] = ["daemon"]
sys.exit(entry.main())
"""


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_reload_is_remembered() -> None:
    signals = EarlySignals()
    assert not signals.wants_reload
    signal.raise_signal(signal.SIGHUP)
    assert signals.wants_reload


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_to_end_ends(number: signal.Signals) -> None:
    EarlySignals()
    with pytest.raises(Ended):
        signal.raise_signal(number)


@pytest.mark.parametrize(
    ("number", "told", "code"),
    [(signal.SIGHUP, "reload", 7), (signal.SIGTERM, "", 0), (signal.SIGINT, "", 0)],
)
def test_the_program_handles_them_before_it_imports_the_daemon(
    number: signal.Signals, told: str, code: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BEGINS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(SOURCE)},
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        if number is signal.SIGHUP:
            process.stdin.write("\n")
            process.stdin.flush()
        rest, _ = process.communicate(timeout=20)
    assert (rest.strip(), process.returncode) == (told, code)
