"""The simulator reads an environment as torch does."""

import pytest

from graviton_agent.workload import Product, make_workload
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0, TORCH_2_13_0_X86
from tests.simulator.dispatch import BrokenThresholdError, Kernel, Machine

GRAVITON3 = Machine(3, 4, "madvise", TORCH_2_9_1)
GRAVITON2 = Machine(2, 4, "madvise", TORCH_2_9_1)
GRAVITON5 = Machine(5, 4, "madvise", TORCH_2_9_1)
X86 = Machine(None, 4, "madvise", TORCH_2_13_0_X86)


def kernel(machine: Machine, m: int, **environment: str) -> Kernel:
    """Who computes m rows of a square layer."""
    return machine.kernel(machine.state(environment), Product(m=m, k=512, n=512))


def test_the_default_threshold_of_eight_is_exceeded_from_nine_on() -> None:
    assert [kernel(GRAVITON3, m) for m in (8, 9)] == [Kernel.BLAS, Kernel.FP32]


def test_a_graviton5_gives_every_product_to_onednn() -> None:
    assert kernel(GRAVITON5, 1) is Kernel.FP32


def test_a_threshold_of_64_sends_64_rows_to_blas_and_65_to_onednn() -> None:
    assert [kernel(GRAVITON3, m, TORCH_MKLDNN_MATMUL_MIN_DIM="64") for m in (64, 65)] == [
        Kernel.BLAS,
        Kernel.FP32,
    ]


def test_a_small_product_stays_with_blas_by_its_size() -> None:
    state = GRAVITON3.state({})
    assert GRAVITON3.kernel(state, Product(m=16, k=16, n=32)) is Kernel.BLAS
    assert GRAVITON3.kernel(state, Product(m=16, k=16, n=33)) is Kernel.FP32


def test_a_threshold_splits_a_pass_layer_by_layer() -> None:
    state = GRAVITON3.state({"TORCH_MKLDNN_MATMUL_MIN_DIM": "64"})
    assert GRAVITON3.kernels(state, make_workload(), 256) == (Kernel.FP32, Kernel.FP32, Kernel.BLAS)


def test_fast_math_needs_bf16_instructions() -> None:
    chosen = {"DNNL_DEFAULT_FPMATH_MODE": "BF16"}
    assert kernel(GRAVITON3, 256, **chosen) is Kernel.BF16
    assert kernel(GRAVITON2, 256, **chosen) is Kernel.FP32


@pytest.mark.parametrize("value", ["strict", "f16", "BF16x", ""])
def test_other_modes_are_strict(value: str) -> None:
    assert kernel(GRAVITON3, 256, DNNL_DEFAULT_FPMATH_MODE=value) is Kernel.FP32


def test_onednns_own_name_goes_before_the_old_one() -> None:
    both = {"ONEDNN_DEFAULT_FPMATH_MODE": "strict", "DNNL_DEFAULT_FPMATH_MODE": "BF16"}
    assert kernel(GRAVITON3, 256, **both) is Kernel.FP32


def test_below_the_threshold_fast_math_is_off() -> None:
    chosen = {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "256"}
    assert kernel(GRAVITON3, 256, **chosen) is Kernel.BLAS


def test_on_x86_neither_the_threshold_nor_fast_math_does_anything() -> None:
    chosen = {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "0"}
    assert kernel(X86, 256, **chosen) is Kernel.BLAS


@pytest.mark.parametrize("value", ["", "abc", "99999999999"])
def test_a_threshold_that_is_no_number_breaks_every_product(value: str) -> None:
    with pytest.raises(BrokenThresholdError):
        GRAVITON3.state({"TORCH_MKLDNN_MATMUL_MIN_DIM": value})


def test_what_follows_the_digits_of_a_threshold_is_ignored() -> None:
    assert GRAVITON3.state({"TORCH_MKLDNN_MATMUL_MIN_DIM": "64abc"}).min_dim == 64


@pytest.mark.parametrize(
    ("build", "mode", "environment", "huge"),
    [
        (TORCH_2_9_1, "madvise", {}, False),
        (TORCH_2_9_1, "madvise", {"THP_MEM_ALLOC_ENABLE": "1"}, True),
        (TORCH_2_9_1, "madvise", {"THP_MEM_ALLOC_ENABLE": "yes"}, False),
        (TORCH_2_9_1, "never", {"THP_MEM_ALLOC_ENABLE": "1"}, False),
        (TORCH_2_9_1, "always", {}, True),
        (TORCH_2_10_0, "madvise", {}, True),
        (TORCH_2_10_0, "madvise", {"THP_MEM_ALLOC_ENABLE": "0"}, True),
        (TORCH_2_10_0, "madvise", {"MIMALLOC_ALLOW_LARGE_OS_PAGES": "0"}, False),
        (TORCH_2_10_0, "madvise", {"MIMALLOC_ALLOW_THP": "0"}, True),
        (TORCH_2_13_0, "madvise", {"MIMALLOC_ALLOW_THP": "0"}, False),
    ],
)
def test_huge_pages_follow_the_allocator_and_the_host(
    build: object, mode: str, environment: dict[str, str], huge: bool
) -> None:
    machine = Machine(3, 4, mode, build)  # type: ignore[arg-type]
    assert machine.state(environment).huge_pages is huge


def test_threads_follow_the_variable_and_else_the_mask() -> None:
    assert GRAVITON3.state({}).threads == 4
    assert GRAVITON3.state({}, cpus=2).threads == 2
    assert GRAVITON3.state({"OMP_NUM_THREADS": "3"}, cpus=2).threads == 3
    assert GRAVITON3.state({"OMP_NUM_THREADS": "none"}).threads == 4
