from pathlib import Path

import pytest

from tests.control.machine import Managed, managed_machine


@pytest.fixture
def machine(tmp_path: Path) -> Managed:
    """A Graviton3 with one managed unit, llm.service, that doesn't run."""
    return managed_machine(tmp_path / "root")
