"""One unit whose files never answer costs no other its turn."""

import threading
import time
from collections.abc import Iterator

import pytest

from graviton_agent import patience
from graviton_agent.patience import Patience


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Until it is set, what waits for it hangs."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def any_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is that these tests run on."""
    monkeypatch.setattr(patience, "BUSY_TIMES", 1000)


def test_each_tasks_result_is_known_by_its_name() -> None:
    assert Patience().each({"a": lambda: 1, "b": lambda: 2}) == {"a": 1, "b": 2}


def test_without_tasks_there_is_nothing() -> None:
    assert Patience().each({}) == {}


def test_as_long_as_none_hangs_all_run_in_one_thread() -> None:
    names = [f"{number}.service" for number in range(50)]
    threads = Patience().each(dict.fromkeys(names, threading.get_ident))
    assert len(threads) == 50
    assert len(set(threads.values())) == 1


def test_what_hangs_is_missing_and_all_others_are_there(released: threading.Event) -> None:
    tasks = {"a": lambda: 1, "hangs": released.wait, "b": lambda: 2}
    assert Patience(seconds=0.05).each(tasks) == {"a": 1, "b": 2}


def test_any_number_may_hang(released: threading.Event) -> None:
    hanging = {f"{number}.service": released.wait for number in range(60)}
    assert Patience(seconds=0.05).each({**hanging, "b": lambda: True}) == {"b": True}


def test_where_too_many_hang_it_ends_all_the_same(
    released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MOST_THREADS", 4)
    found = Patience(seconds=0.05)
    assert found.each({f"{number}.service": released.wait for number in range(9)}) == {}
    assert found.each({"b": lambda: 2}) == {"b": 2}


def test_nothing_more_is_begun_for_what_still_hangs(released: threading.Event) -> None:
    begun: list[str] = []

    def hang() -> None:
        begun.append("hangs")
        released.wait()

    found = Patience(seconds=0.05)
    for _ in range(3):
        assert found.each({"hangs": hang}) == {}
    assert begun == ["hangs"]


def test_what_comes_back_is_told_and_may_be_begun_again(released: threading.Event) -> None:
    back: list[str] = []
    told = threading.Event()

    def came_back(name: str) -> None:
        back.append(name)
        told.set()

    found = Patience(seconds=0.05, came_back=came_back)
    assert found.each({"hangs": released.wait}) == {}
    released.set()
    assert told.wait(20)
    assert back == ["hangs"]
    assert found.each({"hangs": lambda: 3}) == {"hangs": 3}


def test_what_a_task_raises_is_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Patience().each({"a": fail, "b": lambda: None})


def test_what_is_only_slow_because_the_host_is_busy_is_not_given_up() -> None:
    def work() -> int:
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass
        return 1

    assert Patience(seconds=0.05).each({"a": work, "b": lambda: 2}) == {"a": 1, "b": 2}


def test_what_goes_round_for_ever_is_given_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BUSY_TIMES", 2)
    ended = threading.Event()

    def spin() -> None:
        while not ended.is_set():
            pass

    assert Patience(seconds=0.05).each({"spins": spin}) == {}
    ended.set()
