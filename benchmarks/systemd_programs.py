"""How long PID 1 waits for the generator, and a managed unit's start for the check.

A root in a temporary folder gets as many managed units, each with a unit file and a section of the
configuration, and unit files of others besides, as a server has; the programs are installed there with their
byte code, as the packages install them. Nothing of this machine is touched.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from graviton_agent.installed import ENVIRONMENT
from graviton_agent.units import environment_file
from graviton_agent.units.environment_file import EnvironmentFile, Variable
from graviton_agent.units.identity import HOST_FACTS, Observer, observe, torch_facts

SOURCE = Path(__file__).parent.parent
OTHER_UNITS = 300
CHECKED = "serve-0.service"
TMPFS = "/dev/shm"  # noqa: S108 - the folder in it has a name that nobody can guess
"""As systemd's generators write to /run, which is a tmpfs."""

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


@dataclass
class Timed:
    """One command, and what its processes took, in milliseconds."""

    name: str
    command: list[str]
    before: Callable[[], object] = lambda: None
    """What is done before each process, outside its time."""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Times one process."""
        self.before()
        begin = time.perf_counter_ns()
        process = subprocess.Popen(self.command)
        _, status, used = os.wait4(process.pid, 0)
        self.wall.append((time.perf_counter_ns() - begin) / 1e6)
        self.cpu.append((used.ru_utime + used.ru_stime) * 1e3)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{self.name} failed")

    def __str__(self) -> str:
        # The first process reads what it needs from disk.
        wall, cpu = self.wall[1:], self.cpu[1:]
        return (
            f"{self.name:20} wall: median {statistics.median(wall):6.1f} ms, fastest {min(wall):6.1f} ms"
            f"    CPU: median {statistics.median(cpu):6.1f} ms, least {min(cpu):6.1f} ms"
        )


def make_host(root: Path, units: int) -> None:
    """Fills the folder with a host's configuration, its unit files, and an environment file that fits."""
    configuration = root / "etc/graviton-agent"
    own, others = root / "etc/systemd/system", root / "usr/lib/systemd/system"
    for folder in (configuration, own, others):
        folder.mkdir(parents=True)
    sections = "".join(SECTION.format(number=number) for number in range(units))
    (configuration / "graviton-agent.toml").write_text(f"enabled = true\n{sections}")
    for number in range(units):
        (own / f"serve-{number}.service").write_text(UNIT.format(number=number))
    for number in range(OTHER_UNITS):
        (others / f"other-{number}.service").write_text(UNIT.format(number=number))
    facts = observe([*HOST_FACTS, *torch_facts("/opt/app/torch")], Observer(str(root)))
    variable = Variable("OMP_NUM_THREADS", "4", 1.28, date(2026, 11, 23))
    environment = root / ENVIRONMENT[1:]
    environment.mkdir(parents=True)
    environment_file.write(environment, EnvironmentFile(CHECKED, facts, (variable,)))


def install(folder: Path, python: str) -> Path:
    """Puts the programs below the folder as the packages do; returns their folder."""
    for name in ("agent", "systemd"):
        shutil.copytree(SOURCE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    compiler = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([*compiler, str(folder / "agent")], check=True, env=environment)
    return folder / "systemd"


def main() -> None:
    """Measures by turns, so that a change of the machine's speed meets all alike."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--folder", default=TMPFS, help="where to make all that (default: %(default)s)")
    given = parser.parse_args()
    python = [given.python, "-ISE"]
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root, out = Path(folder, "root"), Path(folder, "out")
        make_host(root, given.units)
        programs = install(Path(folder, "lib"), given.python)

        def empty_out() -> None:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()

        generator = [str(programs / "graviton-agent-generator"), *[str(out)] * 3, str(root)]
        check = [str(programs / "graviton-agent-check"), CHECKED, str(root)]
        timed = [
            Timed("interpreter alone", [*python, "-c", "pass"]),
            Timed("generator", [*python, *generator], empty_out),
            Timed("check", [*python, *check]),
        ]
        for _ in range(given.runs + 1):
            for one in timed:
                one.run()
        written = len(list(out.glob("*/50-graviton-agent.conf")))
        if not (root / ENVIRONMENT[1:] / f"{CHECKED}.env").exists():
            raise SystemExit("the check withdrew a file that fits")
    version = subprocess.run([*python, "--version"], check=True, capture_output=True, text=True).stdout
    print(f"date        {datetime.now(UTC):%Y-%m-%d}")
    print(f"machine     {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}")
    print(f"versions    {version.strip()}, Linux {platform.release()}")
    print(f"units       {given.units} managed, {OTHER_UNITS} others, {written} drop-ins written")
    for one in timed:
        print(one)


if __name__ == "__main__":
    main()
