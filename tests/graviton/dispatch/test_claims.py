"""The claims about the matrix hold for processes that do what is claimed, and fail for those that don't."""

from dataclasses import replace

import pytest

from graviton_agent.calibration.trial import CaseObservation, Memory, Observation, ProductObservation
from graviton_agent.host import Host
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Case, backend_split
from tests.graviton.dispatch.claims import (
    BREAKS,
    ZERO,
    claims,
    empty_threshold,
    misleading,
    observed,
    own_threshold,
)
from tests.graviton.dispatch.looks import ABOVE, BELOW, DEFAULT, LOWERED, RAISED, THREADS, WORKLOAD, Log, Look
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

MIB = 1 << 20


def process(threshold: int, *, bf16: bool = False, asked: int = 0, threads: int = THREADS + 1) -> Look:
    """A process that gives products up to the threshold to BLAS, and the others to oneDNN."""
    cases = tuple(case_of(case, backend_split(WORKLOAD, case, threshold), bf16) for case in WORKLOAD.cases)
    observation = Observation(cases, "control", "control by BLAS", threads, Memory(0, 0, 0))
    return Look(observation, "", asked, "2026-01-01")


def case_of(case: Case, blas: frozenset[int], bf16: bool) -> CaseObservation:
    layers = range(len(WORKLOAD.layers))
    arithmetic = "bf16" if bf16 else "f32"
    return CaseObservation(
        batch=case.batch,
        products=tuple(
            ProductObservation(
                layer=layer,
                digest="blas" if layer in blas else arithmetic,
                blas_digest="blas",
                stable=True,
                error=2e-3 if bf16 and layer not in blas else 2e-7,
            )
            for layer in layers
        ),
        digest="",
        error=2e-3 if bf16 else 2e-7,
        worst_row_error=2e-3 if bf16 else 2e-7,
        cosine=0.99999,
        finite=True,
        argmax_flips=0,
        argmax_rows=case.batch,
        kernels=() if len(blas) == len(layers) else (f"gemm:acl wei:{arithmetic}",),
    )


def processes(*, bf16: bool = True, malloc: bool = True) -> dict[str, Look]:
    """What torch does on a core with or without bf16, where c10 allocates by malloc or by mimalloc."""
    return {
        DEFAULT: process(8, asked=0 if malloc else 1024 * MIB),
        LOWERED: process(BELOW, bf16=bf16, asked=(16 if malloc else 1024) * MIB, threads=THREADS),
        RAISED: process(ABOVE, bf16=bf16),
    }


def wrong(looks: dict[str, Look], host: Host, build: TorchBuild = TORCH_2_9_1) -> list[str]:
    """The claims that do not hold."""
    return [claim.sentence for claim in claims(looks, host, build) if not claim.holds]


def graviton(generation: int) -> Host:
    return host_of(Machine(generation, 4, "madvise", TORCH_2_9_1))


@pytest.mark.parametrize("generation", [2, 3, 4])
@pytest.mark.parametrize("build", [TORCH_2_9_1, TORCH_2_10_0])
def test_processes_that_do_what_is_claimed_leave_no_claim_open(generation: int, build: TorchBuild) -> None:
    looks = processes(bf16=generation > 2, malloc=build.allocator == "malloc")
    assert wrong(looks, graviton(generation), build) == []


def test_a_catalogue_that_would_try_what_is_dead_is_wrong() -> None:
    assert "THP_MEM_ALLOC_ENABLE may have an effect" in wrong(processes(malloc=False), graviton(3))


def test_a_catalogue_that_leaves_alone_what_is_alive_is_wrong() -> None:
    assert "DNNL_DEFAULT_FPMATH_MODE has no effect" in wrong(processes(bf16=True), graviton(2))


def test_a_threshold_that_torch_ignores_is_wrong_and_dead() -> None:
    looks = processes() | {RAISED: process(8, bf16=True)}
    assert f"{RAISED}: products up to {ABOVE} go to BLAS, bit for bit" in wrong(looks, graviton(3))
    assert not observed(looks)["threshold"].alive


def test_bits_and_log_must_agree() -> None:
    look = process(8)
    silent = tuple(replace(case, kernels=()) for case in look.seen.cases)
    looks = processes() | {DEFAULT: replace(look, observation=replace(look.seen, cases=silent))}
    assert f"{DEFAULT}: bits and oneDNN's log agree on the batches it works for" in wrong(looks, graviton(3))


def test_a_blas_library_that_computes_something_else_in_each_process_is_wrong() -> None:
    look = process(8)
    first, *rest = look.seen.cases
    other = replace(first.products[0], blas_digest="other", digest="other")
    changed = replace(first, products=(other, *first.products[1:]))
    looks = processes() | {DEFAULT: replace(look, observation=replace(look.seen, cases=(changed, *rest)))}
    assert wrong(looks, graviton(3)) == ["the BLAS library's bits are the same in each process"]


def test_fp32_weights_with_the_error_of_bf16_are_wrong() -> None:
    looks = processes() | {DEFAULT: process(8, bf16=True)}
    assert f"{DEFAULT}: only bf16 weights have bf16's error" in wrong(looks, graviton(3))


@pytest.mark.parametrize(("threshold", "batch"), [(8, 8), (0, None)])
def test_torchs_own_threshold_is_the_largest_batch_that_goes_to_blas(
    threshold: int, batch: int | None
) -> None:
    assert own_threshold(process(threshold).seen) == batch


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (process(0), ZERO),
        (process(8), "is ignored"),
        (Look(None, "RuntimeError: stoi", 0, "2026-01-01"), BREAKS),
        (Look(None, "killed by SIGKILL", 0, "2026-01-01"), "killed by SIGKILL"),
    ],
)
def test_what_torch_makes_of_an_empty_threshold_is_told(look: Look, words: str) -> None:
    assert empty_threshold(look) == words


LINE = "onednn_verbose,v1,primitive,exec,cpu,matmul,gemm:acl,undef,src:f32:a::f0 {weight},{attribute},,65x256"


@pytest.mark.parametrize(
    ("weight", "attribute", "words"),
    [
        ("wei:f32:a:blocked:Ba8b::f0", "attr-fpmath:bf16", "gemm:acl wei:f32 attr-fpmath:bf16"),
        ("wei:bf16:a:blocked:BA4b4a::f0", "attr-fpmath:bf16", "gemm:acl wei:bf16 attr-fpmath:bf16"),
        ("wei:f32:a:blocked:Ba8b::f0", "attr-scratchpad:user", "gemm:acl wei:f32"),
    ],
)
def test_what_a_log_names_is_told_apart_from_what_ran(weight: str, attribute: str, words: str) -> None:
    line = LINE.format(weight=weight, attribute=attribute)
    assert misleading(Log((line,), "2026-01-01")) == words


def test_a_log_without_a_product_misleads_nobody() -> None:
    assert misleading(Log((), "2026-01-01")) == "no kernel"
