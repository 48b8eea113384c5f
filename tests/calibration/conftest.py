"""Fixtures of the tests that start workers."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.calibration.stand_ins import Marked, StandIn, make_stand_in


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    return partial(make_stand_in, tmp_path)


@pytest.fixture
def marked() -> Iterator[Marked]:
    """Finds what a test left behind, and fails the test for it."""
    mark = Marked()
    yield mark
    assert mark.vanish(), f"processes were left behind: {mark.processes()}"
