"""The system bus within asyncio: calls side by side, all signals in order, and a way back when it is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from jeepney.auth import AuthenticationError
from jeepney.io.asyncio import DBusConnection, open_dbus_connection

from graviton_agent.units.bus import (
    ADDRESS,
    ANSWER_SECONDS,
    OWNER,
    OWNER_CHANGES,
    SUBSCRIBE,
    UNREACHABLE,
    UNREACHABLE_HINT,
    Announcements,
    BusError,
    Call,
    Signal,
    add_match,
    answer_of,
    serial_answered,
)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class Watch:
    """A connection that has subscribed to signals. `watches` makes them."""

    def __init__(self, connection: DBusConnection) -> None:
        self._connection = connection
        self._announcements = Announcements()
        self._waiting: dict[int, asyncio.Future[tuple[Any, ...]]] = {}
        self._signals: asyncio.Queue[Signal | None] = asyncio.Queue()
        self._receiver = asyncio.create_task(self._receive())

    async def call(self, call: Call) -> tuple[Any, ...]:
        """Makes a call and waits for the answer; several may be under way. Raises BusError."""
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        serial = next(self._connection.outgoing_serial)
        if self._receiver.done():
            raise BusError(UNREACHABLE.format("it was closed"), hint=UNREACHABLE_HINT)
        self._waiting[serial] = answer
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._connection.send(call.message(), serial=serial)
                return await answer
        except TimeoutError:
            raise BusError(f"no answer to {call.member} within {ANSWER_SECONDS:g} s") from None
        except OSError as error:
            raise BusError(UNREACHABLE.format(error.strerror), hint=UNREACHABLE_HINT) from None
        finally:
            del self._waiting[serial]

    async def subscribe(self) -> None:
        """Has PID 1 announce what goes on. Raises BusError."""
        await self.call(OWNER_CHANGES)
        (self._announcements.sender,) = await self.call(OWNER)
        await self.call(SUBSCRIBE)

    async def signals(self) -> AsyncIterator[Signal]:
        """Every signal of PID 1's in the order of its coming; ends when the connection is lost."""
        while (signal := await self._signals.get()) is not None:
            yield signal

    async def close(self) -> None:
        """Closes the connection; calls that still wait fail."""
        self._receiver.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._receiver
        with contextlib.suppress(OSError):
            await self._connection.close()

    async def _receive(self) -> None:
        try:
            while True:
                message = await self._connection.receive()
                signal = self._announcements.take(message)
                if signal is not None:
                    self._signals.put_nowait(signal)
                    continue
                answer = self._waiting.get(serial_answered(message) or 0)
                if answer is not None and not answer.done():
                    try:
                        answer.set_result(answer_of(message))
                    except BusError as error:
                        answer.set_exception(error)
        except (EOFError, OSError):
            pass
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(BusError(UNREACHABLE.format("it was closed"), hint=UNREACHABLE_HINT))
            self._signals.put_nowait(None)


async def watches(rules: Sequence[str], *, address: str = ADDRESS) -> AsyncIterator[Watch]:
    """Yields a connection that gets the signals of these rules, and another one whenever it was lost.

    Whoever loops over this reads everything anew at the beginning of each turn, for signals were missed.
    PID 1 sends none before somebody subscribes; a subscription of logind's would hide its absence.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        watch = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                watch = Watch(await open_dbus_connection(address))
            for rule in rules:
                await watch.call(add_match(rule))
            await watch.subscribe()
            pause = FIRST_PAUSE_SECONDS
            yield watch
        except (OSError, EOFError, TimeoutError, AuthenticationError, BusError):
            # The bus, or PID 1 on it, is not back yet.
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            if watch is not None:
                await watch.close()
        await asyncio.sleep(pause)
