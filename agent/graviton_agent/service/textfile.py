"""The file of metrics that node_exporter's collector reads."""

import os
import stat
from pathlib import Path

from graviton_agent.errors import StateError
from graviton_agent.installed import METRICS
from graviton_agent.metrics import FILE
from graviton_agent.root import Root
from graviton_agent.state import write_atomically

VARIABLE = "GRAVITON_AGENT_METRICS"
"""A drop-in of graviton-agent.service may name another folder by it; empty writes nothing."""
_EVERYBODY = 0o755


class Textfile:
    """Keeps the file as it is to be."""

    def __init__(self, folder: Path | None) -> None:
        """Takes its folder; None writes nothing."""
        self._folder = folder
        self._text: str | None = None

    @classmethod
    def of(cls, root: Root) -> "Textfile":
        """That of a machine."""
        named = os.environ.get(VARIABLE)
        if named is not None and root.is_this_machine:
            return cls(Path(named) if named else None)
        return cls(root.path / METRICS.lstrip("/"))

    def write(self, text: str) -> None:
        """Writes it in one step, if it says something new. Raises StateError once for each such text."""
        if self._folder is None or text == self._text:
            return
        self._text = text
        if not self._folder.is_dir():
            # Only systemd makes it for the daemon, and takes it away at its end.
            return
        try:
            # systemd makes all of a service's folders with one mode, and the collector is another user.
            if os.geteuid() == self._folder.stat().st_uid and self._mode() != _EVERYBODY:
                self._folder.chmod(_EVERYBODY)
        except OSError as error:
            raise StateError(f"can't open {self._folder} to others: {error.strerror}") from error
        write_atomically(self._folder / FILE, text.encode())

    def _mode(self) -> int:
        assert self._folder is not None  # noqa: S101 - it is asked for with a folder alone
        return stat.S_IMODE(self._folder.stat().st_mode)
