"""Looks at units side by side, so that one whose files never answer costs no other its turn.

A dead network file system keeps whoever asks for a file of it waiting, in the kernel and without an end. What
asks for the files of one unit is therefore a task of its own. As long as all goes well they run one after the
other in one thread; as soon as one takes too long, each of the others gets a thread of its own. So a pass
over any number of units takes no longer than twice what one of them may take.

A host that is busy is no dead disk: as long as one of the threads runs now and then, or is ready to, it is
for a CPU that they wait, or for each other, and nothing is given up.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from graviton_agent.root import Root

T = TypeVar("T")

SECONDS = 1.5
"""A unit's files that have not answered by then are given up; a cold disk takes a tenth of it."""
BUSY_TIMES = 4
"""So many times as long is waited on a host that is too busy to run the threads."""
MOST_THREADS = 256
"""Side by side; a host where more units hang has no thread left for the rest of them."""


class Patience:
    """Runs tasks, and remembers which of them have never come back."""

    def __init__(
        self, *, seconds: float = SECONDS, came_back: Callable[[str], object] = lambda _: None
    ) -> None:
        """Takes the seconds for each, and whom to tell, in any thread, when one that was given up ends."""
        self._seconds = seconds
        self.came_back = came_back
        self._lock = threading.Condition()
        self._hanging: set[str] = set()

    def each(self, tasks: Mapping[str, Callable[[], T]]) -> dict[str, T]:
        """The results of tasks by name; of those that hang there is none.

        Nothing is begun for a name of which an earlier task still hangs: one hung thread for each is enough.
        Raises what a task raised.
        """
        with self._lock:
            due = deque((name, task) for name, task in tasks.items() if name not in self._hanging)
            batch = _Batch(due)
            if due:
                self._start(batch)
            while batch.waiting or batch.running:
                first = min(batch.running.values(), default=time.monotonic())
                self._lock.wait(max(self._seconds / 10, first + self._seconds - time.monotonic()))
                allowed = self._seconds * (BUSY_TIMES if batch.is_moving() else 1)
                now = time.monotonic()
                overdue = [name for name, since in batch.running.items() if now - since >= allowed]
                for name in overdue:
                    self._hanging.add(name)
                    del batch.running[name]
                if overdue and not self._start_more(batch):
                    break
            batch.waiting.clear()
            if batch.error is not None:
                raise batch.error
            return dict(batch.results)

    def _start_more(self, batch: "_Batch") -> bool:
        """Starts a thread for each task that waits; returns whether any thread is left to run them."""
        for _ in range(min(len(batch.waiting), MOST_THREADS - len(self._hanging))):
            self._start(batch)
        return bool(batch.running) or not batch.waiting

    def _start(self, batch: "_Batch") -> None:
        """Starts a thread with the first task that waits; the lock is held."""
        name, task = batch.waiting.popleft()
        batch.running[name] = time.monotonic()
        batch.started += 1
        threading.Thread(target=self._run, args=(batch, name, task), name=name, daemon=True).start()

    def _run(self, batch: "_Batch", name: str, task: Callable[[], Any]) -> None:
        """Runs this task and then others that wait, unless it was given up meanwhile."""
        batch.threads.append(threading.get_native_id())
        while True:
            result, error = _outcome(task)
            with self._lock:
                if name not in batch.running:
                    self._hanging.discard(name)
                    break
                del batch.running[name]
                if error is None:
                    batch.results[name] = result
                else:
                    batch.error = batch.error or error
                if not batch.waiting:
                    self._lock.notify()
                    return
                name, task = batch.waiting.popleft()
                batch.running[name] = time.monotonic()
        self.came_back(name)


class _Batch:
    """The tasks of one call."""

    def __init__(self, waiting: deque[tuple[str, Callable[[], Any]]]) -> None:
        self.waiting = waiting
        self.running: dict[str, float] = {}
        """Since when, in seconds of the monotonic clock."""
        self.started = 0
        """How many threads were asked for."""
        self.threads: list[int] = []
        """By the kernel's numbers, those that have begun."""
        self._ran: dict[int, str | None] = {}
        """By thread, what it had run at the last look."""
        self.results: dict[str, Any] = {}
        self.error: BaseException | None = None

    def is_moving(self) -> bool:
        """Whether a thread has run since the last look, or would if it had a CPU.

        One that hangs on a disk sleeps in the kernel. So does, for moments, one that waits for its turn in
        the interpreter: its state at the moment of the look doesn't tell, but its time does.
        """
        before, self._ran = self._ran, {thread: _time_on_cpus(thread) for thread in self.threads}
        has_run = before != self._ran
        return has_run or len(self.threads) < self.started or any(map(_is_ready_to_run, self.threads))


def _time_on_cpus(thread: int) -> str | None:
    """What a thread of this process has run and waited for a CPU so far, in nanoseconds, and how often.

    Source: the kernel's Documentation/scheduler/sched-stats.rst. None of a thread that has ended.
    """
    return Root().read_text(f"proc/self/task/{thread}/schedstat")


def _is_ready_to_run(thread: int) -> bool:
    """Whether a thread of this process runs or waits for a CPU [proc_pid_stat(5), state R]."""
    _, _, rest = (Root().read_text(f"proc/self/task/{thread}/stat") or "").rpartition(")")
    return rest.split()[:1] == ["R"]


def _outcome(task: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return task(), None
    except BaseException as error:  # noqa: BLE001 - it is the caller's
        return None, error
