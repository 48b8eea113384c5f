"""Proof before belief: what the observed bits, huge pages and threads say that a setting does here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graviton_agent.calibration.plan import Choice, Plan
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import (
    CaseObservation,
    Configuration,
    Memory,
    Observation,
    ProductObservation,
)
from graviton_agent.settings.matmul_threshold import MatmulThreshold
from graviton_agent.settings.setting import Proof
from graviton_agent.settings.threads import Threads
from graviton_agent.workload import Case, Workload, backend_split

MIB = 1024 * 1024
# A process's huge pages vary by a few from run to run; a build that asks for them gets them for nearly all
# of its weights.
LEAST_HUGE_BYTES = 4 * MIB
LEAST_HUGE_SHARE = 0.25
BF16_ERROR = (3e-4, 2e-2)
"""Where the relative error of one bf16 product lies: 2e-3 was seen, and 3e-7 for fp32."""


@dataclass(frozen=True)
class Effect:
    """Whether a setting did anything here, and what was seen."""

    setting: str
    value: str
    alive: bool
    seen: str


def lever_effect(choice: Choice, default: Observation, tried: Observation, workload: Workload) -> Effect:
    """What a process that was started with the choice did differently from the default one."""
    match choice.setting.proof:
        case Proof.BF16_BITS:
            alive, seen = _bits(default, tried)
        case Proof.HUGE_PAGES:
            alive, seen = _huge_pages(default, tried, workload)
        case Proof.NO_HUGE_PAGES:
            alive, seen = _huge_pages(tried, default, workload)
        case Proof.DISPATCH_BITS | Proof.THREADS:
            raise ValueError(f"{choice.setting.name} is no lever of the environment")
    return Effect(choice.setting.name, choice.value, alive, seen)


def _bits(default: Observation, tried: Observation) -> tuple[bool, str]:
    errors = [
        after.error
        for before_case, after_case in zip(default.cases, tried.cases, strict=True)
        for before, after in zip(before_case.products, after_case.products, strict=True)
        if before.digest != after.digest
        and before.stable
        and after.stable
        and not (_left_blas(before, after) and after.error < BF16_ERROR[0])
    ]
    logged = any("wei:bf16" in kernel for case in tried.cases for kernel in case.kernels)
    if errors and BF16_ERROR[0] <= max(errors) <= BF16_ERROR[1]:
        return True, f"changes {len(errors)} products, by a relative error of up to {max(errors):.1e}"
    if errors and not math.isfinite(max(errors)):
        return True, "changes products into values that are not finite"
    if errors and max(errors) > BF16_ERROR[1]:
        return True, f"changes products by a relative error of {max(errors):.1e}, more than bf16 explains"
    if logged and not all(product.stable for case in tried.cases for product in case.products):
        return True, "oneDNN's log shows bf16 weights (sums are not stable from run to run here)"
    if errors:
        return False, f"changes bits, but by {max(errors):.1e}, which is no bf16 arithmetic"
    return False, "changes no output bit"


def _left_blas(before: ProductObservation, after: ProductObservation) -> bool:
    """Whether a product moved to oneDNN, which adds in another order: a lower threshold's doing."""
    return before.digest == before.blas_digest and after.digest != after.blas_digest


def _huge_pages(fewer: Observation, more: Observation, workload: Workload) -> tuple[bool, str]:
    rise = more.memory.anon_huge - fewer.memory.anon_huge
    if rise >= max(LEAST_HUGE_BYTES, LEAST_HUGE_SHARE * workload.weight_bytes):
        return True, f"moves {rise // MIB} MiB of huge pages"
    return False, f"moves no huge pages to speak of ({rise / MIB:.0f} MiB)"


def default_split(default: Observation, case: Case) -> frozenset[int]:
    """The layers that a process sends to the BLAS library by itself: their bits are those of BLAS."""
    return frozenset(
        product.layer
        for product in default.case(case.batch).products
        if product.digest == product.blas_digest
    )


@dataclass(frozen=True)
class Threshold:
    """One range of thresholds, which all dispatch alike."""

    value: int
    """The lowest of the range."""
    on_blas: tuple[frozenset[int], ...]
    """For each case of the workload the layers that the BLAS library then computes."""

    def below(self, default: Sequence[frozenset[int]]) -> tuple[int, ...]:
        """The cases, by index, in which oneDNN gets a layer that the default gives to BLAS."""
        return tuple(case for case, on_blas in enumerate(self.on_blas) if default[case] - on_blas)


