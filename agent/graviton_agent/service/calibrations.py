"""Has PID 1 run a calibration as a service of its own, and says what came of it."""

import asyncio
import contextlib

from graviton_agent.errors import ExitCode
from graviton_agent.installed import QUIET
from graviton_agent.units.bus import BusError
from graviton_agent.units.manager import (
    SERVICE,
    UNIT,
    get,
    list_units,
    reset_failed,
    start_unit,
    stop_unit,
    unit_path,
)
from graviton_agent.units.names import instance_of, template_of
from graviton_agent.units.watch import Watch

NO_JOB = 0
UNDER_WAY = {"activating", "deactivating"}
"""States of a oneshot service that has not ended [systemd.service(5)]."""


def service_for(unit: str) -> str:
    """The service that calibrates a unit when the host is quiet."""
    return QUIET.replace("@", f"@{unit}")


def unit_for(service: str, template: str = QUIET) -> str | None:
    """The unit that a service of the agent's is for; None for any other service."""
    return instance_of(service) if template_of(service) == template else None


class Calibrations:
    """One calibration at a time. The connection to the bus may be lost and come back meanwhile."""

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._stirred = asyncio.Event()

    def connected(self, watch: Watch | None) -> None:
        """Takes the connection to the bus, or None when it was lost."""
        self._watch = watch
        self._stirred.set()

    def stirred(self) -> None:
        """A job of a calibrating service has ended."""
        self._stirred.set()

    async def run(self, unit: str, seconds: float) -> ExitCode | None:
        """Calibrates a unit for so long at most, and returns how the command ended.

        None: it did not end by itself, or could not be started. It goes on where an earlier daemon left one.
        """
        service = service_for(unit)
        try:
            async with asyncio.timeout(seconds):
                if self._watch is None:
                    return None
                await self._watch.call(start_unit(service))
                return await _exit_code(await self._end_of(service), service)
        except TimeoutError:
            await self.stop(unit)
            return None
        except BusError:
            return None

    async def _end_of(self, service: str) -> Watch:
        """Returns the connection when the service has ended: whatever signals say, its state is asked for."""
        while True:
            self._stirred.clear()
            with contextlib.suppress(BusError):
                watch = self._watch
                if watch is not None and not await _is_under_way(watch, service):
                    return watch
            await self._stirred.wait()

    async def stop(self, unit: str) -> None:
        """Ends the calibration of a unit; what it has measured is not used."""
        with contextlib.suppress(BusError):
            if self._watch is not None:
                await self._watch.call(stop_unit(service_for(unit)))

    async def control_group(self, unit: str) -> str | None:
        """The control group of the service that calibrates a unit; None if it isn't known."""
        with contextlib.suppress(BusError):
            if self._watch is not None:
                path = unit_path(service_for(unit))
                ((_, group),) = await self._watch.call(get(path, SERVICE, "ControlGroup"))
                return group or None
        return None

    async def under_way(self) -> str | None:
        """The unit whose calibration an earlier daemon has left running; None if there is none."""
        with contextlib.suppress(BusError):
            if self._watch is not None:
                (found,) = await self._watch.call(list_units([QUIET.replace("@", "@*")]))
                return next((unit_for(entry[0]) for entry in found if entry[3] in UNDER_WAY), None)
        return None


async def _is_under_way(watch: Watch, service: str) -> bool:
    """Whether a service has not ended, or not begun: a job is only queued when PID 1 has answered."""
    path = unit_path(service)
    ((_, (job, _)),) = await watch.call(get(path, UNIT, "Job"))
    ((_, state),) = await watch.call(get(path, UNIT, "ActiveState"))
    return job != NO_JOB or state in UNDER_WAY


async def _exit_code(watch: Watch, service: str) -> ExitCode | None:
    """How the command ended. PID 1 then forgets that it failed, for the daemon deals with that."""
    path = unit_path(service)
    ((_, result),) = await watch.call(get(path, SERVICE, "Result"))
    ((_, status),) = await watch.call(get(path, SERVICE, "ExecMainStatus"))
    with contextlib.suppress(BusError):
        await watch.call(reset_failed(service))
    if result not in {"success", "exit-code"}:
        return None
    return ExitCode(status) if status in set(ExitCode) else ExitCode.FAILED
