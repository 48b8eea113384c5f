"""Reads the wanted properties out of what PID 1 says of a unit, and passes over the others.

A service has some 350 properties, of which the agent uses 30. To parse them all takes five times as long,
which for fifty units would be most of the time between the daemon's start and READY. Arrays and strings say
how long they are, so that what isn't wanted is never looked at [D-Bus specification, "Marshaling"].
"""

import struct
from collections.abc import Sequence
from typing import Any

from jeepney.low_level import Endianness, Header, HeaderFields, Message, calc_msg_size, parse_signature

_UINT32 = struct.Struct("<I")
_FIXED = {"y": 1, "n": 2, "q": 2, "b": 4, "i": 4, "u": 4, "h": 4, "x": 8, "t": 8, "d": 8}
_ALIGNED_TO_8 = frozenset("({xtd")
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
    found = {}
    position = _aligned(position, 8)
    end, position = _array(raw, position, "{sv}")
    while position < end:
        position = _aligned(position, 8)
        name, position = _text(raw, position)
        length = raw[position]
        signature = raw[position + 1 : position + 1 + length].decode()
        position += length + 2
        if name in wanted:
            kind = parse_signature(list(signature))
            value, position = kind.parse_data(raw, position, Endianness.little)
            found[name.decode()] = (signature, value)
        else:
            position = _end_of_value(raw, position, signature)
    return found


def _end_of_value(raw: bytes, position: int, signature: str) -> int:
    """Where a value ends."""
    kind = signature[0]
    size = _FIXED.get(kind)
    if size is not None:
        return _aligned(position, size) + size
    if kind in "so":
        return _text(raw, position)[1]
    if kind == "a":
        return _array(raw, position, signature[1:])[0]
    # Structures and variants that stand alone are rare in a unit's properties.
    value = parse_signature(list(signature)).parse_data(raw, position, Endianness.little)
    return int(value[1])


def _text(raw: bytes, position: int) -> tuple[bytes, int]:
    """A string, and where it ends: behind the zero byte."""
    position = _aligned(position, 4)
    (length,) = _UINT32.unpack_from(raw, position)
    position += 4
    return raw[position : position + length], position + length + 1


def _array(raw: bytes, position: int, element: str) -> tuple[int, int]:
    """Where an array ends, and where its first element stands."""
    position = _aligned(position, 4)
    (length,) = _UINT32.unpack_from(raw, position)
    begin = _aligned(position + 4, 8) if element[0] in _ALIGNED_TO_8 else position + 4
    return begin + length, begin


def _aligned(position: int, size: int) -> int:
    return position + size - 1 & -size
