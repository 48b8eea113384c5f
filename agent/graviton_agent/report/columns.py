"""Text in aligned columns, fine on a terminal and in a pipe."""

import textwrap
from collections.abc import Sequence

from graviton_agent.terminal import one_line, visible

WIDTH = 100
INDENT = "  "
GAP = "   "
WIDEST_NAME = 60
NARROWEST = 20
"""Characters that the last column of a table has at least."""


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()
) -> str:
    """Lines of aligned columns, two blanks apart at least; a last column that is too wide takes several.

    Args:
        header: the names of the columns.
        rows: as many cells each as the header has.
        right: indices of the columns that are aligned to the right.
    """
    # What is written out takes more room.
    lines = [[one_line(cell) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    room = max(WIDTH - len(INDENT) - sum(width + len(GAP) for width in widths[:-1]), NARROWEST)
    widths[-1] = min(widths[-1], room)
    broken: list[list[str]] = []
    for *cells, last in lines:
        first, *rest = textwrap.wrap(last, room) or [""]
        broken += [[*cells, first], *([*[""] * len(cells), piece] for piece in rest)]
    return "\n".join(
        (
            INDENT
            + GAP.join(
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        ).rstrip()
        for line in broken
    )


def definitions(pairs: Sequence[tuple[str, str]], *, indent: str = INDENT) -> str:
    """Names, and their meaning beside them; what is too long goes on below itself.

    A name that would leave no room stands above its meaning.
    """
    pairs = [(one_line(name), visible(meaning)) for name, meaning in pairs]
    width = max((len(name) for name, _ in pairs if len(name) <= WIDEST_NAME), default=0) + len(GAP)
    room = WIDTH - len(indent) - width
    lines = []
    for name, meaning in pairs:
        above = len(name) > WIDEST_NAME
        if above:
            lines += [indent + line for line in textwrap.wrap(name, WIDTH - len(indent))]
        first, *rest = textwrap.wrap(meaning, room, break_on_hyphens=False) or [""]
        lines.append(f"{indent}{('' if above else name).ljust(width)}{first}".rstrip())
        lines.extend(f"{indent}{' ' * width}{line}" for line in rest)
    return "\n".join(lines)


def paragraph(text: str, *, indent: str = "") -> str:
    """Running text, wrapped."""
    return textwrap.fill(
        visible(text), WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
