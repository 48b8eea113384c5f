"""Whether a running unit really has the variables that it should have, key by key."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from graviton_agent.root import Root
from graviton_agent.units.held import UnitEnvironment, reads_our_file
from graviton_agent.units.processes import SETTLE_SECONDS, Process, processes_of, read_process
from graviton_agent.units.unit import Unit

MORE_LOOKS = 2
"""How often a unit is read anew that was restarted meanwhile."""


class Sync(StrEnum):
    """How what runs compares with what should."""

    IN_SYNC = "in sync"
    OVERRIDDEN = "overridden"
    """Somebody else decides, and a restart changes nothing."""
    RESTART_NEEDED = "restart needed"
    UNTOLD = "can't be told"
    """Nobody can see from outside what its main process was started with."""
    NOT_RUNNING = "not running"


@dataclass(frozen=True)
class KeyCheck:
    """One variable of one unit."""

    name: str
    expected: str | None
    """What the agent's file says; None where it leaves the variable alone."""
    actual: str | None
    """What the main process, or the child that differs, was started with; None too where it can't be told."""
    sync: Sync
    source: str | None = None
    """Who has decided in the agent's place; None if nobody has."""
    process: int | None = None
    """The child that differs from the main process; None if none does."""


@dataclass(frozen=True)
class Verification:
    """One unit, with every variable that is expected or there."""

    unit: str
    sync: Sync
    keys: tuple[KeyCheck, ...]
    processes: int = 0
    """How many processes were looked at."""
    untold: int = 0
    """How many of them have nothing that could be compared."""
    is_all: bool = True
    """Whether the unit has no others; of very many only some are looked at."""


@dataclass(frozen=True)
class Expectation:
    """What a unit's processes should have."""

    variables: Mapping[str, str]
    """What the agent's files give to the unit now."""
    changed: datetime | None
    """When that changed last; a process that was started later has had its chance. None if it isn't known."""


def verify(
    unit: Unit,
    expected: Expectation,
    environment: UnitEnvironment,
    names: Iterable[str],
    root: Root,
    *,
    again: Callable[[], Unit] | None = None,
    settle_seconds: float = SETTLE_SECONDS,
) -> Verification:
    """Reads the environment of the unit's processes and compares.

    Args:
        unit: the service as it was a moment ago.
        expected: what it should have.
        environment: what it gets from everybody else.
        names: the variables that the agent might ever write, so that a forgotten one is seen.
        root: of this machine.
        again: asks PID 1 for the unit anew, for it may have been restarted since.
        settle_seconds: how long to wait for a main process that is still systemd's.

    Raises AgentError if the processes can't be looked at.
    """
    wanted = sorted({*names, *expected.variables})
    main = _main_process(unit, wanted, root, settle_seconds)
    for _ in range(MORE_LOOKS):
        if again is None or not unit.is_active or (main is not None and _is_of(main, unit)):
            break
        unit = again()
        main = _main_process(unit, wanted, root, settle_seconds)
    if main is None:
        return Verification(unit.name, Sync.NOT_RUNNING, ())
    if not main.is_legible or main.invocation is None or not _is_of(main, unit):
        untold = [KeyCheck(name, value, None, Sync.UNTOLD) for name, value in expected.variables.items()]
        return Verification(unit.name, Sync.UNTOLD, tuple(untold), processes=1, untold=1)
    members = processes_of(unit.control_group or "/", root)
    others = [
        process
        for pid in members.pids
        if pid != main.pid and (process := read_process(pid, wanted, root, settle_seconds=0)) is not None
    ]
    # A child without INVOCATION_ID was given another environment, and a legible one says which.
    legible = [process for process in others if process.is_legible]
    keys = tuple(
        check
        for name in wanted
        if (check := check_key(name, unit, expected, environment, main=main, others=legible)) is not None
    )
    return Verification(
        unit.name,
        _worst(keys),
        keys,
        processes=1 + len(others),
        untold=len(others) - len(legible),
        is_all=members.is_all,
    )


def _main_process(unit: Unit, names: Iterable[str], root: Root, settle_seconds: float) -> Process | None:
    if not unit.is_active or not unit.main_pid:
        return None
    return read_process(unit.main_pid, names, root, settle_seconds=settle_seconds)


def _is_of(main: Process, unit: Unit) -> bool:
    """Whether nothing says that the process belongs to another start of the unit."""
    return None in {main.invocation, unit.invocation} or main.invocation == unit.invocation


def check_key(
    name: str,
    unit: Unit,
    expected: Expectation,
    environment: UnitEnvironment,
    *,
    main: Process,
    others: Sequence[Process],
) -> KeyCheck | None:
    """Compares one variable; None if it is neither expected nor there."""
    wanted, actual = expected.variables.get(name), main.variables.get(name)
    held = environment.of(name)
    # Where the agent wants nothing, it is as it should be that others decide.
    sync_if_others_decide = Sync.IN_SYNC if wanted is None else Sync.OVERRIDDEN
    if actual == wanted:
        for process in others:
            if process.variables.get(name) != wanted:
                seen = process.variables.get(name)
                source = f"process {process.pid}, which was started with another environment"
                return KeyCheck(name, wanted, seen, sync_if_others_decide, source, process.pid)
        return None if wanted is None else KeyCheck(name, wanted, actual, Sync.IN_SYNC)
    if held is not None and (wanted is not None or held.explains(actual)):
        return KeyCheck(name, wanted, actual, sync_if_others_decide, held.source)
    if wanted is not None and not reads_our_file(unit):
        source = "the unit's own files, which drop the agent's EnvironmentFile="
        return KeyCheck(name, wanted, actual, Sync.OVERRIDDEN, source)
    if expected.changed and unit.started and unit.started > expected.changed:
        source = "what starts the program, such as a script"
        return KeyCheck(name, wanted, actual, sync_if_others_decide, source)
    return KeyCheck(name, wanted, actual, Sync.RESTART_NEEDED)


def _worst(keys: Sequence[KeyCheck]) -> Sync:
    found = {key.sync for key in keys}
    for sync in (Sync.RESTART_NEEDED, Sync.OVERRIDDEN):
        if sync in found:
            return sync
    return Sync.IN_SYNC
