"""Text in aligned columns, fine on a terminal and in a pipe."""

import textwrap
from collections.abc import Sequence

WIDTH = 100
INDENT = "  "


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()
) -> str:
    """Lines of aligned columns, two blanks apart at least.

    Args:
        header: the names of the columns.
        rows: as many cells each as the header has.
        right: indices of the columns that are aligned to the right.
    """
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        (
            INDENT
            + "   ".join(
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        ).rstrip()
        for line in lines
    )


def definitions(pairs: Sequence[tuple[str, str]], *, indent: str = INDENT) -> str:
    """Names, and their meaning beside them; what is too long goes on below itself."""
    if not pairs:
        return ""
    width = max(len(name) for name, _ in pairs) + 3
    room = max(WIDTH - len(indent) - width, 30)
    lines = []
    for name, meaning in pairs:
        first, *rest = textwrap.wrap(meaning, room) or [""]
        lines.append(f"{indent}{name.ljust(width)}{first}".rstrip())
        lines.extend(f"{indent}{' ' * width}{line}" for line in rest)
    return "\n".join(lines)


def paragraph(text: str, *, indent: str = "") -> str:
    """Running text, wrapped."""
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
