import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.graviton.dispatch import notebook
from tests.graviton.dispatch.notebook import forget, noted


@dataclass(frozen=True)
class Seen:
    number: int
    errors: tuple[float, ...] = (math.inf,)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "FOLDER", tmp_path)


@pytest.fixture
def looks() -> Iterator[int]:
    """What a process shows: something else each time."""
    return iter(range(9))


def take(looks: Iterator[int], recipe: str = "as ever", *, expected: bool = True) -> Seen:
    return noted("torch's core", [recipe], Seen, lambda: Seen(next(looks)), lambda _: expected)


def test_what_was_seen_is_not_looked_at_again(looks: Iterator[int]) -> None:
    assert take(looks) == take(looks) == Seen(0)


def test_another_recipe_is_looked_at_anew(looks: Iterator[int]) -> None:
    assert [take(looks), take(looks, "with a newer worker")] == [Seen(0), Seen(1)]


def test_what_was_not_expected_is_looked_at_anew(looks: Iterator[int]) -> None:
    assert [take(looks, expected=False), take(looks)] == [Seen(0), Seen(1)]


def test_a_note_of_another_shape_is_none(looks: Iterator[int], tmp_path: Path) -> None:
    take(looks)
    (file,) = tmp_path.iterdir()
    file.write_text('{"numbers": [0]}')
    assert take(looks) == Seen(1)


def test_what_is_forgotten_is_looked_at_anew(looks: Iterator[int]) -> None:
    take(looks)
    forget()
    assert take(looks) == Seen(1)
