"""What the daemon costs while nothing happens, and how soon units need not wait for it: beside TuneD.

Both are installed in one container with a booted Debian 12, TuneD from Debian's archive and the agent as a
package would install it, byte code included; both run at the same time. The agent manages 50 units, each with
a profile that holds. The machine is made to look like a Graviton there, or the agent would do nothing.

Needs root, and what the tests in tests/systemd need; it says what is missing.
"""

import argparse
import json
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.about import about
from graviton_agent.configuration.load import compile_configuration
from graviton_agent.installed import ENVIRONMENT, SERVICE
from tests.systemd.installed import AgentHost, boot_host
from tests.systemd.missing import missing
from tests.systemd.rootfs import BOOKWORM
from tests.systemd.stand_in_calibration import PYTHON, leave_profile

RESULTS = Path(__file__).parent / "results"
TUNED = "tuned.service"
PROGRAMS = {"graviton-agent": SERVICE, "TuneD": TUNED}
SETTLE_SECONDS = 20
UNIT = f"[Service]\nExecStart={PYTHON} -m serve\n[Install]\nWantedBy=multi-user.target\n"


@dataclass(frozen=True)
class Cost:
    """What one program costs."""

    version: str
    resident_kb: int
    """VmRSS of all its processes."""
    private_kb: int
    """RssAnon: what it shares with nobody."""
    cpu_ms: float
    """CPU time of all its threads over the idle time."""
    wake_ups: int
    """How often one of its threads stopped waiting in that time (voluntary context switches)."""
    start_ms: tuple[float, ...]
    """From exec to the moment from which on others may start: READY=1, or the name on the bus."""
    exposure: float
    """Of `systemd-analyze security`."""


@dataclass(frozen=True)
class Usage:
    """What the threads of a service have used up since they began."""

    cpu_ns: int
    switches: int


def main() -> None:
    """Measures both, prints a table, and keeps it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of idleness (default: %(default)s)")
    parser.add_argument("--units", type=int, default=50, help="managed by the agent (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=10, help="of each program (default: %(default)s)")
    given = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    names = [f"serve-{number}.service" for number in range(given.units)]
    configuration = "[defaults]\ncalibrate = 'manual'\n" + "".join(f'[units."{name}"]\n' for name in names)
    with boot_host(
        BOOKWORM, units=dict.fromkeys(names, UNIT), configuration=configuration, more="tuned"
    ) as host:
        # What is enabled stays loaded in PID 1, as on a host that boots.
        host.systemctl("enable", *names)
        # The agent compiles its configuration at its first start.
        host.systemctl("start", SERVICE)
        host.call(leave_profiles, names)
        # By turns, so that a change of the machine's speed meets both.
        starts = [
            {name: start_ms(host, service) for name, service in PROGRAMS.items()} for _ in range(given.starts)
        ]
        written = len(host.run("ls", ENVIRONMENT).split())
        if written != given.units:
            raise SystemExit(f"{written} environment files for {given.units} units")
        time.sleep(SETTLE_SECONDS)
        before = {name: usage(host, service) for name, service in PROGRAMS.items()}
        time.sleep(given.minutes * 60)
        after = {name: usage(host, service) for name, service in PROGRAMS.items()}
        costs = {
            name: cost(host, service, before[name], after[name], tuple(start[name] for start in starts))
            for name, service in PROGRAMS.items()
        }
    keep(costs, given.units, given.minutes)


def leave_profiles(names: Sequence[str]) -> None:
    """Leaves a profile that holds for each unit."""
    compiled = compile_configuration()
    for name in names:
        leave_profile(name, "64", compiled)


def start_ms(host: AgentHost, service: str) -> float:
    """Starts a service anew, and returns how long that took from exec on."""
    host.systemctl("stop", service)
    # Services that are started too often are not started again.
    host.systemctl("reset-failed")
    host.systemctl("start", service)
    begin, end = (
        int(host.show(service, key))
        for key in ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    )
    return (end - begin) / 1e3


def processes(host: AgentHost, service: str) -> list[Path]:
    """The folders in /proc of all processes of a service."""
    group = host.show(service, "ControlGroup")
    return [
        host.path(f"/proc/{pid}") for pid in host.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").split()
    ]


def usage(host: AgentHost, service: str) -> Usage:
    """What all its threads have used."""
    threads = [thread for process in processes(host, service) for thread in (process / "task").iterdir()]
    return Usage(
        cpu_ns=sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads),
        switches=sum(status(thread)["voluntary_ctxt_switches"] for thread in threads),
    )


def status(process: Path) -> Mapping[str, int]:
    """The numbers of a process's status; memory is in kB."""
    return {
        name: int(number)
        for name, number in re.findall(r"(?m)^(\w+):\s+(\d+)", (process / "status").read_text())
    }


def cost(host: AgentHost, service: str, before: Usage, after: Usage, starts: tuple[float, ...]) -> Cost:
    """All figures of a service."""
    found = [status(process) for process in processes(host, service)]
    security = host.run("systemd-analyze", "security", "--no-pager", service).splitlines()[-1]
    version = host.attempt("graviton-agent" if service == SERVICE else "tuned", "--version").stdout
    return Cost(
        version=version.strip(),
        resident_kb=sum(process["VmRSS"] for process in found),
        private_kb=sum(process["RssAnon"] for process in found),
        cpu_ms=(after.cpu_ns - before.cpu_ns) / 1e6,
        wake_ups=after.switches - before.switches,
        start_ms=starts,
        exposure=float(security.split("service: ")[1].split()[0]),
    )


def keep(costs: Mapping[str, Cost], units: int, minutes: float) -> None:
    """Prints the table, and writes it with the machine and the date."""
    heads = list(costs)
    rows = [
        ("resident memory, MB", [f"{one.resident_kb / 1000:.1f}" for one in costs.values()]),
        ("of it private, MB", [f"{one.private_kb / 1000:.1f}" for one in costs.values()]),
        (f"CPU time in {minutes:g} idle minutes, ms", [f"{one.cpu_ms:.1f}" for one in costs.values()]),
        (f"wake-ups in {minutes:g} idle minutes", [str(one.wake_ups) for one in costs.values()]),
        ("exec to ready, median, ms", [f"{statistics.median(one.start_ms):.0f}" for one in costs.values()]),
        (
            "exec to ready, fastest to slowest, ms",
            [f"{min(one.start_ms):.0f} - {max(one.start_ms):.0f}" for one in costs.values()],
        ),
        ("exposure by systemd-analyze security", [f"{one.exposure:.1f}" for one in costs.values()]),
        ("version", [one.version for one in costs.values()]),
    ]
    facts = {**about(), "container": "Debian 12, systemd 252, Python 3.11", "units": f"{units}, all cached"}
    width = max(len(words) for words, _ in rows)
    for name, text in facts.items():
        print(f"{name:{width}}  {text}")
    print(f"\n{'':{width}}  {'  '.join(f'{head:>20}' for head in heads)}")
    for words, values in rows:
        print(f"{words:{width}}  {'  '.join(f'{value:>20}' for value in values)}")
    RESULTS.mkdir(exist_ok=True)
    record = {"about": facts, "minutes": minutes, "costs": {name: asdict(one) for name, one in costs.items()}}
    (RESULTS / "idle_daemon.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = ["# The idle daemon", "", "`python -m benchmarks.idle_daemon` made this.", ""]
    lines += [f"* {name}: {text}" for name, text in facts.items()]
    lines += ["", f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    lines += [f"| {words} | {' | '.join(values)} |" for words, values in rows]
    (RESULTS / "idle_daemon.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
