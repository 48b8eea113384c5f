"""Keeps what was observed in docs/settings.md: tables between marks, a row per torch and core."""

from collections.abc import Mapping, Sequence

Row = tuple[str, ...]


def replaced(document: str, mark: str, rows: Mapping[Row, Row], order: Sequence[Row]) -> str:
    """The document with these rows in the table after a mark, in place of those with the same keys.

    Args:
        document: Markdown; the table's head stands right after the line `<!-- begin MARK -->`.
        mark: which table.
        rows: cells by key; a key is the row's first cells.
        order: all keys, in the order of their rows. Rows with other keys are dropped.

    Raises ValueError if the document has no such table.
    """
    begin, end = f"<!-- begin {mark} -->\n", f"<!-- end {mark} -->"
    if begin not in document or end not in document:
        raise ValueError(f"there is no {begin.strip()} ... {end}")
    before, rest = document.split(begin, 1)
    table, after = rest.split(end, 1)
    head, rule, *former = table.splitlines()
    width = len(order[0])
    found = {row[:width]: row[width:] for row in map(_cells, former)} | dict(rows)
    lines = [head, rule, *(_line(key + found[key]) for key in order if key in found)]
    return before + begin + "\n".join(lines) + "\n" + end + after


def _cells(line: str) -> Row:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"
