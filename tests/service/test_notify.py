"""What systemd is told."""

import os

import pytest

from graviton_agent.service.notify import Notifier, watchdog_seconds


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def notifier(told: list[str]) -> Notifier:
    return Notifier(told.append)


def test_a_status_is_told_once(notifier: Notifier, told: list[str]) -> None:
    notifier.status("watching")
    notifier.status("watching")
    notifier.status("calibrating")
    assert told == ["STATUS=watching", "STATUS=calibrating"]


def test_a_status_can_say_nothing_else_to_systemd(notifier: Notifier, told: list[str]) -> None:
    notifier.status("a\nMAINPID=1 \u2013 b")
    assert told == ["STATUS=a MAINPID=1 ? b"]


def test_a_reload_says_when_it_began(notifier: Notifier, told: list[str]) -> None:
    notifier.reloading()
    notifier.ready()
    first, time = told[0].split("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    assert int(time) > 0
    assert told[1] == "READY=1"


def test_the_watchdog_is_fed_twice_in_its_time() -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}) == 30.0


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}],
)
def test_without_a_watchdog_none_is_fed(environment: dict[str, str]) -> None:
    assert watchdog_seconds(environment) is None
