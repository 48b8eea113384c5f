"""How long the generator takes, for PID 1 waits for it at boot and at each daemon-reload.

    python benchmarks/generator_time.py [--units 200] [--runs 30] [--python /usr/bin/python3]

A root in a temporary folder gets as many managed units, each with a unit file and a section of the configuration,
and as many unit files besides as a server has. Nothing of this machine is read or written otherwise.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

GENERATOR = Path(__file__).parent.parent / "systemd" / "graviton-agent-generator"
VENDOR_UNITS = 300

SECTION = """
[units."serve-{number}.service"]
python = "/opt/serve-{number}/venv/bin/python"
layers = "4096x4096,4096x11008,11008x10"
batches = "1:0.7,32:0.3"
threads = 4
forbid = ["bf16"]
calibrate = "when-quiet"
pin = {{ MALLOC_ARENA_MAX = "2" }}
"""
UNIT = """
[Unit]
Description=Serves model {number}
Wants=network-online.target
After=network-online.target

[Service]
User=serve
ExecStart=/opt/serve-{number}/venv/bin/python -m serve --port {number}
Restart=on-failure
CPUQuota=400%
MemoryMax=8G

[Install]
WantedBy=multi-user.target
"""


def make_root(root: Path, units: int) -> None:
    """Fills the folder with a host's configuration and unit files."""
    configuration = root / "etc/graviton-agent"
    own, vendor = root / "etc/systemd/system", root / "usr/lib/systemd/system"
    for folder in (configuration, own, vendor):
        folder.mkdir(parents=True)
    sections = "".join(SECTION.format(number=number) for number in range(units))
    (configuration / "graviton-agent.toml").write_text(f"enabled = true\n{sections}")
    for number in range(units):
        (own / f"serve-{number}.service").write_text(UNIT.format(number=number))
    for number in range(VENDOR_UNITS):
        (vendor / f"vendor-{number}.service").write_text(UNIT.format(number=number))


def run(command: list[str]) -> float:
    """Wall time of a process in milliseconds."""
    begin = time.perf_counter_ns()
    subprocess.run(command, check=True)
    return (time.perf_counter_ns() - begin) / 1e6


def main() -> None:
    """Measures the generator, and beside it the interpreter alone, run by turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--python", default="/usr/bin/python3")
    given = parser.parse_args()
    times: dict[str, list[float]] = {"interpreter alone": [], "generator": []}
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "root"), Path(folder, "out")
        make_root(root, given.units)
        for _ in range(given.runs + 1):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            flags = [given.python, "-ISE"]
            times["interpreter alone"].append(run([*flags, "-c", "pass"]))
            times["generator"].append(run([*flags, str(GENERATOR), *[str(out)] * 3, str(root)]))
        written = len(list(out.glob("*/50-graviton-agent.conf")))
    version = subprocess.run(
        [given.python, "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}, "
        f"{version}, {given.units} managed units, {VENDOR_UNITS} others, {written} drop-ins written"
    )
    for name, values in times.items():
        warm = values[1:]  # the first run reads the modules from disk
        print(f"{name:20} median {statistics.median(warm):6.1f} ms   fastest {min(warm):6.1f} ms")


if __name__ == "__main__":
    main()
