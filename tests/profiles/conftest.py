from pathlib import Path

import pytest

from tests.profiles.host import AgentHost, agent_host


@pytest.fixture
def host(tmp_path: Path) -> AgentHost:
    """A Graviton3 with a unit that serves with torch 2.9.1 from a venv."""
    return agent_host(tmp_path)
