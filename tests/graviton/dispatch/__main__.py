"""`python -m tests.graviton.dispatch`: real aarch64 torch on emulated cores, and what is alive there.

`make test-dispatch` is its usual name. It builds what is missing, checks the product's claims, writes the
tables of docs/settings.md, changes nothing else outside .cache/graviton, and leaves nothing running. What it
has seen it keeps there, and looks again where anything that decides on it has changed.
"""

import argparse
import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.pool import AsyncResult
from multiprocessing.pool import Pool as WorkerProcesses
from subprocess import TimeoutExpired
from types import FrameType
from typing import NoReturn

from graviton_agent.errors import InterpreterError
from tests.graviton.dispatch import looks, rows
from tests.graviton.dispatch.claims import (
    BF16_ATTRIBUTE,
    BREAKS,
    FP32_KERNEL,
    ZERO,
    Claim,
    claims,
    empty_threshold,
    misleading,
    observed,
    own_threshold,
)
from tests.graviton.dispatch.looks import CORES, DEFAULT, ENVIRONMENTS, Log, Look, Probed
from tests.graviton.dispatch.notebook import forget
from tests.graviton.dispatch.table import DOCUMENT, Row, put, replaced
from tests.graviton.ending import end_as_by_ctrl_c
from tests.graviton.kept import PreparationError
from tests.graviton.qemu import qemu
from tests.graviton.sysroot import sysroot
from tests.graviton.verification import agent_version
from tests.graviton.wheels import TORCH, unpacked

PROBED = "neoverse-v1"
"""Where each torch is asked about itself: its build is the same on every core."""
WITHOUT_BF16 = "neoverse-n1"
"""Where oneDNN's log would mislead who looks for bf16 in it."""

BUILDS = {
    "2.6.0": ("24.09", "openblas", "0.3.28", "malloc", ZERO),
    "2.9.1": ("25.02", "openblas", "0.3.30", "malloc", BREAKS),
    "2.10.0": ("52.6.0", "openblas", "0.3.30", "mimalloc", BREAKS),
}
"""The Arm Compute Library, the BLAS library and the allocator of PyPI's wheels, by the strings in them, and
what an empty threshold does."""


@dataclass(frozen=True)
class Cell:
    """One torch on one core: what its processes will have shown."""

    torch: str
    core: str
    looks: "dict[str, AsyncResult[Look]]"
    build: "AsyncResult[Probed]"


def main() -> int:
    """Looks at the matrix; returns 1 if a claim does not hold, 2 if it can't be looked at."""
    arguments = _arguments()
    end_as_by_ctrl_c()
    if arguments.anew:
        forget()
    try:
        _prepare(arguments)
        versions = f"QEMU {qemu().version}, Debian 12 arm64, {agent_version()}"
        # Leaving it ends its processes, and they end the emulators that they started.
        with multiprocessing.Pool(arguments.jobs, initializer=_obey_the_first) as pool:
            made = [claim for part in _parts(pool, arguments) for claim in _told(*part)]
    except (PreparationError, InterpreterError, TimeoutExpired) as error:
        print(f"nothing more can be looked at: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing is left running", file=sys.stderr)
        return 130
    passed = sum(claim.holds for claim in made)
    words = f"{passed} passed, {len(made) - passed} failed"
    matrix = f"torch {', '.join(arguments.torch)} on {', '.join(arguments.core)}"
    last = f"{looks.today()}, {matrix}: {words} ({versions}).\n"
    DOCUMENT.write_text(put(DOCUMENT.read_text(), "last run", last))
    print(words, flush=True)
    return 0 if passed == len(made) else 1


def _prepare(arguments: argparse.Namespace) -> None:
    """Makes what is missing, before several processes would wait for it. Raises PreparationError."""
    if missing := set(arguments.core) - qemu().cores():
        raise PreparationError(f"this QEMU has no {', '.join(sorted(missing))}")
    sysroot()
    for torch in arguments.torch:
        unpacked(torch)


