"""The system bus, over which PID 1 is spoken to: calls that wait for their answer, and signals.

`Bus` waits, for commands and for the cage; `watch.py` does the same within asyncio, for the daemon. Both are
jeepney's protocol with our own bookkeeping, a few lines each: jeepney's own drops signals that nobody waits
for, and has no way back after the bus was restarted.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_method_call
from jeepney.auth import AuthenticationError
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from graviton_agent.errors import AgentError
from graviton_agent.units.sparing import SparingParser

ADDRESS = "unix:path=/run/dbus/system_bus_socket"
ANSWER_SECONDS = 25.0
"""As long as libdbus and sd-bus wait by default; a daemon-reload can hold PID 1 for seconds."""
BUS = "org.freedesktop.DBus"
SYSTEMD = "org.freedesktop.systemd1"

_BUS_PATH = "/org/freedesktop/DBus"
# Every signal has these [D-Bus specification, "Message Types"].
_WHICH = (HeaderFields.path, HeaderFields.interface, HeaderFields.member)

UNREACHABLE = "the system bus can't be reached ({})"
UNREACHABLE_HINT = "managing units needs a running systemd and D-Bus (dbus.service or dbus-broker.service)"


class BusError(AgentError):
    """The bus, or who was called over it, refused or did not answer.

    Args:
        message: one line for people.
        hint: one line that says what to do next.
        name: the error's own name, such as "org.freedesktop.systemd1.NoSuchUnit"; None if the bus is lost.
    """

    def __init__(self, message: str, *, hint: str | None = None, name: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.name = name


@dataclass(frozen=True)
class Call:
    """A method call."""

    path: str
    interface: str
    member: str
    signature: str = ""
    arguments: tuple[Any, ...] = ()
    """In jeepney's form: variants are pairs of signature and value, structures are tuples."""
    destination: str = SYSTEMD

    def message(self) -> Message:
        """The message that makes the call."""
        address = DBusAddress(self.path, bus_name=self.destination, interface=self.interface)
        return new_method_call(address, self.member, self.signature or None, self.arguments)


@dataclass(frozen=True)
class Signal:
    """What the bus or PID 1 announces."""

    path: str
    interface: str
    member: str
    arguments: tuple[Any, ...]


SUBSCRIBE = Call("/org/freedesktop/systemd1", f"{SYSTEMD}.Manager", "Subscribe")


def add_match(rule: str) -> Call:
    """Asks the bus to pass on the signals that a rule describes [D-Bus specification, "Match Rules"]."""
    return Call(_BUS_PATH, BUS, "AddMatch", "s", (rule,), destination=BUS)


def remove_match(rule: str) -> Call:
    """Takes back what `add_match` asked for."""
    return Call(_BUS_PATH, BUS, "RemoveMatch", "s", (rule,), destination=BUS)


OWNER = Call(_BUS_PATH, BUS, "GetNameOwner", "s", (SYSTEMD,), destination=BUS)
"""Asks for the name that PID 1's connection has on the bus."""
OWNER_CHANGES = add_match(
    f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'"
)


class Announcements:
    """Tells PID 1's signals from all others.

    Rules keep nothing away: anybody may send a signal straight to a connection, with what content he likes.
    Only the sender's name is the bus's own word [D-Bus specification, "Header Fields"].
    """

    def __init__(self) -> None:
        self.sender: str | None = None
        """The name of PID 1's connection, once `OWNER` was answered; after a re-execution it has another."""

    def take(self, message: Message) -> Signal | None:
        """The signal of PID 1's that a message carries; None for any other message."""
        if message.header.message_type is not MessageType.signal:
            return None
        fields = message.header.fields
        sender = fields.get(HeaderFields.sender)
        path, interface, member = (fields[field] for field in _WHICH)
        if sender == BUS and member == "NameOwnerChanged" and message.body[0] == SYSTEMD:
            self.sender = message.body[2] or None
        if sender is None or sender != self.sender:
            return None
        return Signal(path, interface, member, message.body)


