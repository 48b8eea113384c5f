"""Reads what firmware says of the machine: DMI values in sysfs, and processors in the raw SMBIOS table.

The values in sysfs are readable by everyone, the raw table by root only, and containers hide it
[torvalds/linux drivers/firmware/dmi-id.c, moby PR 27314].
"""

from collections.abc import Iterator
from dataclasses import dataclass

from graviton_agent.host.firmware_text import printable
from graviton_agent.root import MIB, Root

DMI_FOLDER = "sys/class/dmi/id"
DMI_TABLE = "sys/firmware/dmi/tables/DMI"
TABLE_LIMIT = MIB
"""Bytes of the raw table that are read."""

_PROCESSOR = 4
_END_OF_TABLE = 127
_SMALLEST_HEADER = 4

_NOT_FILLED_IN = frozenset({
    "", "0", "n/a", "na", "none", "not applicable", "not available", "not specified", "default string",
    "system manufacturer", "system product name", "to be filled by o.e.m.", "undefined", "unknown",
})  # fmt: skip
"""What firmware says where its maker said nothing."""


@dataclass(frozen=True)
class Dmi:
    """The values that name a machine; None where firmware says nothing that can be used."""

    sys_vendor: str | None = None
    product_name: str | None = None
    processors: tuple[str, ...] = ()
    """What SMBIOS type 4 says of each processor, "manufacturer version part-number"."""


def read_dmi(root: Root) -> Dmi:
    """Reads what is readable under the root."""

    def value(name: str) -> str | None:
        return _meaning(root.read_line(f"{DMI_FOLDER}/{name}") or "")

    return Dmi(
        sys_vendor=value("sys_vendor"),
        product_name=value("product_name"),
        processors=parse_processors(root.read_bytes(DMI_TABLE, limit=TABLE_LIMIT) or b""),
    )


def parse_processors(table: bytes) -> tuple[str, ...]:
    """What each processor structure of a raw SMBIOS table says, as printable text.

    Any bytes will do: a structure that is cut short ends the table [SMBIOS 3.x, 6.1.2 and 7.5].
    """
    return tuple(
        _processor(formatted, strings) for kind, formatted, strings in _structures(table) if kind == 4
    )


def _structures(table: bytes) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Every whole structure: its type, its formatted area, its strings."""
    start = 0
    while start + _SMALLEST_HEADER <= len(table):
        kind, length = table[start], table[start + 1]
        strings_start = start + length
        # The strings end with an empty one; a structure without strings has two zero bytes all the same.
        end = table.find(b"\0\0", strings_start)
        if kind == _END_OF_TABLE or length < _SMALLEST_HEADER or end < 0:
            return
        strings = table[strings_start:end].split(b"\0") if kind == _PROCESSOR else []
        yield kind, table[start:strings_start], strings
        start = end + 2


def _processor(formatted: bytes, strings: list[bytes]) -> str:
    """The manufacturer (offset 0x07), version (0x10) and part number (0x22) of a processor structure."""
    words = []
    for offset in (0x07, 0x10, 0x22):
        # A string is named by its number, from 1; 0 means that there is none.
        number = formatted[offset] if offset < len(formatted) else 0
        raw = strings[number - 1] if 0 < number <= len(strings) else b""
        words.append(_meaning(raw.decode("utf-8", errors="replace")))
    return " ".join(dict.fromkeys(word for word in words if word is not None))


def _meaning(raw: str) -> str | None:
    """The printable text, or None where it names nothing: placeholders, blanks, a flash chip's 0xff."""
    text = printable(raw)
    return None if text.casefold() in _NOT_FILLED_IN or not text.strip("?") else text
