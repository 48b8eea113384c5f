"""The daemon's start: environment files first, then READY, and only then everything else.

Units that are ordered after the agent wait for this, so nothing is imported before READY that writing the
files can do without. asyncio alone takes as long as half of the rest.
"""

import contextlib
import os
import threading
from typing import Any

from graviton_agent.errors import AgentError
from graviton_agent.root import Root
from graviton_agent.service.notify import Notifier
from graviton_agent.service.signals import EarlySignals, Ended
from graviton_agent.service.status import Doing, status
from graviton_agent.service.upkeep import Overview, Upkeep
from graviton_agent.service.worker import Worker
from graviton_agent.terminal import say

START_SECONDS = 5.0
"""After that the agent counts as started, whatever keeps it waiting, PID 1 or a disk: units
then start on what is there."""
LATE = f"the units could not be looked at within {START_SECONDS:g} s"


def main(signals: EarlySignals) -> int:
    """Runs until SIGTERM."""
    notifier = Notifier()
    upkeep = Upkeep(Root(), say=say)
    # The event loop takes SIGTERM over, and then ends by itself.
    with contextlib.suppress(Ended):
        _run(upkeep, notifier, signals)
    try:
        upkeep.leave()
    except AgentError as error:
        say(error.message)
    # A thread that hangs on a disk must not keep the process.
    os._exit(0)


def _run(upkeep: Upkeep, notifier: Notifier, signals: EarlySignals) -> None:
    worker = Worker()
    overview, problem = first_look(upkeep, worker)
    wrong = problem or (overview.problem if overview else None)
    if wrong:
        say(wrong)
    notifier.status(status(overview, Doing(problem=problem)))
    notifier.ready()

    from graviton_agent.service.serving import serve  # noqa: PLC0415 - it imports asyncio

    serve(upkeep, worker, notifier, say, overview, signals=signals)


def first_look(upkeep: Upkeep, worker: Worker) -> tuple[Overview | None, str | None]:
    """Looks at all units; None and why, where that fails or takes too long."""
    outcome: list[Any] = [None, None]
    is_done = threading.Event()

    def done(result: Any, error: BaseException | None) -> None:
        outcome[:] = result, error
        is_done.set()

    worker.run(upkeep.look, done)
    if not is_done.wait(START_SECONDS):
        return None, LATE
    overview, error = outcome
    if error is None:
        return overview, None
    if isinstance(error, AgentError):
        return None, error.message
    raise error
