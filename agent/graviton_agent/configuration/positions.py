"""Finds on which line a key of a TOML file stands; tomllib doesn't tell."""

import tomllib
from typing import Any

Path = tuple[str, ...]

LONGEST_STATEMENT = 500
"""Lines; of a longer statement only the first line is understood."""


def key_lines(text: str) -> dict[Path, int]:
    """The first line of each table and key of a text that is TOML, counted from 1.

    The text is taken apart into its statements: a statement is the fewest lines, from where the last one
    ended, that are TOML by themselves. So the only grammar here is tomllib's.
    """
    found: dict[Path, int] = {}
    lines = text.split("\n")
    table: Path = ()
    number = 0
    while number < len(lines):
        tree, size = _statement(lines, number)
        if lines[number].lstrip().startswith("["):
            table = _deepest(tree)
            paths = [table[:depth] for depth in range(1, len(table) + 1)]
        else:
            paths = [table + path for path in _paths(tree)]
        for path in paths:
            found.setdefault(path, number + 1)
        number += size
    return found


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a key, or of the nearest table around it that has a line."""
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return None


def _statement(lines: list[str], start: int) -> tuple[dict[str, Any], int]:
    """The statement that begins on a line, and how many lines it takes."""
    for end in range(start + 1, min(len(lines), start + LONGEST_STATEMENT) + 1):
        try:
            return tomllib.loads("\n".join(lines[start:end])), end - start
        except ValueError:
            continue
    return {}, 1


def _deepest(tree: Any) -> Path:
    """The path that a header names."""
    path: Path = ()
    while (isinstance(tree, dict) and tree) or isinstance(tree, list):
        if isinstance(tree, list):
            tree = tree[0]
            continue
        key = next(iter(tree))
        path, tree = (*path, key), tree[key]
    return path


def _paths(tree: dict[str, Any]) -> list[Path]:
    """The paths of all keys of a statement, inner ones included."""
    found: list[Path] = []
    for key, value in tree.items():
        found.append((key,))
        if isinstance(value, dict):
            found += [(key, *rest) for rest in _paths(value)]
    return found
