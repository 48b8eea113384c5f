"""The system bus against a real PID 1: answers, errors, signals, and the way back."""

import asyncio
import subprocess
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from jeepney.io.blocking import open_dbus_connection

from graviton_agent.units.bus import Bus, BusError, Signal, add_match
from graviton_agent.units.manager import (
    MANAGER,
    MANAGER_PATH,
    RELOAD,
    RELOADS,
    SERVICE,
    changes_of,
    get,
    get_all,
    manager_environment,
    stop_unit,
    unit_path,
)
from graviton_agent.units.watch import Watch, watches
from tests.systemd.calls import forged, restart_unit
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

T = TypeVar("T")
WAIT_SECONDS = 30

UNITS = {
    "sleeper.service": "[Service]\nExecStart=sleep infinity\n",
    r"a-b\x2dc@.service": "[Service]\nExecStart=sleep infinity\n",
}


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    """A machine without logind, whose own subscription would bring everybody's signals."""
    with boot(release, mask=["systemd-logind.service"]) as container:
        container.add_units(UNITS)
        yield container


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(WAIT_SECONDS):
            return await coroutine

    return asyncio.run(bounded())


def test_properties_of_a_unit_with_an_escaped_name_are_read(container: RebootableContainer) -> None:
    def read() -> str:
        with Bus.connect() as bus:
            (properties,) = bus.call(get_all(unit_path(r"a-b\x2dc@x\x20y.service"), SERVICE))
            return str(properties["ExecStart"][1][0][0])

    assert container.call(read) == "sleep"


def test_an_error_has_systemds_name_and_words(container: RebootableContainer) -> None:
    def stop() -> None:
        with Bus.connect() as bus:
            bus.call(stop_unit("nowhere.service"))

    with pytest.raises(BusError) as caught:
        container.call(stop)
    assert caught.value.name == "org.freedesktop.systemd1.NoSuchUnit"
    assert caught.value.message == "Unit nowhere.service not loaded."


def test_the_managers_environment_is_read(container: RebootableContainer) -> None:
    def read() -> dict[str, str]:
        with Bus.connect() as bus:
            return manager_environment(bus)

    container.systemctl("set-environment", "OMP_NUM_THREADS=3")
    try:
        assert container.call(read)["OMP_NUM_THREADS"] == "3"
    finally:
        container.systemctl("unset-environment", "OMP_NUM_THREADS")


def invocations(signals: list[Signal]) -> set[bytes]:
    found = {signal.arguments[1].get("InvocationID", ("ay", b""))[1] for signal in signals}
    return {bytes(value) for value in found} - {b""}


def test_signals_arrive_once_subscribed_and_a_restart_shows_as_a_new_invocation(
    container: RebootableContainer,
) -> None:
    def restart_twice() -> int:
        with Bus.connect() as bus:
            bus.call(add_match(changes_of("sleeper.service")))
            bus.subscribe()
            seen: list[Signal] = []
            for wanted in (1, 2):
                bus.call(restart_unit("sleeper.service"))
                while len(invocations(seen)) < wanted and (signal := bus.next_signal(WAIT_SECONDS)):
                    seen.append(signal)
            return len(invocations(seen))

    assert container.call(restart_twice) == 2


def test_a_watch_makes_calls_side_by_side(container: RebootableContainer) -> None:
    async def ask() -> list[Any]:
        async for watch in watches([]):
            calls = [watch.call(get(MANAGER_PATH, MANAGER, "Version")) for _ in range(50)]
            answers = await asyncio.gather(*calls)
            await watch.close()
            return answers
        raise AssertionError

    answers = container.call(lambda: run(ask()))
    assert len(answers) == 50
    assert len({str(answer) for answer in answers}) == 1


def test_a_watch_passes_on_a_systems_error(container: RebootableContainer) -> None:
    async def stop() -> None:
        async for watch in watches([]):
            try:
                await watch.call(stop_unit("nowhere.service"))
            finally:
                await watch.close()

    with pytest.raises(BusError, match=r"nowhere\.service not loaded"):
        container.call(lambda: run(stop()))


async def first_signal(watch: Watch) -> Signal:
    async for signal in watch.signals():
        return signal
    raise BusError("the connection was lost")


def test_a_watch_hears_of_a_reload(container: RebootableContainer) -> None:
    async def listen() -> Signal:
        async for watch in watches([RELOADS]):
            await watch.call(RELOAD)
            signal = await first_signal(watch)
            await watch.close()
            return signal
        raise AssertionError

    signal = container.call(lambda: run(listen()))
    assert (signal.member, signal.arguments) == ("Reloading", (True,))


def test_what_somebody_else_announces_in_pid_1s_place_is_not_heard(container: RebootableContainer) -> None:
    async def listen() -> tuple[Any, ...]:
        async for watch in watches([RELOADS]):
            name = watch._connection.unique_name
            forge(name)
            await watch.call(RELOAD)
            signal = await first_signal(watch)
            await watch.close()
            return signal.arguments
        raise AssertionError

    assert container.call(lambda: run(listen())) == (True,)


def test_a_subscription_outlives_the_reexecution_of_pid_1(container: RebootableContainer) -> None:
    async def listen() -> str:
        async for watch in watches([changes_of("sleeper.service")]):
            subprocess_run("systemctl", "daemon-reexec")
            await watch.call(restart_unit("sleeper.service"))
            signal = await first_signal(watch)
            await watch.close()
            return signal.member
        raise AssertionError

    assert container.call(lambda: run(listen())) == "PropertiesChanged"


def test_a_watch_comes_back_after_the_bus_was_restarted(container: RebootableContainer) -> None:
    async def listen() -> tuple[int, str]:
        turns = 0
        async for watch in watches([changes_of("sleeper.service")]):
            turns += 1
            if turns == 1:
                subprocess_run("systemctl", "restart", "dbus.service")
                assert [signal async for signal in watch.signals()] == []
                continue
            await watch.call(restart_unit("sleeper.service"))
            signal = await first_signal(watch)
            await watch.close()
            return turns, signal.member
        raise AssertionError

    assert container.call(lambda: run(listen())) == (2, "PropertiesChanged")


def test_a_call_on_a_bus_that_has_gone_fails_in_one_line(container: RebootableContainer) -> None:
    def call() -> None:
        with Bus.connect() as bus:
            subprocess_run("systemctl", "restart", "dbus.service")
            bus.call(get(MANAGER_PATH, MANAGER, "Version"))

    with pytest.raises(BusError, match="the system bus can't be reached"):
        container.call(call)


def forge(destination: str) -> None:
    """Sends the end of a reload, as if PID 1 did, to one connection."""
    with open_dbus_connection("SYSTEM") as connection:
        connection.send(forged(destination, "Reloading", "b", (False,)))
        # The bus answers in the order of what it is sent.
        connection.send_and_get_reply(get(MANAGER_PATH, MANAGER, "Version").message())


def subprocess_run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
