"""`graviton-agent detect` on machines that differ in their firmware's texts and their CPUs alone.

Nothing on them has a torch: the agent itself needs none.
"""

import json
from typing import Any, NamedTuple

from graviton_agent.errors import ExitCode
from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.instance import C6G, C7G, C7GN, M8G_ON_V1, N1, PLAIN, V1, Instance, PlainVirtualMachine
from tests.graviton.machine import Machine

PARTS = {V1: "0xd40", N1: "0xd0c"}
"""MIDR_EL1.PartNum of Arm's cores [util-linux, sys-utils/lscpu-arm.c]."""


class Expected(NamedTuple):
    """What a machine is to be taken for."""

    machine: Instance | PlainVirtualMachine
    words: str
    status: ExitCode
    verdict: str
    product: str | None


CASES = (
    Expected(C7G, "is a Graviton3", ExitCode.OK, "graviton", "Graviton3"),
    Expected(C6G, "is a Graviton2", ExitCode.OK, "graviton", "Graviton2"),
    Expected(C7GN, "is a Graviton3E, by its family alone", ExitCode.OK, "graviton", "Graviton3E"),
    Expected(M8G_ON_V1, "is unknown: firmware and CPU disagree", ExitCode.NOT_GRAVITON, "unknown", None),
    Expected(PLAIN, "is no Graviton that could be known", ExitCode.NOT_GRAVITON, "unknown", None),
)


def play(bench: Bench, checks: Checks) -> None:
    """Boots each machine once."""
    for case in CASES:
        with bench.machine(case.machine) as machine:
            _detect(case, machine, checks)


def _detect(case: Expected, machine: Machine, checks: Checks) -> None:
    with checks.check(f"{case.machine.product} on {case.machine.core} {case.words}") as check:
        done = machine.attempt("graviton-agent", "detect", "--json")
        assert done.output, done.errors
        found: dict[str, Any] = json.loads(done.output)
        check.saw(f"{found['verdict']}, {found['product'] or 'no product'}: {found['reason']}")
        assert (found["verdict"], found["product"]) == (case.verdict, case.product)
        assert done.status == case.status
    with checks.check(f"the evidence for {case.machine.product} is what the machine says of itself") as check:
        evidence = {one["source"]: one["value"] for one in found["evidence"]}
        check.saw(", ".join(f"{source}: {value}" for source, value in evidence.items()))
        assert evidence["/sys/class/dmi/id/product_name"] == case.machine.product
        assert evidence["uname -m"] == "aarch64"
        firmware = getattr(case.machine, "processor", "virt-")
        assert evidence["/sys/firmware/dmi/tables/DMI"].startswith(firmware)
        assert evidence["/proc/cpuinfo"].startswith(f"0x41/{PARTS[case.machine.core]} ")
        vendor = machine.read("/sys/class/dmi/id/sys_vendor").strip()
        assert evidence["/sys/class/dmi/id/sys_vendor"] == vendor
