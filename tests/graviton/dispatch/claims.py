"""What the product says about a torch on a core, against what its processes were seen to do. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graviton_agent.calibration.plan import Choice
from graviton_agent.calibration.proof import accuracy_problem, default_split, lever_effect, unproved
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Configuration, Observation
from graviton_agent.calibration.worker import kernels_in
from graviton_agent.host import Host
from graviton_agent.settings.catalogue import CATALOGUE, setting_named
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import backend_split
from tests.graviton.dispatch.looks import (
    ABOVE,
    BELOW,
    DEFAULT,
    ENVIRONMENTS,
    LOWERED,
    RAISED,
    THREADS,
    WORKLOAD,
    Log,
    Look,
)

OWN_THRESHOLD = 8
"""torch's own on the Neoverse cores that it knows."""
LEAST_ASKED = 4 << 20
"""Bytes; one of the workload's tensors is larger."""
FP32_ERROR = 1e-5
"""Above the relative error of any fp32 product here, and below that of any bf16 product."""
FP32_KERNEL, BF16_KERNEL = "gemm:acl wei:f32", "gemm:acl wei:bf16"
BF16_ATTRIBUTE = "attr-fpmath:bf16"
BREAKS, ZERO = "breaks every product", "counts as 0"
"""What torch makes of an empty threshold: std::stoi refuses it, and std::atoi, which older releases call,
doesn't [pytorch aten/src/ATen/native/LinearAlgebra.cpp]."""

Looks = Mapping[str, Look]


@dataclass(frozen=True)
class Claim:
    """One sentence, and whether it was seen to be true."""

    sentence: str
    holds: bool
    seen: str


@dataclass(frozen=True)
class Alive:
    """Whether a setting did anything, and what was seen."""

    alive: bool
    seen: str


def observed(looks: Looks) -> dict[str, Alive]:
    """For each setting's name whether it is alive, by what the processes did."""
    default, lowered, raised = (looks[name] for name in (DEFAULT, LOWERED, RAISED))
    effect = lever_effect(Choice(setting_named("bf16"), "BF16"), default.seen, lowered.seen, WORKLOAD)
    return {
        "bf16": Alive(effect.alive, effect.seen),
        "huge-pages": _asked(default, lowered),
        "mimalloc-thp": _asked(lowered, default),
        "mimalloc-large-pages": _asked(raised, default),
        "threshold": _threshold(default.seen, lowered.seen, raised.seen),
        "threads": _threads(default.seen, lowered.seen),
    }


def own_threshold(default: Observation) -> int | None:
    """The largest batch whose every product the default process gives to BLAS; None if there is none."""
    whole = [
        case.batch for case in WORKLOAD.cases if len(default_split(default, case)) == len(WORKLOAD.layers)
    ]
    return max(whole, default=None)


def empty_threshold(look: Look) -> str:
    """What torch makes of an empty threshold; in the words of the failure if it is something unheard of."""
    if look.problem:
        return BREAKS if "stoi" in look.problem else look.problem
    return ZERO if own_threshold(look.seen) is None else "is ignored"


def misleading(log: Log) -> str:
    """The kernel that oneDNN's log shows, and whether the log names bf16 beside it."""
    kernels = ", ".join(kernels_in(log.lines)) or "no kernel"
    named = [BF16_ATTRIBUTE in line for line in log.lines if ",matmul," in line]
    return f"{kernels} {BF16_ATTRIBUTE}" if named and all(named) else kernels


def claims(looks: Looks, host: Host, build: TorchBuild) -> list[Claim]:
    """All that is claimed of a torch on a core."""
    made = list(_of_catalogue(observed(looks), host, build))
    made += _of_dispatch(looks, host)
    for name, look in looks.items():
        made += _of_process(name, look.seen, host)
    return made


def _of_catalogue(alive: Mapping[str, Alive], host: Host, build: TorchBuild) -> Iterator[Claim]:
    """What the catalogue would try is alive, and what it leaves alone is dead."""
    for setting in CATALOGUE:
        says, was = setting.applies(host, build), alive[setting.name]
        words = "may have an effect" if says.possible else "has no effect"
        seen = f"catalogue: {says.why}; seen: {was.seen}"
        yield Claim(f"{setting.variable} {words}", says.possible == was.alive, seen)


