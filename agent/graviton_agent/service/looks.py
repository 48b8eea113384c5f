"""Which units are to be looked at anew: what comes together is looked at together, and not all the time."""

import asyncio
from collections.abc import Iterable

SETTLE_SECONDS = 0.05
"""How long more is waited for: an upgrade changes many files."""
PAUSE_SECONDS = 0.5
"""Between two looks, for a unit that is restarted all the time must not cost more."""

ALL = None
"""In place of names: the configuration and every unit."""


class Looks:
    """What waits to be looked at."""

    def __init__(
        self, *, settle_seconds: float = SETTLE_SECONDS, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._settle_seconds, self._pause_seconds = settle_seconds, pause_seconds
        self._names: set[str] = set()
        self._all = False
        self._asked = asyncio.Event()
        self._not_before = 0.0

    def ask(self, names: Iterable[str] | None) -> None:
        """Has these units looked at, or all with `ALL`."""
        self._names |= set(names or ())
        self._all |= names is ALL
        if self._all or self._names:
            self._asked.set()

    async def next(self) -> frozenset[str] | None:
        """Waits until something is asked for, and returns all that was."""
        await self._asked.wait()
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(self._settle_seconds, self._not_before - clock()))
        self._not_before = clock() + self._pause_seconds
        names = ALL if self._all else frozenset(self._names)
        self._names, self._all = set(), False
        self._asked.clear()
        return names