def answer_of(message: Message) -> tuple[Any, ...]:
    """What a reply says. Raises BusError if it says that the call failed."""
    body: tuple[Any, ...] = message.body
    if message.header.message_type is MessageType.error:
        name = message.header.fields.get(HeaderFields.error_name, "unknown error")
        raise BusError(str(body[0]) if body else name, name=name)
    return body


def _answer_or_error(message: Message) -> tuple[Any, ...] | BusError:
    try:
        return answer_of(message)
    except BusError as error:
        return error


def serial_answered(message: Message) -> int | None:
    """The number of the call that a message replies to."""
    serial: int | None = message.header.fields.get(HeaderFields.reply_serial)
    return serial


class Bus:
    """A connection to the system bus."""

    def __init__(self, connection: DBusConnection) -> None:
        self._connection = connection
        self._announcements = Announcements()
        self._signals: deque[Signal] = deque()

    @classmethod
    def connect(cls, address: str = ADDRESS, *, wanted: frozenset[str] | None = None) -> Self:
        """Connects. Raises BusError.

        Args:
            address: of the bus.
            wanted: names of properties; answers then hold no others, and are read much faster.
        """
        try:
            connection = open_dbus_connection(address, enable_fds=True, auth_timeout=ANSWER_SECONDS)
        except (OSError, AuthenticationError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise BusError(UNREACHABLE.format(reason), hint=UNREACHABLE_HINT) from None
        if wanted is not None:
            connection.parser = SparingParser(wanted)
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; what it holds on the other side, such as a unit's reference, is let go."""
        self._connection.close()

    def subscribe(self) -> None:
        """Has PID 1 announce what goes on; `add_match` says what of it is wanted. Raises BusError."""
        self.call(OWNER_CHANGES)
        (self._announcements.sender,) = self.call(OWNER)
        self.call(SUBSCRIBE)

    def call(self, call: Call, *, seconds: float = ANSWER_SECONDS) -> tuple[Any, ...]:
        """Makes a call and waits for the answer. Raises BusError.

        Signals that come meanwhile wait for `next_signal`.
        """
        (answer,) = self.call_all([call], seconds=seconds)
        if isinstance(answer, BusError):
            raise answer
        return answer

    def call_all(
        self, calls: Sequence[Call], *, seconds: float = ANSWER_SECONDS
    ) -> list[tuple[Any, ...] | BusError]:
        """Makes calls side by side, so that PID 1 and this process work at the same time.

        Returns the answers in the order of the calls; a call that failed has its error there. Raises BusError
        if the bus is lost.
        """
        deadline = time.monotonic() + seconds
        answers: dict[int, tuple[Any, ...] | BusError] = {}
        try:
            serials = [next(self._connection.outgoing_serial) for _ in calls]
            for serial, call in zip(serials, calls, strict=True):
                self._connection.send(call.message(), serial=serial)
            waiting = dict(zip(serials, calls, strict=True))
            while waiting:
                message = self._receive(deadline)
                serial = serial_answered(message) or 0
                if waiting.pop(serial, None) is not None:
                    answers[serial] = _answer_or_error(message)
        except TimeoutError:
            missing = next(iter(waiting.values()))
            raise BusError(f"no answer to {missing.member} within {seconds:g} s") from None
        except OSError as error:
            raise BusError(UNREACHABLE.format(error.strerror), hint=UNREACHABLE_HINT) from None
        return [answers[serial] for serial in serials]

    def next_signal(self, seconds: float) -> Signal | None:
        """PID 1's next signal, or None if none comes within that time. Raises BusError."""
        deadline = time.monotonic() + seconds
        try:
            with contextlib.suppress(TimeoutError):
                while not self._signals:
                    self._receive(deadline)
        except OSError as error:
            raise BusError(UNREACHABLE.format(error.strerror), hint=UNREACHABLE_HINT) from None
        return self._signals.popleft() if self._signals else None

    def _receive(self, deadline: float) -> Message:
        """The next message; a signal of PID 1's is put aside too."""
        message = self._connection.receive(timeout=max(0.0, deadline - time.monotonic()))
        signal = self._announcements.take(message)
        if signal is not None:
            self._signals.append(signal)
        return message
