"""Makes text from firmware and kernels fit to be shown: it may hold terminal escapes, 0xff or nothing."""

_LONGEST = 128
"""Characters that are kept: twice what SMBIOS allows a string [SMBIOS 2.x, 6.1.3]."""


def printable(text: str) -> str:
    """The text as one line of printable ASCII: any other character becomes "?"."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text.strip()[:_LONGEST])
