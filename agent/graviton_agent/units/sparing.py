"""Reads the wanted properties out of what PID 1 says of a unit, and passes over the others.

A service has some 350 properties, of which the agent uses 30. To parse them all takes six times as long,
which for fifty units would be most of the time between the daemon's start and READY. Arrays and strings say
how long they are, so that what isn't wanted is never looked at [D-Bus specification, "Marshaling"].
"""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

from jeepney.low_level import Endianness, Header, HeaderFields, Message, calc_msg_size, parse_signature

_UINT32 = struct.Struct("<I")
_FIXED = {b"y": 1, b"n": 2, b"q": 2, b"b": 4, b"i": 4, b"u": 4, b"x": 8, b"t": 8, b"d": 8}
"""Types of a fixed size, which they are aligned to."""
_TEXTS = frozenset({b"s", b"o"})
_ARRAY = ord("a")
_ALIGNED_TO_8 = frozenset(b"({xtd")
_FRAME = 16
"""Bytes of a message that tell how long it is."""


class SparingParser:
    """In place of jeepney's own parser; answers of GetAll hold the wanted properties alone."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = frozenset(name.encode() for name in wanted)
        self._buffer = b""
        self._descriptors: list[Any] = []

    def add_data(self, data: bytes, fds: Sequence[Any] = ()) -> None:
        """Takes what was received."""
        self._buffer += data
        self._descriptors += fds

    def bytes_desired(self) -> int:
        """How many bytes the next message lacks at least."""
        return self._size() - len(self._buffer)

    def get_next_message(self) -> Message | None:
        """The next message, if it is whole."""
        size = self._size()
        if len(self._buffer) < size or len(self._buffer) < _FRAME:
            return None
        raw, self._buffer = self._buffer[:size], self._buffer[size:]
        header, position = Header.from_buffer(raw)
        sparing = header.fields.get(HeaderFields.signature) == "a{sv}"
        if sparing and header.endianness is Endianness.little:
            return Message(header, (_wanted_entries(raw, position, self._wanted),))
        message = Message.from_buffer(raw, fds=self._descriptors)
        self._descriptors = self._descriptors[header.fields.get(HeaderFields.unix_fds, 0) :]
        return message

    def _size(self) -> int:
        """Of the next message; of its beginning, as long as that isn't there."""
        return calc_msg_size(self._buffer) if len(self._buffer) >= _FRAME else _FRAME


def _wanted_entries(raw: bytes, position: int, wanted: frozenset[bytes]) -> dict[str, tuple[str, Any]]:
    """The wanted entries of a dictionary of variants; the rest is measured and left."""
    # One loop without calls: fifty units have some twenty thousand properties.
    number = _UINT32.unpack_from
    found = {}
    position = position + 7 & -8
    (length,) = number(raw, position)
    position = position + 4 + 7 & -8
    end = position + length
    while position < end:
        begin = (position + 7 & -8) + 4
        at = begin + number(raw, begin - 4)[0]
        name = raw[begin:at]
        position = at + raw[at + 1] + 3
        signature = raw[at + 2 : position - 1]
        if name in wanted:
            text = signature.decode()
            value, position = _parse(raw, position, text)
            found[name.decode()] = (text, value)
        elif signature in _FIXED:
            size = _FIXED[signature]
            position = (position + size - 1 & -size) + size
        elif signature in _TEXTS:
            position = position + 3 & -4
            position += number(raw, position)[0] + 5
        elif signature[0] == _ARRAY:
            position = position + 3 & -4
            (length,) = number(raw, position)
            position = (position + 11 & -8 if signature[1] in _ALIGNED_TO_8 else position + 4) + length
        else:
            # Structures and variants that stand alone are rare in a unit's properties.
            _, position = _parse(raw, position, signature.decode())
    return found


def _parse(raw: bytes, position: int, signature: str) -> tuple[Any, int]:
    """A value, and where it ends."""
    value, end = _reader(signature).parse_data(raw, position, Endianness.little)
    return value, end


@cache
def _reader(signature: str) -> Any:
    """What parses values of a type: of a few dozen types, many thousand values are read."""
    return parse_signature(list(signature))
