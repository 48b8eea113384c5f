"""Fixtures of the tests that run commands."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from graviton_agent import lock
from graviton_agent.cli.main import main
from graviton_agent.control import scene
from graviton_agent.units.bus import Bus
from tests.cli.command import Command, Result
from tests.control.machine import Managed, managed_machine


@pytest.fixture(autouse=True)
def _keep_signal_handlers() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of the test's own: a calibration that runs on this host is none of its business."""
    path = tmp_path / "locks" / "calibration"
    monkeypatch.setattr(lock, "only_calibration", partial(lock.only_calibration, path=path))
    return path


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_lock: Path
) -> Command:
    """Runs `graviton-agent ARGUMENTS`."""
    del own_lock
    state = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))

    def run(*arguments: str | Path) -> Result:
        code = main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return Result(code, written.out, written.err, state)

    return run


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Managed:
    """A Graviton3 with llm.service, in the place of this machine."""
    machine = managed_machine(tmp_path / "root")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Bus, "connect", lambda: machine.bus)
    original = scene.Scene
    monkeypatch.setattr(scene, "Scene", lambda bus, _root: original(bus, machine.root))
    return machine


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on nothing can be written."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda: monkeypatch.setattr(os, "fsync", full)
