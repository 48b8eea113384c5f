"""The daemon after its start: waits for what changes, and does what follows. It never polls for changes.

What wakes it: PID 1's signals, when a job of some unit has ended and when all were reloaded; the kernel's,
when a watched file changes; systemd's SIGHUP and SIGTERM; and the watchdog's time. Only while a unit waits
for its calibration it also looks every now and then whether the host is quiet.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeVar

from graviton_agent.errors import AgentError, ExitCode
from graviton_agent.installed import GATE
from graviton_agent.patience import Patience
from graviton_agent.root import Root
from graviton_agent.service.calibrations import Calibrations, service_for, unit_for
from graviton_agent.service.file_watch import FileWatch
from graviton_agent.service.inotify import Inotify
from graviton_agent.service.listening import EVERYBODY, ways
from graviton_agent.service.looks import ALL, Looks
from graviton_agent.service.marks import Mark
from graviton_agent.service.notify import Notifier, watchdog_seconds
from graviton_agent.service.others import Use, read_use, seconds_between, why_stop
from graviton_agent.service.quiet import Spell, read
from graviton_agent.service.signals import ENDING, RELOADING, EarlySignals
from graviton_agent.service.status import Doing, status
from graviton_agent.service.turns import Turns, Waiting
from graviton_agent.service.upkeep import Overview, Say, Upkeep
from graviton_agent.service.worker import Worker
from graviton_agent.units.bus import Signal
from graviton_agent.units.manager import JOB_ENDS, RELOADS
from graviton_agent.units.watch import watches

T = TypeVar("T")

LONG_SECONDS = 10.0
FIRST_RETRY_SECONDS = 30.0
LONGEST_RETRY_SECONDS = 3600.0
RECHECK_SECONDS = 6 * 3600.0
"""How often all is looked at though nothing was announced: THP's mode, and results that are due again, change
in silence."""
CALIBRATION_MARGIN_SECONDS = 900.0
"""Beyond a unit's budget: its calibration may wait ten minutes for another one to end."""


def serve(
    upkeep: Upkeep,
    worker: Worker,
    notifier: Notifier,
    say: Say,
    overview: Overview | None,
    *,
    signals: EarlySignals,
) -> None:
    """Runs until SIGTERM."""
    asyncio.run(Service(upkeep, worker, notifier, say, overview).run(signals))


