"""A noisy neighbour on the same machine, which ends with the benchmark whatever happens.

Two kinds. `memory` streams from a CPU outside the benchmark's mask where there is one, so that only the
memory and the last cache are shared and no count of CPU time shows it; else it takes a small part of the same
CPUs. `bursts` takes one of the benchmark's own CPUs whole for a while, which shows.
"""

import contextlib
import ctypes
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20
STREAM_BYTES = 32 * MIB
STREAM_PAUSE_SECONDS = 0.06
BURST_SECONDS = 0.4
"""Mean of a burst's exponential length."""
BURST_GAP_SECONDS = 6.0
"""Mean of the exponential time between bursts."""
PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def neighbour(kind: str, seed: int) -> Iterator[None]:
    """Runs a neighbour for the length of a `with` block."""
    process = subprocess.Popen((sys.executable, str(Path(__file__)), kind, str(seed)), stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def stream_memory(draw: random.Random) -> None:
    """Copies more than the caches hold, over and over, with pauses."""
    beside()
    source = bytes(STREAM_BYTES)
    target = memoryview(bytearray(STREAM_BYTES))
    while wait(draw.uniform(0.5, 1.5) * STREAM_PAUSE_SECONDS):
        target[:] = source


def beside() -> None:
    """Moves to the CPUs that the benchmark leaves to others; stays where there are none, or none allowed."""
    others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
    if others:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, others)


def burst(draw: random.Random) -> None:
    """Takes a CPU for a while, now and then."""
    while wait(draw.expovariate(1 / BURST_GAP_SECONDS)):
        end = time.monotonic() + draw.expovariate(1 / BURST_SECONDS)
        while time.monotonic() < end:
            pass


def wait(seconds: float) -> bool:
    """Sleeps; False as soon as whoever started this has closed the pipe."""
    return not select.select([sys.stdin], [], [], seconds)[0]


KINDS = {"memory": stream_memory, "bursts": burst}

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    KINDS[sys.argv[1]](random.Random(int(sys.argv[2])))
