"""What takes the room that an installed package needs, as a table."""

import re
from collections import Counter
from pathlib import Path

from graviton_packages.layout import LIBRARIES, LIBRARY

MIB = 1024 * 1024
NAMES = (
    (rf"{LIBRARIES}/.*\.so$", "compiled extensions"),
    (rf"{LIBRARIES}/.*\.pyc$", "libraries, byte code"),
    (rf"{LIBRARIES}/", "libraries, Python"),
    (rf"{LIBRARY}/.*\.pyc$", "the agent, byte code"),
    (rf"{LIBRARY}/", "the agent"),
    (r"/usr/share/", "documents, man pages, completions"),
    (r"/", "units, launcher, configuration"),
)


def table(stages: dict[str, Path]) -> str:
    """A table in Markdown: what there is, and its size in MiB, with a column for each tree."""
    parts = {name: _parts(stage) for name, stage in stages.items()}
    lines = [f"| | {' | '.join(stages)} |", f"| --- |{' ---: |' * len(stages)}"]
    for _, word in NAMES:
        lines += [f"| {word} | {' | '.join(f'{part[word] / MIB:.1f}' for part in parts.values())} |"]
    lines += [f"| all, in MiB | {' | '.join(f'{part.total() / MIB:.1f}' for part in parts.values())} |"]
    return "\n".join(lines)


def _parts(stage: Path) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for path in stage.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = f"/{path.relative_to(stage)}"
            sizes[next(word for pattern, word in NAMES if re.match(pattern, name))] += path.stat().st_size
    return sizes