class Service:
    """The daemon's tasks, and what they know together."""

    def __init__(
        self, upkeep: Upkeep, worker: Worker, notifier: Notifier, say: Say, overview: Overview | None
    ) -> None:
        self._upkeep, self._worker, self._notifier, self._say = upkeep, worker, notifier, say
        self._overview = overview
        self._looks = Looks()
        self._files = _file_watch(say, upkeep.patience)
        self._calibrations = Calibrations()
        self._turns = Turns()
        self._spell: Spell | None = None
        self._calibrating: str | None = None
        self._problem: str | None = None
        self._said = overview.problem if overview else None
        """The problem that the journal knows of."""
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._retry: asyncio.TimerHandle | None = None
        self._is_reloading = False
        self._looked = asyncio.Event()
        self._gates_ended: set[str] = set()
        self._left_running: str | None = None
        """The unit whose calibration an earlier daemon has begun."""

    async def run(self, signals: EarlySignals) -> None:
        """Runs until SIGTERM, or until a task fails: systemd then starts a new daemon."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in ENDING:
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(RELOADING, self._reload)
        # What comes from now on is handled by the loop, what came before was remembered.
        if signals.wants_reload:
            self._reload()
        self._upkeep.patience.came_back = lambda name: self._ask_from_thread(loop, [name])
        if self._files:
            loop.add_reader(self._files.descriptor, self._heard)
        stopping = asyncio.create_task(stop.wait())
        tasks = {
            asyncio.create_task(task)
            for task in (self._look_on(), self._listen(), self._calibrate_on(), self._stay_alive())
        }
        ended, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        self._notifier.stopping()
        for task in ended:
            task.result()

    async def _look_on(self) -> None:
        while True:
            names = await self._looks.next()
            is_reload, self._is_reloading = self._is_reloading and names is ALL, False
            await self._look(names)
            if is_reload:
                self._notifier.ready()

    async def _look(self, names: frozenset[str] | None) -> None:
        """Looks at units, and takes in what was found."""
        loop = asyncio.get_running_loop()
        try:
            self._overview = await self._in_worker(partial(self._look_and_watch, loop, names))
            self._problem, wrong = None, self._overview.problem
        except AgentError as error:
            self._problem = wrong = error.message
        if wrong is None:
            self._retry_seconds = FIRST_RETRY_SECONDS
        else:
            if wrong != self._said:
                self._say(wrong)
            self._retry_later()
        self._said = wrong
        self._note_results()
        self._looked.set()
        self._tell()

    def _retry_later(self) -> None:
        """Sees to it that everything is looked at again, though nothing may be announced."""
        if self._retry:
            self._retry.cancel()
        self._retry = asyncio.get_running_loop().call_later(self._retry_seconds, self._looks.ask, ALL)
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)

    def _look_and_watch(self, loop: asyncio.AbstractEventLoop, names: frozenset[str] | None) -> Overview:
        """In the worker's thread: file systems that hang must not hold the loop."""
        overview = self._overview
        try:
            overview = self._upkeep.look(names)
            self._upkeep.publish()
        finally:
            if self._files:
                armed = self._files.arm(ways(overview))
                if armed.refused:
                    self._say(f"not all files can be watched: {armed.refused.strerror}")
                # They may have changed between the look and the watch.
                self._ask_from_thread(loop, armed.changed)
        return overview

    async def _in_worker(self, function: Callable[[], T]) -> T:
        """Has the worker run a function, and says so if that takes long."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if not future.done():
                future.set_result(result) if error is None else future.set_exception(error)

        def done(result: Any, error: BaseException | None) -> None:
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result, error)

        self._worker.run(function, done)
        ended, _ = await asyncio.wait({future}, timeout=LONG_SECONDS)
        if not ended:
            self._problem = f"looking at the units takes longer than {LONG_SECONDS:g} s"
            self._tell()
        return await future

    async def _listen(self) -> None:
        async for watch in watches([JOB_ENDS, RELOADS]):
            self._calibrations.connected(watch)
            self._left_running = await self._calibrations.under_way()
            # What was announced before this is missed.
            self._looks.ask(ALL)
            async for heard in watch.signals():
                self._take(heard)
            self._calibrations.connected(None)

    def _take(self, heard: Signal) -> None:
        if heard.member == "Reloading" and heard.arguments == (False,):
            self._looks.ask(ALL)
        elif heard.member == "JobRemoved":
            name = heard.arguments[2]
            if unit_for(name):
                self._calibrations.stirred()
            elif unit := unit_for(name, GATE):
                self._gates_ended.add(unit)
                self._looks.ask([unit])
            elif self._overview is None or self._overview.configuration.unit(name):
                self._looks.ask([name])

    def _ask_from_thread(self, loop: asyncio.AbstractEventLoop, listeners: Collection[str]) -> None:
        """Has units looked at, from another thread."""
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._ask, listeners)

    def _ask(self, listeners: Collection[str]) -> None:
        self._looks.ask(ALL if EVERYBODY in listeners else listeners)

    def _heard(self) -> None:
        if self._files:
            self._ask(self._files.heard())

    def _reload(self) -> None:
        self._notifier.reloading()
        self._turns.forget()
        self._is_reloading = True
        self._looks.ask(ALL)

    async def _calibrate_on(self) -> None:
        while True:
            self._looked.clear()
            spell, unit = self._present_spell(), self._next()
            self._tell()
            if self._overview and self._left_running and self._calibrating is None:
                left, self._left_running = self._left_running, None
                await self._calibrate(left, "as an earlier daemon has begun to")
            elif spell is None or unit is None:
                self._spell = None
                await self._until_something_waits()
            elif spell.take(read(Root(), time.monotonic())):
                await self._calibrate(unit)
                self._spell = None
            else:
                self._tell()
                await asyncio.sleep(spell.seconds_between)

    def _next(self) -> str | None:
        """The unit whose turn it is when the host is quiet."""
        return self._turns.next(self._waiting(), time.monotonic())

    def _present_spell(self) -> Spell | None:
        """The reckoning of how long it has been quiet, by the present bounds."""
        if self._overview and (
            self._spell is None or self._spell.bounds != self._overview.configuration.quiet
        ):
            self._spell = Spell(self._overview.configuration.quiet)
        return self._spell if self._overview else None

    def _waiting(self) -> list[Waiting]:
        views = self._overview.units.values() if self._overview else ()
        return [Waiting(view.name, view.policy, view.is_running) for view in views if view.wants_calibration]

    async def _until_something_waits(self) -> None:
        """Returns when a unit may have come to wait, or has waited long enough after a failure."""
        now = time.monotonic()
        pause_ends = self._turns.next_pause_ends(self._waiting(), now)
        seconds = RECHECK_SECONDS if pause_ends is None else min(RECHECK_SECONDS, pause_ends - now)
        try:
            async with asyncio.timeout(seconds):
                await self._looked.wait()
        except TimeoutError:
            if seconds == RECHECK_SECONDS:
                self._looks.ask(ALL)

    async def _calibrate(self, unit: str, why: str = "for the host is quiet") -> None:
        """Calibrates a unit, unless it has been dealt with since it was last looked at."""
        await self._look(frozenset({unit}))
        if not self._wants_calibration(unit):
            return
        self._say(f"calibrating {unit}, {why}")
        self._calibrating = unit
        self._tell()
        budget = self._overview.units[unit].budget_seconds if self._overview else 0.0
        calibration = asyncio.create_task(self._calibrations.run(unit, budget + CALIBRATION_MARGIN_SECONDS))
        needed = await self._until_others_need_it(unit, calibration)
        if needed:
            await self._calibrations.stop(unit)
        code = await calibration
        self._calibrating = None
        await self._look(frozenset({unit}))
        if self._wants_calibration(unit) and code is not ExitCode.BUSY:
            self._failed(unit, needed)

    async def _until_others_need_it(
        self, unit: str, calibration: "asyncio.Task[ExitCode | None]"
    ) -> str | None:
        """Returns what others need the host for, or None when the calibration has ended before they did."""
        before: Use | None = None
        while self._overview and unit in self._overview.units:
            bounds = self._overview.configuration.quiet
            now = await self._use(unit, self._overview)
            needed = why_stop(before, now, bounds, os.cpu_count() or 1) if before else None
            if needed:
                return needed
            before = now
            ended, _ = await asyncio.wait({calibration}, timeout=seconds_between(bounds))
            if ended:
                return None
        return None

    async def _use(self, unit: str, overview: Overview) -> Use:
        views = overview.units.values()
        group = await self._calibrations.control_group(unit)
        return read_use(
            Root(),
            time.monotonic(),
            slice_name=overview.units[unit].slice,
            own=[group] if group else [],
            serving={view.name: view.control_group for view in views if view.control_group},
        )

    def _wants_calibration(self, unit: str) -> bool:
        view = self._overview.units.get(unit) if self._overview else None
        return view is not None and view.wants_calibration

    def _failed(self, unit: str, needed: str | None) -> None:
        failure = self._turns.failed(unit, time.monotonic(), for_others=needed is not None)
        why = f"could not be calibrated (journalctl --unit='{service_for(unit)}' tells why)"
        if needed:
            why = f"is not calibrated on, for {needed}; what was measured is not used"
        self._say(f"{unit} {why}; the next try is in {failure.pause / 3600:g} h at the earliest")

    def _note_results(self) -> None:
        """Forgets failures of what is settled. A calibration that failed at a gate has failed too."""
        for view in self._overview.units.values() if self._overview else ():
            if not view.wants_calibration:
                self._turns.settled(view.name)
            elif view.name in self._gates_ended and self._upkeep.mark(view.name) is Mark.FAILED:
                self._turns.failed(view.name, time.monotonic())
        self._gates_ended.clear()

    async def _stay_alive(self) -> None:
        seconds = watchdog_seconds()
        while True:
            self._notifier.alive()
            await asyncio.sleep(seconds or RECHECK_SECONDS)

    def _tell(self) -> None:
        """Says how things stand."""
        doing = Doing(
            calibrating=self._calibrating,
            next=self._next(),
            busy=self._spell.busy if self._spell else None,
            failed=self._turns.failures,
            stopped=self._turns.stopped,
            problem=self._problem,
        )
        self._notifier.status(status(self._overview, doing))


def _file_watch(say: Say, patience: Patience) -> FileWatch | None:
    """The watch over files; None where the kernel has none left for this user."""
    try:
        return FileWatch(Inotify(), patience)
    except OSError as error:
        say(f"files can't be watched ({error.strerror}): changes of torch are noticed when a unit starts")
        return None
