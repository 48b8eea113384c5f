"""All that the agent prints goes through here, so that nothing in it can speak to a terminal.

What workers print, what torch calls its version, names, descriptions and files are other people's, and may
hold escape sequences, or characters that turn the order of a line around. Standard library alone.
"""

import contextlib
import json
import sys


def visible(text: str) -> str:
    r"""The text with all that isn't printed as a character of its own written out: \u001b for an escape.

    Those are control characters, marks of direction, blanks of other widths and bytes that were no text. Line
    breaks stay. JSON writes them alike, so that JSON stays what it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """The same without line breaks, which are written out too."""
    return visible(text).replace("\n", "\\n")


def tell(text: str, *, end: str = "\n") -> None:
    """Prints a report, or JSON."""
    sys.stdout.write(visible(text) + end)


def say(line: str) -> None:
    """Writes a line for whoever looks on, if anybody does: to standard error, which services' journal is."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{one_line(line)}\n")
        sys.stderr.flush()
