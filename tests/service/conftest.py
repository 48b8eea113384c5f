from pathlib import Path

import pytest

from graviton_agent import patience
from tests.control.machine import Managed, managed_machine


@pytest.fixture
def machine(tmp_path: Path) -> Managed:
    """A Graviton3 with one managed unit, llm.service, that doesn't run."""
    return managed_machine(tmp_path / "root")


@pytest.fixture(autouse=True)
def any_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is that these tests run on, nothing that only waits for a CPU is given up."""
    monkeypatch.setattr(patience, "BUSY_TIMES", 1000)
