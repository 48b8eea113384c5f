"""Reads /proc/cpuinfo: every CPU's block, for one that differs from the others changes the verdict.

The arm64 kernel prints a block per online CPU [torvalds/linux arch/arm64/kernel/cpuinfo.c]. Containers,
emulators and truncated captures leave out lines, blocks or the final newline, so nothing is required.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from graviton_agent.host.cores import Midr
from graviton_agent.host.firmware_text import printable
from graviton_agent.root import MIB, Root

_LIMIT = 16 * MIB
"""Bytes: the 4096 CPUs that arm64 can have print 2 MB, x86's 8192 print 12 MB."""

_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,8}")
_BLOCK_KEYS = ("CPU implementer", "CPU part")


class Layout(StrEnum):
    """Whose form the text has."""

    ARM64 = "arm64"
    ARM32 = "arm32"
    """A 32-bit kernel's text, or what a 64-bit kernel shows to a process with the 32-bit personality."""
    X86 = "x86"


class CpuInfo(NamedTuple):
    """The whole text."""

    layout: Layout | None
    """None if it is neither Arm's form nor x86's."""
    midrs: tuple[Midr, ...]
    """One for each CPU's block."""
    numbers: tuple[int, ...]
    """The CPUs that have a block with a number."""
    features: tuple[str, ...]
    """The flags that every CPU has, in the order of the first CPU."""
    model_name: str | None
    """The processor's name on x86; arm64 kernels print none."""

    @property
    def midr(self) -> Midr:
        """What is the same in every block; None where they differ, and where one lacks the line."""
        return Midr(*(values.pop() if len(values) == 1 else None for values in self._values()))

    @property
    def has_different_cpus(self) -> bool:
        """Whether two CPUs contradict each other, which a line that is absent doesn't."""
        return any(len(values - {None}) > 1 for values in self._values())

    @property
    def foreign_midr(self) -> Midr | None:
        """The first CPU that is certainly no Graviton's."""
        return next((midr for midr in self.midrs if midr.is_foreign), None)

    def _values(self) -> tuple[set[int | None], ...]:
        """The values that each part of the register has among the CPUs."""
        return (
            {midr.implementer for midr in self.midrs},
            {midr.part for midr in self.midrs},
            {midr.variant for midr in self.midrs},
            {midr.revision for midr in self.midrs},
        )


EMPTY = CpuInfo(layout=None, midrs=(), numbers=(), features=(), model_name=None)


def read_cpuinfo(root: Root) -> CpuInfo:
    """Reads the text under the root; an absent or unreadable one is as good as an empty one."""
    raw = root.read_bytes("proc/cpuinfo", limit=_LIMIT) or b""
    # A longer text is no kernel's, and its unread end might belie its beginning.
    return parse_cpuinfo(raw.decode("utf-8", errors="replace")) if len(raw) < _LIMIT else EMPTY


def parse_cpuinfo(text: str) -> CpuInfo:
    """Parses any text; what it doesn't understand it leaves out."""
    blocks = [lines for lines in _paragraphs(text) if _is_block(lines)]
    if not blocks:
        return EMPTY
    numbers = {number for lines in blocks if (number := _decimal(lines.get("processor", ""))) is not None}
    return CpuInfo(
        layout=_layout(blocks),
        midrs=tuple(_midr(lines) for lines in blocks),
        numbers=tuple(sorted(numbers)),
        features=_common_words([lines.get("Features", lines.get("flags", "")) for lines in blocks]),
        model_name=next(
            (printable(lines["model name"]) for lines in blocks if lines.get("model name")), None
        ),
    )


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Splits at blank lines, and where a key comes again, for captures lose their blank lines."""
    lines: dict[str, str] = {}
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        key = key.strip()
        if lines and (not line.strip() or key in lines):
            yield lines
            lines = {}
        if colon and key:
            lines[key] = value.strip()
    if lines:
        yield lines


def _is_block(lines: dict[str, str]) -> bool:
    """Whether the paragraph describes a CPU: old 32-bit kernels put the identity after the last block."""
    return "processor" in lines or any(key in lines for key in _BLOCK_KEYS)


def _midr(lines: dict[str, str]) -> Midr:
    return Midr(
        implementer=_hexadecimal(lines.get("CPU implementer", "")),
        part=_hexadecimal(lines.get("CPU part", "")),
        variant=_hexadecimal(lines.get("CPU variant", "")),
        revision=_decimal(lines.get("CPU revision", "")),
    )


def _layout(blocks: list[dict[str, str]]) -> Layout | None:
    """Tells the form by its lines; a text that has both forms is a forgery or garbage, and is neither."""
    arm = any(key in lines for lines in blocks for key in _BLOCK_KEYS)
    # s390x prints a vendor_id too: "IBM/S390".
    x86 = any(not lines.get("vendor_id", "IBM").startswith("IBM") for lines in blocks)
    if arm == x86:
        return None
    if x86:
        return Layout.X86
    features = {word for lines in blocks for word in lines.get("Features", "").split()}
    # "half" and "thumb" are hardware capabilities of 32-bit Arm alone [arch/arm/include/uapi/asm/hwcap.h].
    return Layout.ARM32 if features & {"half", "thumb"} else Layout.ARM64


def _common_words(texts: list[str]) -> tuple[str, ...]:
    """The words that stand in every text. CPUs of one kind print one text, so few are really compared."""
    common = set.intersection(*(set(text.split()) for text in set(texts)))
    return tuple(word for word in dict.fromkeys(texts[0].split()) if word in common)


def _hexadecimal(value: str) -> int | None:
    return int(value, 16) if _HEXADECIMAL.fullmatch(value) else None


def _decimal(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= 8 else None
