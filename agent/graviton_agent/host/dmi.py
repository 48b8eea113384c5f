"""Reads what firmware says of the machine: DMI values in sysfs, and processors in the raw SMBIOS table.

The values in sysfs are readable by everyone, the raw table by root only, and containers hide it
[torvalds/linux drivers/firmware/dmi-id.c, moby PR 27314].
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from graviton_agent.host.firmware_text import printable
from graviton_agent.root import KIB, MIB, Root

DMI_FOLDER = "sys/class/dmi/id"
DMI_TABLE = "sys/firmware/dmi/tables/DMI"
_PROCESSOR = 4
_END_OF_TABLE = 127
_SMALLEST = 4
"""Bytes of a structure's header: type, length and handle."""
_VERSION, _PART_NUMBER = 0x10, 0x22
"""Offsets in a processor structure of the numbers of these strings."""

_MOST_NAMES = 64
"""Names that are read: no machine has as many processors."""

_NOT_FILLED_IN = frozenset({
    "", "0", "n/a", "na", "none", "not applicable", "not available", "not specified", "default string",
    "system manufacturer", "system product name", "to be filled by o.e.m.", "undefined", "unknown",
})  # fmt: skip
"""What firmware says where its maker said nothing."""


class Dmi(NamedTuple):
    """The values that name a machine; None where firmware says nothing that can be used."""

    sys_vendor: str | None = None
    product_name: str | None = None
    processors: tuple[str, ...] = ()
    """The names that SMBIOS gives the processors, such as "AWS Graviton3"."""


class _Structure(NamedTuple):
    """A structure of the SMBIOS table."""

    fields: bytes
    strings: list[bytes]


def read_dmi(root: Root) -> Dmi:
    """Reads what is readable under the root."""
    return Dmi(
        sys_vendor=_meaning(root.read_bytes(f"{DMI_FOLDER}/sys_vendor", limit=KIB)),
        product_name=_meaning(root.read_bytes(f"{DMI_FOLDER}/product_name", limit=KIB)),
        processors=parse_processors(root.read_bytes(DMI_TABLE, limit=MIB) or b""),
    )


def parse_processors(table: bytes) -> tuple[str, ...]:
    """The names (version and part number) in the processor structures of a raw SMBIOS table, each name once.

    Any bytes will do: a structure that is cut short ends the table [SMBIOS 3.x, 6.1.2 and 7.5].
    """
    names = (_string(structure, at) for structure in _processors(table) for at in (_VERSION, _PART_NUMBER))
    return tuple(dict.fromkeys(itertools.islice((name for name in names if name is not None), _MOST_NAMES)))


def _processors(table: bytes) -> Iterator[_Structure]:
    """The whole processor structures."""
    start = 0
    while start + _SMALLEST <= len(table):
        kind, length = table[start], table[start + 1]
        # The strings end with an empty one; a structure without strings has two zero bytes all the same.
        end = table.find(b"\0\0", start + length)
        if kind == _END_OF_TABLE or length < _SMALLEST or end < 0:
            return
        if kind == _PROCESSOR:
            yield _Structure(table[start : start + length], table[start + length : end].split(b"\0"))
        start = end + 2


def _string(structure: _Structure, offset: int) -> str | None:
    """The string whose number stands at the offset; they count from 1, and 0 stands for none."""
    number = structure.fields[offset] if offset < len(structure.fields) else 0
    return _meaning(structure.strings[number - 1]) if 0 < number <= len(structure.strings) else None


def _meaning(raw: bytes | None) -> str | None:
    """The text, or None where it names nothing: absent, blank, a placeholder, a flash chip's 0xff."""
    text = printable((raw or b"").strip(b" \t\r\n\0").decode("utf-8", errors="replace"))
    return None if text.casefold() in _NOT_FILLED_IN or not text.strip("?") else text
