"""What is being measured, and how much of the budget is used: live on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from graviton_agent.terminal import one_line, say

Narrator = Callable[[str], None]


@contextmanager
def progress(budget_seconds: float) -> Iterator[Narrator]:
    """Yields a function that is told what goes on. Everything is written to standard error."""
    if sys.stderr.isatty():
        with _live(budget_seconds) as narrate:
            yield narrate
    else:
        began = time.monotonic()

        def narrate(words: str) -> None:
            say(f"{time.monotonic() - began:5.1f} s  {words}")

        yield narrate


@contextmanager
def _live(budget_seconds: float) -> Iterator[Narrator]:
    """A bar of the budget with the present step beside it, gone when it ends."""
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    class Budget(Progress):
        """A bar that grows with time, not with reports."""

        def get_renderables(self) -> Iterable[RenderableType]:
            for task in self.tasks:
                task.completed = task.elapsed or 0.0
            return super().get_renderables()

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f} of at most {task.total:.0f} s"),
        TextColumn("{task.description}", markup=False),
    )
    with Budget(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("starting", total=budget_seconds)

        def narrate(words: str) -> None:
            bar.update(task, description=one_line(words))

        yield narrate
