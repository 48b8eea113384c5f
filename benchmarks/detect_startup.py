"""How long `graviton-agent detect --json` takes as a whole process, against `python -c "import typer"`.

The goal is a ratio of at most 1.5. The two commands alternate, so that a change of the machine's speed
meets both, and the ratio is the median of the ratios of neighbours.
"""

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

_BASELINE = (sys.executable, "-c", "import typer")
_DETECT = (sys.executable, "-m", "graviton_agent", "detect", "--json")
_SOURCE = Path(__file__).resolve().parent.parent / "agent"


def wall_time(command: tuple[str, ...]) -> float:
    """Seconds from start to end of one process."""
    environment = {**os.environ, "PYTHONPATH": str(_SOURCE)}
    # An installed package comes with its byte code; a tree gets it from the first, uncounted run.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    # Not checked: the exit code says which machine this is.
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False)
    return time.perf_counter() - started


def main() -> None:
    """Measures, and prints what was found and where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=60, help="processes of each command (default: %(default)s)"
    )
    runs = parser.parse_args().runs
    for command in (_BASELINE, _DETECT):
        wall_time(command)
    pairs = [(wall_time(_BASELINE), wall_time(_DETECT)) for _ in range(runs)]
    baseline, detect = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"date              {datetime.datetime.now(datetime.UTC):%Y-%m-%d}")
    print(f"machine           {platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}")
    print(f"versions          Python {platform.python_version()}, typer {version('typer')}")
    print(f"import typer      {baseline * 1e3:.1f} ms, median of {runs} processes")
    print(f"detect --json     {detect * 1e3:.1f} ms, median of {runs} processes")
    print(f"ratio             {statistics.median(b / a for a, b in pairs):.2f}, goal at most 1.50")


if __name__ == "__main__":
    main()
