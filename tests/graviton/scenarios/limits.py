"""What a unit may use is enforced on this machine, unlike in containers, and holds for its calibration."""

from typing import Any

from graviton_agent.errors import ExitCode
from graviton_agent.installed import SERVICE
from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.guest import Finished
from tests.graviton.instance import C7G
from tests.graviton.machine import Machine
from tests.graviton.serving import (
    CALIBRATION_SECONDS,
    USER,
    configure,
    prepare,
    profile,
    record,
    threads_of,
    unit_file,
)

TORCH = "2.9.1"
QUOTA, PINNED, TIGHT = "quota.service", "pinned.service", "tight.service"
GREEDY, FORKING = "greedy.service", "forking.service"
CPUS = 4
"""Half of them are tried as threads whatever the quota; with four that is not what one CPU's quota gives."""
WAIT = "ExecStart=sleep infinity"
BUSY = "ExecStart=sh -c 'while :; do :; done & while :; do :; done'"
SLEEPING = f"[Service]\nType=exec\nUser={USER}\n{WAIT}\n"
MIB = 1024 * 1024
THREADS = "OMP_NUM_THREADS"

# What a hostile owner of a venv may have put in Python's place. It never says that it is Python.
GREEDY_PYTHON = """#!/usr/bin/python3 -IS
held = []
while True:
    held.append(bytearray(16 << 20))
    held[-1][::4096] = b"x" * len(held[-1][::4096])
"""
FORKING_PYTHON = """#!/usr/bin/python3 -IS
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(3600)
    except OSError:
        time.sleep(1)
"""


def play(bench: Bench, checks: Checks) -> None:
    """One machine, and units with limits on it."""
    with bench.machine(C7G, cpus=CPUS) as machine:
        prepare(machine)
        enforced(machine, checks)
        configure(machine, _configuration())
        machine.write("/opt/greedy/python", GREEDY_PYTHON, mode=0o755)
        machine.write("/opt/forking/python", FORKING_PYTHON, mode=0o755)
        machine.add_units(
            {
                QUOTA: unit_file(TORCH, more="CPUQuota=100%\nMemoryMax=2G"),
                PINNED: unit_file(TORCH, more="AllowedCPUs=1-2"),
                TIGHT: f"{SLEEPING}MemoryMax=200M\n",
                GREEDY: f"{SLEEPING}MemoryMax=1G\n",
                FORKING: f"{SLEEPING}TasksMax=100\n",
            }
        )
        machine.systemctl("start", SERVICE, TIGHT, GREEDY, FORKING)
        refused(machine, checks)
        for unit in (GREEDY, FORKING):
            survived(unit, machine, checks)
        followed(machine, checks)
        pinned(machine, checks)


def _configuration() -> str:
    """Each unit has a small model; two have interpreters that are none."""
    text = 'settings = ["threads"]\nlayers = "256x256,256x16"\nbatches = "64"\ncalibrate = "manual"\n'
    sections = {
        QUOTA: 'budget = "1min"\n',
        PINNED: 'budget = "1min"\n',
        TIGHT: f'python = "/opt/torch-{TORCH}/bin/python"\n',
        GREEDY: 'python = "/opt/greedy/python"\n',
        FORKING: 'python = "/opt/forking/python"\n',
    }
    return "".join(f'[units."{unit}"]\n{text}{more}' for unit, more in sections.items())


def enforced(machine: Machine, checks: Checks) -> None:
    """The kernel's side: the limits do hold here."""
    units = {
        "half.service": f"[Service]\nCPUQuota=50%\n{BUSY}\n",
        "first.service": f"[Service]\nAllowedCPUs=0\n{BUSY}\n",
        "small.service": "[Service]\nMemoryMax=50M\nMemorySwapMax=0\n"
        "ExecStart=python3 -IS -c 'held = bytearray(200 << 20)'\n",
    }
    machine.add_units(units)
    with checks.check("CPUQuota= is enforced here") as check:
        machine.systemctl("start", "half.service")
        stat = "/sys/fs/cgroup/system.slice/half.service/cpu.stat"
        machine.wait_for(f"grep --quiet '^nr_throttled [1-9]' {stat}")
        check.saw(machine.sh(f"grep ^nr_ {stat}"))
        machine.systemctl("stop", "half.service")
    with checks.check("AllowedCPUs= is enforced here") as check:
        machine.systemctl("start", "first.service")
        pid = machine.show("first.service", "MainPID")
        check.saw(machine.sh(f"grep ^Cpus_allowed_list /proc/{pid}/status"))
        assert check.seen.split()[-1] == "0"
        machine.systemctl("stop", "first.service")
    with checks.check("MemoryMax= is enforced here") as check:
        machine.attempt("systemctl", "start", "small.service")
        machine.wait_for("systemctl is-failed small.service")
        check.saw(machine.show("small.service", "Result"))
        assert check.seen == "oom-kill"