def _of_dispatch(looks: Looks, host: Host) -> Iterator[Claim]:
    """Which products go where in each of the processes."""
    default = looks[DEFAULT].seen
    own = own_threshold(default)
    yield Claim(f"torch's own threshold is {OWN_THRESHOLD}", own == OWN_THRESHOLD, f"{own}")
    for name, threshold in ((DEFAULT, OWN_THRESHOLD), (LOWERED, BELOW), (RAISED, ABOVE)):
        seen = looks[name].seen
        found = {case.batch: sorted(default_split(seen, case)) for case in WORKLOAD.cases}
        due = {case.batch: sorted(backend_split(WORKLOAD, case, threshold)) for case in WORKLOAD.cases}
        yield Claim(f"{name}: products up to {threshold} go to BLAS, bit for bit", found == due, f"{found}")
    blas = [
        [product.blas_digest for case in look.seen.cases for product in case.products]
        for look in looks.values()
    ]
    same = all(one == blas[0] for one in blas)
    yield Claim("the BLAS library's bits are the same in each process", same, f"{len(blas[0])} products")
    for name in (LOWERED, RAISED):
        expected = BF16_KERNEL if host.bf16 else FP32_KERNEL
        kernels = looks[name].seen.case(ABOVE + 1).kernels
        yield Claim(f"{name}: {expected} runs", kernels == (expected,), f"{kernels}")


def _of_process(name: str, seen: Observation, host: Host) -> Iterator[Claim]:
    """What the bits say, the log says too; and errors are as large as the arithmetic explains."""
    variables = ENVIRONMENTS[name]
    problem = unproved(seen, Configuration.of(variables), WORKLOAD)
    yield Claim(f"{name}: the product's proof finds its variables obeyed", problem is None, problem or "so")
    by_bits = {case.batch: len(default_split(seen, case)) < len(WORKLOAD.layers) for case in WORKLOAD.cases}
    by_log = {case.batch: bool(seen.case(case.batch).kernels) for case in WORKLOAD.cases}
    yield Claim(
        f"{name}: bits and oneDNN's log agree on the batches it works for", by_bits == by_log, f"{by_log}"
    )
    bf16 = "DNNL_DEFAULT_FPMATH_MODE" in variables and host.bf16
    yield Claim(f"{name}: only bf16 weights have bf16's error", *_errors(seen, bf16=bf16))
    problems = [accuracy_problem(case, WORKLOAD, Rules()) for case in seen.cases]
    wrong = "; ".join(one for one in problems if one)
    yield Claim(f"{name}: the accuracy guard passes every batch", not wrong, wrong or "so")


def _errors(seen: Observation, *, bf16: bool) -> tuple[bool, str]:
    """Whether the products that oneDNN computed, and only they, have the error of its arithmetic."""
    blas = [one.error for case in seen.cases for one in case.products if one.digest == one.blas_digest]
    onednn = [one.error for case in seen.cases for one in case.products if one.digest != one.blas_digest]
    words = f"BLAS up to {max(blas, default=0):.1e}, oneDNN up to {max(onednn, default=0):.1e}"
    exact = [error < FP32_ERROR for error in onednn]
    due = not any(exact) if bf16 else all(exact)
    return due and all(error < FP32_ERROR for error in blas), words


def _asked(fewer: Look, more: Look) -> Alive:
    """Whether a process asked for more memory in huge pages than another."""
    rise = more.asked - fewer.asked
    return Alive(
        rise >= LEAST_ASKED, f"{fewer.asked >> 20} and {more.asked >> 20} MiB asked for as huge pages"
    )


def _threshold(default: Observation, lowered: Observation, raised: Observation) -> Alive:
    """Whether a threshold moves any product, on either side of torch's own."""
    moved = [
        sum(len(default_split(tried, case) ^ default_split(default, case)) for case in WORKLOAD.cases)
        for tried in (lowered, raised)
    ]
    return Alive(all(moved), f"{BELOW} moves {moved[0]} products, {ABOVE} moves {moved[1]}")


def _threads(default: Observation, lowered: Observation) -> Alive:
    """Whether torch starts the threads that it is told."""
    return Alive(
        lowered.threads == THREADS != default.threads, f"{default.threads} threads, and {lowered.threads}"
    )
