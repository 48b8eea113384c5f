"""The first boot of an instance: the agent is ready at once, and a unit is calibrated before it starts."""

from graviton_agent.installed import ENVIRONMENT, GATE, SERVICE
from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.dispatch.claims import BF16_KERNEL, FP32_KERNEL
from tests.graviton.instance import C7G
from tests.graviton.machine import Machine
from tests.graviton.serving import (
    BF16,
    CALIBRATION_SECONDS,
    MIN_DIM,
    SERVED_BATCH,
    UNIT,
    agent_says,
    configuration,
    configure,
    environment,
    observed,
    prepare,
    profile,
    record,
    served_by,
    unit_file,
)

TORCH = "2.9.1"


def play(bench: Bench, checks: Checks) -> None:
    """From the agent's first start to a unit that serves with what was measured."""
    with bench.machine(C7G) as machine:
        prepare(machine)
        # One batch on each side of torch's own threshold.
        text = configuration("bf16", "threshold", calibrate="before-start", batches="4,64")
        configure(machine, text)
        machine.add_units({UNIT: unit_file(TORCH)})
        start(machine, checks)
        calibrate(machine, checks)
        follow(machine, checks)


def start(machine: Machine, checks: Checks) -> None:
    """The agent's own start."""
    with checks.check(
        "systemctl start graviton-agent: READY at once, though a unit has no profile yet"
    ) as check:
        machine.systemctl("start", SERVICE)
        check.saw(f"{machine.show(SERVICE, 'ActiveState')}: {agent_says(machine)}")
        assert machine.show(SERVICE, "ActiveState") == "active"
        assert machine.show(SERVICE, "NRestarts") == "0"
        assert machine.attempt("test", "-e", f"/var/lib/graviton-agent/profiles/{UNIT}.json").status != 0


def calibrate(machine: Machine, checks: Checks) -> None:
    """The unit's first start, which waits at its gate."""
    with checks.check("systemctl start of the unit waits for its calibration, and starts it") as check:
        machine.systemctl("start", UNIT, seconds=CALIBRATION_SECONDS)
        said = machine.journal(GATE.replace("@", f"@{UNIT}"))
        check.saw(f"{machine.show(UNIT, 'ActiveState')}, outcome {profile(machine)['outcome']}")
        assert machine.show(UNIT, "ActiveState") == "active", said
    with checks.check(
        "the torch of the unit's own interpreter was measured, on real ACL and OpenBLAS"
    ) as check:
        torch = record(machine)["torch"]
        check.saw(
            f"torch {torch['version']}, oneDNN {torch['onednn']}, ACL {torch['acl_version']}, "
            f"{torch['blas']} {torch['blas_version']}, {torch['cpu_capability']}"
        )
        assert torch["version"].startswith(TORCH)
        assert (torch["acl"], torch["blas"], torch["machine"]) == (True, "openblas", "aarch64")
    with checks.check("batches on both sides of torch's threshold of 8 were seen to take both ways") as check:
        kernels = default_kernels(machine)
        check.saw(f"batch 4: {' '.join(kernels[4]) or 'no oneDNN'}; batch 64: {' '.join(kernels[64])}")
        assert kernels[4] == []
        assert kernels[64] == [FP32_KERNEL]
    with checks.check("each setting's effect was proved before it was believed") as check:
        effects = {effect["setting"]: effect for effect in record(machine)["effects"]}
        check.saw("; ".join(f"{name}: {effect['seen']}" for name, effect in effects.items()))
        assert effects["bf16"]["alive"]
        assert effects["threshold"]["alive"]


def default_kernels(machine: Machine) -> dict[int, list[str]]:
    """What the default configuration ran at each batch, by oneDNN's log."""
    return {case["batch"]: case["kernels"] for case in observed(record(machine), {})}


def follow(machine: Machine, checks: Checks) -> None:
    """What the unit's process was given."""
    kept = profile(machine)
    with checks.check("the environment file is there if, and only if, something won") as check:
        path = f"{ENVIRONMENT}/{UNIT}.env"
        found = machine.attempt("cat", path)
        lines = [line for line in found.output.splitlines() if line and not line.startswith("#")]
        check.saw(f"{kept['outcome']}: {kept['reason']}; file: {', '.join(lines) or 'none'}")
        assert bool(kept["environment"]) == (found.status == 0)
    with checks.check("the unit's process has exactly that, by /proc/PID/environ") as check:
        given = environment(machine)
        got = {name: given[name] for name in (BF16, MIN_DIM) if name in given}
        check.saw(", ".join(f"{name}={value}" for name, value in got.items()) or "neither variable")
        assert got == kept["environment"]
    with checks.check("the unit's own torch runs the kernels of that configuration") as check:
        ran = served_by(machine)
        check.saw(", ".join(ran) or "BLAS alone")
        kernel = BF16_KERNEL if kept["environment"].get(BF16) == "BF16" else FP32_KERNEL
        to_blas = int(kept["environment"].get(MIN_DIM, 0)) >= SERVED_BATCH
        assert ran == ([] if to_blas else [kernel])
    with checks.check("graviton-agent verify finds the unit in sync") as check:
        done = machine.attempt("graviton-agent", "verify")
        check.saw(done.output.strip().splitlines()[0] if done.output.strip() else done.errors)
        assert done.status == 0
