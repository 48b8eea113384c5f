"""On the real clock emulated bf16 is several times slower than fp32: it is tried, proved, and left."""

from graviton_agent.installed import ENVIRONMENT, SERVICE
from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.dispatch.claims import BF16_KERNEL
from tests.graviton.instance import C7G
from tests.graviton.machine import Clock, Machine
from tests.graviton.serving import (
    BF16,
    CALIBRATION_SECONDS,
    UNIT,
    configuration,
    configure,
    environment,
    has_error_of_bf16,
    observed,
    prepare,
    profile,
    record,
    told,
    unit_file,
)

TORCH = "2.9.1"
# What is generous enough on any host is too little here, where a process takes a minute to load torch.
PATIENT = 'timeout = "30min"\n'
PATIENT_SERVICE = "[Service]\nTimeoutStartSec=20min\nWatchdogSec=20min\n"


def play(bench: Bench, checks: Checks) -> None:
    """Calibrates by hand, for the machine's own time runs away from the agent's services."""
    with bench.machine(C7G, clock=Clock.REAL) as machine:
        prepare(machine)
        configure(machine, configuration("bf16", calibrate="manual", budget="2h", more=PATIENT))
        machine.add_units({UNIT: unit_file(TORCH), f"{SERVICE}.d/50-patient.conf": PATIENT_SERVICE})
        calibrate(machine, checks)


def calibrate(machine: Machine, checks: Checks) -> None:
    """What becomes of a setting that works and doesn't pay."""
    with checks.check("graviton-agent calibrate comes to a decision") as check:
        command = ("graviton-agent", "calibrate", UNIT)
        done = machine.attempt(*command, seconds=CALIBRATION_SECONDS)
        assert done.status == 0, done.errors
        check.saw(f"{profile(machine)['outcome']}: {profile(machine)['reason']}")
    found = record(machine)
    with checks.check(
        "bf16 was tried, and seen to compute with bf16 weights and a bf16-sized error"
    ) as check:
        (effect,) = found["effects"]
        (case,) = observed(found, {BF16: "BF16"})
        check.saw(f"{effect['seen']}; batch {case['batch']} ran {', '.join(case['kernels'])}")
        assert effect["alive"]
        assert has_error_of_bf16(case)
        assert case["kernels"] == [BF16_KERNEL]
    with checks.check("it was left, because it is slower here") as check:
        (setting,) = [one for one in found["settings"] if one["setting"] == "bf16"]
        check.saw(f"{found['decision']['outcome']}; bf16: {setting['reason']}")
        assert "slower than the default" in setting["reason"]
        assert found["decision"]["outcome"] == "keep"
        assert found["decision"]["environment"] == {}
    with checks.check("so the unit is given nothing") as check:
        machine.systemctl("start", SERVICE, UNIT)
        given = environment(machine)
        there = machine.run("ls", ENVIRONMENT).split()
        check.saw(f"{told(BF16, given)}, environment files: {', '.join(there) or 'none'}")
        assert BF16 not in given
        assert there == []
