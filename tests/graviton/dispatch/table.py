"""Keeps what was observed in docs/settings.md: tables between marks, a row per torch and core."""

from collections.abc import Mapping, Sequence
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/settings.md"

Row = tuple[str, ...]


def rows_of(document: str, mark: str) -> tuple[Row, ...]:
    """The table after a mark: its head, then its rows. Raises ValueError if the document has none."""
    head, _, *rows = between(document, mark).splitlines()
    return tuple(_cells(line) for line in (head, *rows))


def replaced(document: str, mark: str, rows: Mapping[Row, Row], order: Sequence[Row]) -> str:
    """The document with these rows in the table after a mark, in place of those with the same keys.

    Args:
        document: Markdown; the table's head stands right after the line `<!-- begin MARK -->`.
        mark: which table.
        rows: cells by key; a key is the row's first cells.
        order: all keys, in the order of their rows. Rows with other keys are dropped.

    Raises ValueError if the document has no such table.
    """
    head, rule, *former = between(document, mark).splitlines()
    width = len(order[0])
    found = {row[:width]: row[width:] for row in map(_cells, former)} | dict(rows)
    lines = [head, rule, *(_line(key + found[key]) for key in order if key in found)]
    return put(document, mark, "\n".join(lines) + "\n")


def between(document: str, mark: str) -> str:
    """What stands between the lines `<!-- begin MARK -->` and `<!-- end MARK -->`. Raises ValueError."""
    begin, end = f"<!-- begin {mark} -->\n", f"<!-- end {mark} -->"
    if begin not in document or end not in document:
        raise ValueError(f"there is no {begin.strip()} ... {end}")
    return document.split(begin, 1)[1].split(end, 1)[0]


def put(document: str, mark: str, text: str) -> str:
    """The document with a text between these lines. Raises ValueError."""
    begin, end = f"<!-- begin {mark} -->\n", f"<!-- end {mark} -->"
    return document.replace(f"{begin}{between(document, mark)}{end}", f"{begin}{text}{end}")


def _cells(line: str) -> Row:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"
