"""Torch builds as they are on the machines that the simulator stands for."""

from dataclasses import replace

from graviton_agent.torch_build import TorchBuild

_VARIABLES = (
    "DEFAULT_FPMATH_MODE",
    "LRU_CACHE_CAPACITY",
    "OMP_NUM_THREADS",
    "THP_MEM_ALLOC_ENABLE",
    "TORCH_MKLDNN_MATMUL_MIN_DIM",
)

TORCH_2_9_1 = TorchBuild(
    interpreter="/usr/bin/python3",
    python="3.11.7",
    version="2.9.1",
    machine="aarch64",
    location="/usr/lib/python3/dist-packages/torch",
    blas="openblas",
    blas_version="0.3.30",
    onednn="3.7.1",
    acl=True,
    acl_version="25.02",
    allocator="malloc",
    huge_pages_by_default=False,
    bf16_hardware=True,
    cpu_capability="SVE256",
    default_threads=4,
    variables=_VARIABLES,
    configuration="",
)
"""The last aarch64 wheel whose allocator obeys THP_MEM_ALLOC_ENABLE."""

TORCH_2_10_0 = replace(
    TORCH_2_9_1,
    version="2.10.0",
    acl_version="52.6.0",
    allocator="mimalloc",
    huge_pages_by_default=True,
    variables=(*_VARIABLES, "allow_large_os_pages"),
)
"""The last aarch64 wheel of PyPI without CUDA; mimalloc asks for huge pages by itself."""

TORCH_2_13_0 = replace(
    TORCH_2_10_0,
    version="2.13.0",
    blas="nvpl",
    blas_version=None,
    onednn="3.12.0",
    variables=(*_VARIABLES, "allow_large_os_pages", "allow_thp"),
)
"""An aarch64 CUDA wheel: NVPL in the place of OpenBLAS."""

TORCH_2_13_0_X86 = replace(
    TORCH_2_9_1,
    version="2.13.0+cpu",
    machine="x86_64",
    blas="mkl",
    blas_version="2024.2",
    onednn="3.12.0",
    acl=False,
    acl_version=None,
    bf16_hardware=False,
    cpu_capability="AVX2",
)
"""MKL computes every fp32 linear layer there: neither the threshold nor fast math changes a bit."""