def refused(machine: Machine, checks: Checks) -> None:
    """A calibration that can't fit."""
    with checks.check(
        "a calibration that would exceed the unit's MemoryMax= is refused before it starts"
    ) as check:
        before = machine.show(TIGHT, "MainPID")
        done = machine.attempt("graviton-agent", "calibrate", TIGHT)
        check.saw(complaint(done))
        assert done.status == ExitCode.RESOURCES
        assert "MemoryMax=" in done.errors
        assert machine.show(TIGHT, "MainPID") == before


def complaint(done: Finished) -> str:
    """The line in which a command says what is wrong."""
    lines = (line for line in done.errors.splitlines() if line.startswith("graviton-agent:"))
    return next(lines, f"status {done.status}, no complaint")


def survived(unit: str, machine: Machine, checks: Checks) -> None:
    """A calibration whose interpreter takes all that it can get."""
    words = {GREEDY: "takes memory without end", FORKING: "forks without end"}
    # What the kernel says of a limit of the trial's own, and not of the machine's: kernel/cgroup/pids.c and
    # mm/oom_kill.c.
    limit = {
        GREEDY: "oom-kill:constraint=CONSTRAINT_MEMCG.*oom_memcg=[^,]*graviton-agent-trial-",
        FORKING: "fork rejected by pids controller in [^ ]*graviton-agent-trial-",
    }
    with checks.check(
        f"an interpreter that {words[unit]} meets its unit's limit in the cage; the unit is untouched"
    ) as check:
        before = machine.show(unit, "MainPID")
        done = machine.attempt("graviton-agent", "calibrate", unit, seconds=CALIBRATION_SECONDS)
        kernel = machine.run("journalctl", "--dmesg", "--no-pager", "--output=cat", f"--grep={limit[unit]}")
        check.saw(f"{complaint(done)}; the kernel: {kernel.splitlines()[0]}")
        assert done.status == ExitCode.FAILED
        assert "does not say its environment" in done.errors
        assert "CONSTRAINT_NONE" not in machine.run("journalctl", "--dmesg", "--no-pager")
        assert machine.show(unit, "MainPID") == before
        assert machine.show(SERVICE, "NRestarts") == "0"
    with checks.check(f"and nothing of it is left (it {words[unit]})") as check:
        left = machine.sh(f"ps -o pid=,args= -u {USER} | grep -v 'sleep infinity' || true")
        units = machine.systemctl("list-units", "--all", "--no-legend", "*graviton_agent_*", "*-trial-*")
        check.saw(left + units or "no process, no unit")
        assert not left.strip()
        assert not units.strip()


def threads_tried(found: dict[str, Any]) -> set[str]:
    """Which numbers of threads a calibration has compared with torch's own."""
    environments = (one["environment"] for one in found["predictions"])
    return {environment[THREADS] for environment in environments if THREADS in environment}


def followed(machine: Machine, checks: Checks) -> None:
    """Threads follow the quota: torch starts one for each CPU, whatever the unit may use of them."""
    with checks.check(
        f"in a unit with CPUQuota=100% on {CPUS} CPUs one thread is tried against torch's {CPUS}"
    ) as check:
        machine.run("graviton-agent", "calibrate", QUOTA, seconds=CALIBRATION_SECONDS)
        found = record(machine, QUOTA)
        (setting,) = [one for one in found["settings"] if one["setting"] == "threads"]
        tried = threads_tried(found)
        check.saw(
            f"quota {found['host']['cpu_quota']}, threads tried: {', '.join(sorted(tried))}; "
            f"{found['decision']['outcome']}, {setting['reason']}"
        )
        assert found["host"]["cpu_quota"] == 1.0
        assert found["host"]["memory_limit"] == 2048 * MIB
        assert found["torch"]["default_threads"] == CPUS
        assert "1" in tried
    with checks.check("the unit's own torch computes with the threads that were decided on") as check:
        machine.systemctl("start", QUOTA)
        decided = profile(machine, QUOTA)["environment"].get(THREADS)
        threads = threads_of(machine, QUOTA)
        check.saw(f"{THREADS}={decided}, threads: {threads}" if decided else f"default, threads: {threads}")
        assert threads == (CPUS if decided is None else int(decided))
        machine.systemctl("stop", QUOTA)


def pinned(machine: Machine, checks: Checks) -> None:
    """On aarch64 torch starts a thread for each CPU of the machine, whatever the unit may use of them."""
    claim = f"in a unit with AllowedCPUs=1-2 two threads and one are tried against torch's {CPUS}"
    with checks.check(claim) as check:
        machine.run("graviton-agent", "calibrate", PINNED, seconds=CALIBRATION_SECONDS)
        found = record(machine, PINNED)
        cpus, threads = found["host"]["usable_cpus"], found["torch"]["default_threads"]
        tried = threads_tried(found)
        check.saw(f"CPUs {cpus}, torch's threads: {threads}, tried: {', '.join(sorted(tried))}")
        assert cpus == [1, 2]
        assert threads == CPUS
        assert tried == {"1", "2"}
