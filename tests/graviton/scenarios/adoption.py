"""A setting that wins reaches the unit's process, and is gone when the disk boots as another instance."""

from graviton_agent.errors import ExitCode
from graviton_agent.installed import ENVIRONMENT, QUIET, SERVICE
from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.dispatch.claims import BF16_KERNEL, FP32_KERNEL
from tests.graviton.image import python_of
from tests.graviton.instance import C6G, C7G
from tests.graviton.machine import Machine
from tests.graviton.planted import REPEATS, plant
from tests.graviton.serving import (
    BF16,
    CALIBRATION_SECONDS,
    UNIT,
    agent_says,
    configuration,
    configure,
    environment,
    has_error_of_bf16,
    observed,
    prepare,
    profile,
    record,
    served_by,
    told,
    unit_file,
)

TORCH = "2.9.1"


def play(bench: Bench, checks: Checks) -> None:
    """One disk, booted twice as one instance type and once as another."""
    with bench.disk() as disk:
        with bench.boot(disk, C7G) as machine:
            bench.install(machine)
            prepare(machine)
            plant(machine, TORCH)
            configure(machine, configuration("bf16", calibrate="manual"))
            machine.add_units({UNIT: unit_file(TORCH)})
            adopt(machine, checks)
            configure(machine, configuration("bf16", calibrate="when-quiet"))
            machine.systemctl("enable", UNIT)
            machine.shut_down()
        with bench.boot(disk, C7G) as machine:
            boot_again(machine, checks)
            machine.shut_down()
        with bench.boot(disk, C6G) as machine:
            reboot(machine, checks)


def adopt(machine: Machine, checks: Checks) -> None:
    """From a unit on default values to one that runs with bf16."""
    machine.systemctl("start", SERVICE, UNIT)
    with checks.check("before, the unit's torch runs fp32, and nothing is in its environment") as check:
        ran, given = served_by(machine), environment(machine)
        check.saw(f"{', '.join(ran)}; {told(BF16, given)}")
        assert ran == [FP32_KERNEL]
        assert BF16 not in given
    with checks.check("the plant is in the interpreter's torch, unless that has bf16 on") as check:
        ask = (python_of(TORCH), "-c", "import torch; print(torch.nn.Linear.forward.__module__)")
        slow, free = machine.run(*ask).strip(), machine.run("env", f"{BF16}=BF16", *ask).strip()
        check.saw(f"Linear.forward is from {slow}, and with bf16 from {free}")
        assert (slow, free) == ("planted", "torch.nn.modules.linear")
    claim = f"with fp32 layers computed {REPEATS + 1} times by the interpreter, bf16 is adopted"
    with checks.check(claim) as check:
        machine.run("graviton-agent", "calibrate", UNIT, seconds=CALIBRATION_SECONDS)
        kept = profile(machine)
        check.saw(f"{kept['outcome']}, {told(BF16, kept['environment'])}: {kept['reason']}")
        assert kept["environment"] == {BF16: "BF16"}
    with checks.check("the accuracy and the kernels of that were proved on the unit's own torch") as check:
        found = record(machine)
        (effect,) = found["effects"]
        cases = observed(found, {BF16: "BF16"})
        kernels = [kernel for case in cases for kernel in case["kernels"]]
        check.saw(f"{effect['seen']}; {', '.join(kernels)}")
        assert effect["alive"]
        assert all(has_error_of_bf16(case) for case in cases)
        assert kernels == [BF16_KERNEL]
    with checks.check("nothing restarts the unit: a restart is said to be needed") as check:
        done = machine.attempt("graviton-agent", "verify")
        check.saw(done.output.strip().splitlines()[0])
        assert "restart needed" in done.output
        assert done.status == ExitCode.RESTART_NEEDED
    with checks.check("after its restart the value is in /proc/PID/environ") as check:
        machine.systemctl("restart", UNIT)
        given = environment(machine)
        check.saw(told(BF16, given))
        assert given.get(BF16) == "BF16"
    with checks.check("and the unit's own torch says that it runs bf16") as check:
        ran = served_by(machine)
        check.saw(", ".join(ran))
        assert ran == [BF16_KERNEL]


def boot_again(machine: Machine, checks: Checks) -> None:
    """The same disk, in a machine of the same type."""
    with checks.check(f"booted again as a {C7G.product} the unit has the value from its start") as check:
        given = environment(machine)
        check.saw(told(BF16, given))
        assert given.get(BF16) == "BF16"


def reboot(machine: Machine, checks: Checks) -> None:
    """The same disk, in another instance type's machine."""
    with checks.check("booted as a c6g.xlarge the profile is stale, and the reason is said") as check:
        done = machine.attempt("graviton-agent", "plan")
        check.saw(f"exit code {done.status}: {' '.join(done.output.split())}")
        assert done.status == ExitCode.STALE
        assert f"the instance type was {C7G.product}, is {C6G.product}" in " ".join(done.output.split())
    with checks.check("nothing is injected into the unit, which has started at boot") as check:
        given = environment(machine)
        there = machine.attempt("ls", ENVIRONMENT).output.split()
        check.saw(f"{told(BF16, given)}, environment files: {', '.join(there) or 'none'}")
        assert BF16 not in given
        assert there == []
    with checks.check(
        "it is calibrated again by its policy, and bf16 refused for want of the instructions"
    ) as check:
        service = QUIET.replace("@", f"@{UNIT}")
        machine.wait_for(
            f"test $(systemctl show --value --property=ActiveState {SERVICE}) = active"
            f" && journalctl --boot --unit={service} | grep --quiet 'Finished\\|Failed'",
            seconds=CALIBRATION_SECONDS,
        )
        found = record(machine)
        (setting,) = [one for one in found["settings"] if one["setting"] == "bf16"]
        check.saw(f"{found['decision']['outcome']}; bf16: {setting['reason']}; {agent_says(machine)}")
        assert found["host"]["instance_type"] == C6G.product
        assert profile(machine)["environment"] == {}
        assert "no bf16 instructions" in setting["reason"]
