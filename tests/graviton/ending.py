"""How a run of hours ends early, and leaves nothing: as by Ctrl-C, whoever ends it."""

import signal
from types import FrameType
from typing import NoReturn


def end_as_by_ctrl_c() -> None:
    """Has SIGTERM, and SIGHUP of a terminal that has gone, raise KeyboardInterrupt."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
