"""Measures a planted ratio directly: one process that switches the repetition on and off, pass by pass.

Run by the benchmark's interpreter, for it changes what that has planted. Both states share the process, its
memory and its weights, so nothing of what makes processes differ is in the ratio.
"""

import json
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).parent.parent.parent
PASSES = 8
"""Forward passes in each part of an A B B A round."""


def measure(python: str, environment: dict[str, str], arguments: dict[str, object]) -> dict[int, list[float]]:
    """Runs this file under an interpreter: for each batch the log ratios of its rounds."""
    run = subprocess.run(
        (python, str(Path(__file__)), json.dumps(arguments)), env=environment, capture_output=True, check=True
    )
    return {int(batch): ratios for batch, ratios in json.loads(run.stdout).items()}


def log_ratios(arguments: dict[str, object]) -> dict[int, list[float]]:
    """Rounds of slow, fast, fast, slow or the reverse, until time is out."""
    # The benchmark's interpreter has loaded it under its own name.
    from sitecustomize import PLANTED  # type: ignore[import-not-found]  # noqa: PLC0415

    sys.path.insert(0, str(SOURCE / "agent"))
    from graviton_agent.calibration.worker import Network, Worker  # noqa: PLC0415

    batches, layers = arguments["batches"], arguments["layers"]
    assert isinstance(batches, list)  # noqa: S101
    assert isinstance(layers, list)  # noqa: S101
    worker = Worker()
    worker.start_torch()
    network = Network(worker.torch, layers, batches, 0)
    repeats = PLANTED.repeats

    def seconds(batch: int, *, slow: bool) -> float:
        PLANTED.repeats = repeats if slow else 0
        x = network.inputs(batch)
        network.module(x)
        begin = time.perf_counter()
        for _ in range(PASSES):
            network.module(x)
        return time.perf_counter() - begin

    draw = random.Random(0)
    found: dict[int, list[float]] = {batch: [] for batch in batches}
    for batch in batches:
        seconds(batch, slow=True)
    end = time.monotonic() + float(str(arguments["seconds"]))
    while time.monotonic() < end:
        for batch in batches:
            order = [True, False, False, True]
            if draw.random() < 0.5:
                order = [not slow for slow in order]
            times = [(slow, seconds(batch, slow=slow)) for slow in order]
            found[batch].append(_log_ratio(times))
    return found


def _log_ratio(times: Sequence[tuple[bool, float]]) -> float:
    slow, fast = (statistics.fmean(t for s, t in times if s is wanted) for wanted in (True, False))
    return math.log(slow / fast)


if __name__ == "__main__":
    print(json.dumps(log_ratios(json.loads(sys.argv[1]))))
