"""One calibration at a time, between real processes."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from graviton_agent.errors import BusyError, ExitCode
from graviton_agent.lock import only_calibration

_HOLDER = """
import sys
from graviton_agent.lock import only_calibration
def tell(words):
    print(words, flush=True)
with only_calibration(wait_seconds=60, tell=tell, address=sys.argv[1].replace("@", "\\0")):
    tell("held")
    sys.stdin.read()
"""


@pytest.fixture
def name() -> str:
    """An address of this test's own, with @ for the zero byte."""
    return f"@graviton-agent-test/{uuid.uuid4().hex}"


def address(name: str) -> str:
    return name.replace("@", "\0")


def silent(words: str) -> None:
    raise AssertionError(words)


@contextmanager
def process(name: str) -> Iterator["subprocess.Popen[str]"]:
    """Another calibration, which holds the lock, or waits for it, until its stdin ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def line(started: "subprocess.Popen[str]") -> str:
    """The next line that it prints."""
    assert started.stdout is not None
    return started.stdout.readline().strip()


def let_go(started: "subprocess.Popen[str]") -> None:
    """Has it end."""
    assert started.stdin is not None
    started.stdin.close()


def test_a_free_lock_is_taken_without_a_word(name: str) -> None:
    with only_calibration(wait_seconds=0, tell=silent, address=address(name)):
        pass


def test_a_second_calibration_says_who_holds_the_lock(name: str) -> None:
    with process(name) as other:
        assert line(other) == "held"
        told: list[str] = []
        with (
            pytest.raises(BusyError) as raised,
            only_calibration(wait_seconds=0.05, tell=told.append, address=address(name)),
        ):
            pass
    assert told == [
        f"another calibration (process {other.pid}) is running on this host; waiting for it to end"
    ]
    assert raised.value.message == f"another calibration (process {other.pid}) is running on this host"
    assert raised.value.exit_code == ExitCode.BUSY


def test_a_second_calibration_waits_for_the_first_to_end(name: str) -> None:
    with process(name) as first, process(name) as second:
        lines = [line(first), line(second)]
        holder, waiter = (first, second) if lines[0] == "held" else (second, first)
        assert f"(process {holder.pid}) is running" in lines[waiter is second]
        let_go(holder)
        assert line(waiter) == "held"


def test_all_that_wait_get_their_turn(name: str) -> None:
    with process(name) as first:
        assert line(first) == "held"
        with process(name) as second, process(name) as third:
            for waiting in (second, third):
                assert f"(process {first.pid}) is running" in line(waiting)
            let_go(first)
            lines = {line(second): second, line(third): third}
            next_one = lines.pop("held")
            ((words, last),) = lines.items()
            assert f"(process {next_one.pid}) is running" in words
            let_go(next_one)
            assert line(last) == "held"


def test_a_killed_process_leaves_no_lock(name: str) -> None:
    with process(name) as other:
        assert line(other) == "held"
        other.kill()
        other.wait()
        with only_calibration(wait_seconds=0, tell=silent, address=address(name)):
            pass


def test_the_lock_is_free_after_a_failure(name: str) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        only_calibration(wait_seconds=0, tell=silent, address=address(name)),
    ):
        raise KeyboardInterrupt
    with only_calibration(wait_seconds=0, tell=silent, address=address(name)):
        pass
