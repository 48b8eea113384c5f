"""What was seen of a process, kept under .cache/graviton/: a run that was cut short goes on where it was.

A process costs a minute of CPU time under emulation, and the matrix has three dozen.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from tests.graviton.kept import CACHE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FOLDER = CACHE / "dispatch"

T = TypeVar("T", bound="DataclassInstance")


def noted(
    name: str, recipe: object, kind: type[T], see: Callable[[], T], as_expected: Callable[[T], bool]
) -> T:
    """What was seen before from the same recipe, or else is seen now.

    Args:
        name: what is looked at, such as "2.9.1 neoverse-v1 default".
        recipe: all that may change what is seen, as JSON's types.
        kind: the dataclass of what is seen.
        see: looks.
        as_expected: whether that is worth keeping. Whatever else happened is looked at anew the next time.
    """
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    file = FOLDER / f"{re.sub(r'[^a-z0-9.]+', '-', name)}@{digest}.json"
    try:
        return TypeAdapter(kind).validate_python(json.loads(file.read_text()))
    except (FileNotFoundError, ValidationError):
        # A note of another shape is none.
        pass
    seen = see()
    if as_expected(seen):
        FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(seen)))
        unfinished.replace(file)
    return seen


def forget() -> None:
    """Has everything looked at anew."""
    for file in FOLDER.glob("*.json"):
        file.unlink()
