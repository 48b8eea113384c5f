"""How long `fleet report` takes over ten thousand hosts' files, and how much memory.

    python -m benchmarks.fleet_report [--hosts 10000] [--units 3]

The files are made up: what `status --json` prints, three units each, on six instance types.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graviton_agent import __version__

INSTANCES = ("c6g.large", "c7g.large", "c7g.2xlarge", "c8g.large", "m8g.xlarge", "r8g.xlarge")
MEDIANS = {"c6g": 1.12, "c7g": 1.41, "c8g": 1.38, "m8g": 1.35, "r8g": 1.33}
KIB_PER_MIB = 1024


def status(random_: random.Random, units: int) -> dict[str, Any]:
    """What one host says of itself."""
    instance = random_.choice(INSTANCES)
    return {
        "host": {"instance_type": instance, "features": ["fp", "asimd", "sve", "bf16"] * 12, "vcpus": 2},
        "agent": {"state": "active", "since": "2026-11-23T08:00:00+00:00", "status": "measured values"},
        "units": [unit(random_, instance, number) for number in range(units)],
    }


def unit(random_: random.Random, instance: str, number: int) -> dict[str, Any]:
    """One of its units: one in fifty is stale, one in thirty was not calibrated, some drift."""
    gain = MEDIANS[instance[:3]] * random_.gauss(1.0, 0.01)
    state = random_.choices(["applied", "stale", "not calibrated"], [45, 1, 1.5])[0]
    environment = {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}
    profile = {
        "unit": f"llm{number}.service",
        "outcome": "change",
        "environment": environment,
        "gain": gain * 1.02,
        "gain_interval": [gain, gain * 1.04],
        "calibrated": "2026-11-23T08:00:00+00:00",
        "record": None,
        "agent": __version__,
        "torch": "2.9.1",
    }
    return {
        "unit": f"llm{number}.service",
        "sync": random_.choices(["in sync", "restart needed", "overridden"], [50, 1, 0.5])[0],
        "state": state,
        "reason": "at least 1.28x as fast, calibrated on 2026-11-23",
        "processes": 3,
        "variables": [
            {"name": name, "expected": value, "actual": value, "sync": "in sync", "decided_by": None}
            for name, value in environment.items()
        ],
        "profile": None if state == "not calibrated" else profile,
        "environment": environment,
        "planned": environment,
    }


def main() -> None:
    """Makes the files, runs the command on them, and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder for the page and what was printed")
    options = parser.parse_args()
    random_ = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hosts").mkdir()
        for number in range(options.hosts):
            text = json.dumps(status(random_, options.units))
            (folder / "hosts" / f"ip-10-0-{number // 250}-{number % 250}.json").write_text(text)
        (folder / "hosts" / "broken.json").write_text("{")
        size = sum(path.stat().st_size for path in (folder / "hosts").iterdir())
        page = (options.keep or folder) / "fleet.html"
        command = [sys.executable, "-m", "graviton_agent", "fleet", "report", str(folder / "hosts")]
        began = time.perf_counter()
        printed_to = folder / "printed"
        with printed_to.open("w") as output:
            process = subprocess.Popen([*command, "--html", str(page)], stdout=output)
            _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise SystemExit(f"the command failed: {process.returncode}")
        cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss / KIB_PER_MIB
        print(printed_to.read_text().splitlines()[0].strip())
        print(
            f"{options.hosts} files of {size / 1e6:.0f} MB together: {seconds:.1f} s, {cpu:.1f} s of CPU time"
        )
        print(f"{memory:.0f} MB resident at most; a page of {page.stat().st_size / 1e3:.0f} kB")
        machine = f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} CPUs"
        print(f"{machine}, load {os.getloadavg()[0]:.0f}, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()