def _parts(pool: WorkerProcesses, arguments: argparse.Namespace) -> Iterator[tuple[str, list[Claim]]]:
    """Starts everything at once, and gives the claims of each torch, and of each core, as they come."""
    start = pool.apply_async
    builds = {torch: start(looks.build, (torch, PROBED)) for torch in arguments.torch}
    empty = {torch: start(looks.look_at_empty_threshold, (torch, PROBED)) for torch in arguments.torch}
    logs = {torch: start(looks.log, (torch, WITHOUT_BF16)) for torch in arguments.torch}
    cells = [
        Cell(
            torch,
            core,
            {name: start(looks.look, (torch, core, name)) for name in ENVIRONMENTS},
            builds[torch],
        )
        for torch, core in itertools.product(arguments.torch, arguments.core)
    ]
    for torch in arguments.torch:
        seen = (builds[torch].get(), empty[torch].get(), logs[torch].get())
        yield f"torch {torch}", _of_build(torch, *seen)
    for cell in cells:
        yield f"torch {cell.torch} on {cell.core}", _of_cell(cell)


def _of_cell(cell: Cell) -> list[Claim]:
    """Waits for the processes of a cell, keeps what they showed, and says whether it is what is claimed."""
    seen = {name: result.get() for name, result in cell.looks.items()}
    runs = [
        Claim(f"{name}: the process runs", not one.problem, one.problem or "so") for name, one in seen.items()
    ]
    if not all(claim.holds for claim in runs):
        return runs
    made = runs + claims(seen, looks.host(cell.core), cell.build.get().build)
    key, own = (cell.torch, cell.core), own_threshold(seen[DEFAULT].seen)
    _keep("settings", key, rows.of_settings(observed(seen), own, made, seen))
    _keep("products", key, rows.of_products(seen))
    _keep("memory", key, rows.of_memory(seen))
    return made


def _of_build(torch: str, probed: Probed, look: Look, log: Log) -> list[Claim]:
    """Keeps what the probe found, which must be what the wheel is known to hold."""
    build, empty, logged = probed.build, empty_threshold(look), misleading(log)
    _keep("builds", (torch,), rows.of_build(build, empty, logged, max(probed.day, look.day, log.day)))
    *libraries, due = BUILDS[torch]
    found = [build.acl_version, build.blas, build.blas_version, build.allocator]
    names_bf16 = logged == f"{FP32_KERNEL} {BF16_ATTRIBUTE}"
    return [
        Claim(f"the probe knows torch {torch}'s libraries", found == libraries, f"{found}"),
        Claim("the probe finds the core's bf16 and SVE", bool(build.bf16_hardware), build.cpu_capability),
        Claim(f"an empty TORCH_MKLDNN_MATMUL_MIN_DIM {due}", empty == due, empty),
        Claim(f"on {WITHOUT_BF16} oneDNN's log names bf16 beside fp32 weights", names_bf16, logged),
    ]


def _keep(table: str, key: Row, cells: Row) -> None:
    """Writes a row of a table at once, so that an interrupted run keeps what it saw."""
    order = [(torch,) for torch in TORCH] if table == "builds" else list(itertools.product(TORCH, CORES))
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(), f"observed {table}", {key: cells}, order))


def _told(part: str, made: list[Claim]) -> list[Claim]:
    """Prints claims as they become known."""
    print(part, flush=True)
    for claim in made:
        print(f"  {'ok    ' if claim.holds else 'FAILED'} {claim.sentence} ({claim.seen})", flush=True)
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.graviton.dispatch", description=__doc__)
    parser.add_argument("--torch", nargs="+", choices=TORCH, default=TORCH, help="releases to look at")
    parser.add_argument("--core", nargs="+", choices=CORES, default=CORES, help="cores to emulate")
    parser.add_argument("--anew", action="store_true", help="look again at what was seen before")
    jobs = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", type=int, default=jobs, help=f"processes side by side ({jobs} here)")
    return parser.parse_args()


def _obey_the_first() -> None:
    """A terminal's Ctrl-C reaches all processes; the first one ends the others, which then end their own."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit


if __name__ == "__main__":
    sys.exit(main())
