"""The daemon's start: READY comes, whatever the first look at the units comes to."""

import threading
from typing import cast

import pytest

from graviton_agent.errors import AgentError
from graviton_agent.service import daemon
from graviton_agent.service.daemon import LATE, first_look
from graviton_agent.service.upkeep import Overview, Upkeep
from graviton_agent.service.worker import Worker
from tests.profiles.host import configuration


class FakeUpkeep:
    """Looks as it is told to."""

    def __init__(self, result: Overview | BaseException, held: threading.Event | None = None) -> None:
        self._result, self._held = result, held

    def look(self) -> Overview:
        """Returns or raises the result, once nothing holds it up any more."""
        if self._held:
            self._held.wait()
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result


def look(upkeep: FakeUpkeep, worker: Worker | None = None) -> tuple[Overview | None, str | None]:
    return first_look(cast(Upkeep, upkeep), worker or Worker())


def test_what_was_found_is_known() -> None:
    overview = Overview(configuration(), None)
    assert look(FakeUpkeep(overview)) == (overview, None)


def test_a_failure_is_known_by_its_message() -> None:
    assert look(FakeUpkeep(AgentError("no bus"))) == (None, "no bus")


def test_a_look_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "START_SECONDS", 0.05)
    released, worker = threading.Event(), Worker()
    hanging = FakeUpkeep(Overview(configuration(), None), released)
    assert look(hanging, worker) == (None, LATE)
    released.set()
    # Once it goes on, the worker does too.
    monkeypatch.setattr(daemon, "START_SECONDS", 20.0)
    assert look(hanging, worker)[1] is None


def test_what_nobody_foresaw_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        look(FakeUpkeep(ZeroDivisionError()))
