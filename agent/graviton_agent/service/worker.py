"""One thread beside the event loop, for what may wait for PID 1 or for a disk that doesn't answer.

Should it hang, the daemon still answers systemd and says so; the environment files stay as they are.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Done = Callable[[Any, BaseException | None], object]
"""Takes the result, or None and what was raised; it is called in the thread."""


class Worker:
    """Runs one function after the other. The thread never keeps the process from ending."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Callable[[], Any], Done]] = SimpleQueue()
        threading.Thread(target=self._run, name="upkeep", daemon=True).start()

    def run(self, function: Callable[[], Any], done: Done) -> None:
        """Has the function run when those before it have ended."""
        self._waiting.put((function, done))

    def _run(self) -> None:
        while True:
            function, done = self._waiting.get()
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                done(None, error)
            else:
                done(result, None)