def lowered_split(default: Observation, lowered: Observation, case: Case) -> frozenset[int]:
    """The layers that go to the BLAS library by themselves even below every threshold.

    Where sums are not stable from run to run a layer is taken to stay where the default has it.
    """
    moved = {
        product.layer
        for product in lowered.case(case.batch).products
        if product.stable and product.digest != product.blas_digest
    }
    return default_split(default, case) - moved


def distinct_thresholds(
    plan: Plan, default: Observation, lowered: Observation | None = None
) -> tuple[Threshold, ...]:
    """The candidates that dispatch differently from the default and from each other, as seen by bits.

    Products that go to BLAS anyway stay out of it, so what remains depends on the build's own default
    (8 on most Neoverse cores, 0 elsewhere) without anybody having to know it.

    Args:
        plan: with the values to try.
        default: what a process without variables does.
        lowered: what one with the lowest value does; without it nothing below the default is distinct.
    """
    if not default.flag_alive:
        return ()
    cases = plan.workload.cases
    own = tuple(default_split(default, case) for case in cases)
    anyway = own if lowered is None else tuple(lowered_split(default, lowered, case) for case in cases)
    found = {own: -1}
    for value in plan.thresholds:
        on_blas = tuple(
            backend_split(plan.workload, case, value) | least
            for case, least in zip(cases, anyway, strict=True)
        )
        found.setdefault(on_blas, value)
    del found[own]
    return tuple(Threshold(value, on_blas) for on_blas, value in found.items())


def threshold_effect(
    plan: Plan, default: Observation, blas: str, lowered: Observation | None = None
) -> Effect:
    """Whether any threshold can matter here."""
    name, values = "threshold", ",".join(str(value) for value in plan.thresholds)
    if not default.flag_alive:
        return Effect(name, values, alive=False, seen=f"changes no output bit: products go to {blas} anyway")
    found = distinct_thresholds(plan, default, lowered)
    if not found:
        return Effect(name, values, alive=False, seen=f"no product of this workload leaves {blas} as it is")
    own = [default_split(default, case) for case in plan.workload.cases]
    lower = [threshold for threshold in found if threshold.below(own)]
    words = [f"sends products to {blas}"] if len(lower) < len(found) else []
    words += [f"takes products from {blas}"] if lower else []
    return Effect(name, values, alive=True, seen=f"{' or '.join(words)}, bit for bit")


def unproved(seen: Observation, configuration: Configuration, workload: Workload) -> str | None:
    """Why a process does not do what its real variables say; None if it does.

    Screening emulates thresholds and thread counts in a running process: only a process that was started
    with the variables shows that torch obeys them.
    """
    environment = configuration.environment
    if limit := environment.get(MatmulThreshold.variable):
        for case in workload.cases:
            due = backend_split(workload, case, int(limit))
            stable = {product.layer for product in seen.case(case.batch).products if product.stable}
            if due & stable - default_split(seen, case):
                words = f"{MatmulThreshold.variable}={limit} does not send its products to BLAS"
                return f"{words} at batch {case.batch}"
    if (count := environment.get(Threads.variable)) and seen.threads != int(count):
        return f"torch starts {seen.threads} threads in spite of {Threads.variable}={count}"
    return None


def accuracy_bound(workload: Workload, rules: Rules) -> float:
    """The largest relative error norm that bf16 arithmetic explains: 3*sqrt(L)*2^-8 for L layers."""
    return rules.accuracy_per_layer * math.sqrt(len(workload.layers))


def accuracy_problem(case: CaseObservation, workload: Workload, rules: Rules) -> str | None:
    """Why a case's results can't be accepted; None if they can."""
    bound = accuracy_bound(workload, rules)
    if not case.finite:
        return f"batch {case.batch}: the output is not finite"
    for what, error in (("relative error", case.error), ("worst row's error", case.worst_row_error)):
        if not error <= bound:
            return f"batch {case.batch}: {what} {error:.1e} is above {bound:.1e}"
    if case.cosine < rules.minimum_cosine:
        return f"batch {case.batch}: cosine {case.cosine:.6f} is below {rules.minimum_cosine:g}"
    if case.argmax_flips:
        return f"batch {case.batch}: {case.argmax_flips} of {case.argmax_rows} clear rows change their winner"
    return None


def memory_problem(default: Memory, other: Memory, rules: Rules) -> str | None:
    """A gross breach of the memory margin by one process; exact is the confirmation's comparison of pairs."""
    margin = max(rules.memory_margin_bytes, rules.memory_margin_share * default.peak)
    excess = max(other.rss_anon - default.rss_anon, other.peak - default.peak)
    return f"needs {excess / 1e6:.0f} MB more memory" if excess > 2 * margin else None
