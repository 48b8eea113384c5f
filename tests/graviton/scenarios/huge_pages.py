"""Huge pages: torch 2.9.1 asks for them by its own variable; in 2.10.0 that is dead, and mimalloc decides."""

from typing import Any

from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.instance import C7G
from tests.graviton.machine import Machine
from tests.graviton.serving import CALIBRATION_SECONDS, configure, prepare, record, unit_file

OLD, NEW = "old.service", "new.service"
TORCH = {OLD: "2.9.1", NEW: "2.10.0"}
# Weights of 16 MiB. What is proved is proved in the first look, and little time is left for anything else.
SECTION = """[units."{unit}"]
layers = "2048x2048"
batches = "4"
settings = ["huge-pages", "mimalloc-thp", "mimalloc-large-pages"]
threads = 1
budget = "1min"
calibrate = "manual"
"""
THP = "/sys/kernel/mm/transparent_hugepage/enabled"


def play(bench: Bench, checks: Checks) -> None:
    """Both releases on one machine."""
    with bench.machine(C7G) as machine:
        prepare(machine)
        machine.sh(f"echo madvise > {THP}")
        configure(machine, "".join(SECTION.format(unit=unit) for unit in TORCH))
        machine.add_units({unit: unit_file(torch) for unit, torch in TORCH.items()})
        old, new = _looked_at(machine, OLD), _looked_at(machine, NEW)
        with checks.check("torch 2.9.1: THP_MEM_ALLOC_ENABLE=1 raises the process's huge pages") as check:
            check.saw(_words(old))
            assert _effect(old, "huge-pages")["alive"]
        with checks.check("torch 2.10.0: THP_MEM_ALLOC_ENABLE is reported as dead, and never tried") as check:
            reason = _reason(new, "huge-pages")
            check.saw(reason)
            assert "allocates by mimalloc" in reason
            assert "huge-pages" not in {one["setting"] for one in new["effects"]}
            assert new["torch"]["allocator"] == "mimalloc"
        with checks.check(
            "torch 2.10.0: a setting of mimalloc's is tried in its place, and its effect seen"
        ) as check:
            check.saw(_words(new))
            assert any(one["alive"] for one in new["effects"] if one["setting"].startswith("mimalloc-"))


def _looked_at(machine: Machine, unit: str) -> dict[str, Any]:
    """The record of a calibration that has at least looked at both environments."""
    machine.run("graviton-agent", "calibrate", unit, seconds=CALIBRATION_SECONDS)
    return record(machine, unit)


def _effect(found: dict[str, Any], setting: str) -> dict[str, Any]:
    effect: dict[str, Any] = next(one for one in found["effects"] if one["setting"] == setting)
    return effect


def _reason(found: dict[str, Any], setting: str) -> str:
    return str(next(one["reason"] for one in found["settings"] if one["setting"] == setting))


def _words(found: dict[str, Any]) -> str:
    pages = {
        " ".join(f"{name}={value}" for name, value in one["environment"].items()): (
            one["observation"]["memory"]["anon_huge"] >> 10
        )
        for one in found["observations"]
    }
    amounts = ", ".join(f"{kib} KiB with {given or 'the default'}" for given, kib in pages.items())
    effects = "; ".join(f"{one['setting']}: {one['seen']}" for one in found["effects"])
    return f"AnonHugePages: {amounts}; {effects}"
