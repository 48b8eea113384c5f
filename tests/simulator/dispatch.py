"""What torch makes of its environment: the rules that decide which library computes which product."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Literal, NamedTuple

from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Product, Workload

INT_MAX = 2**31 - 1


class Kernel(StrEnum):
    """Who computes a product."""

    BLAS = "blas"
    FP32 = "fp32"
    """oneDNN in fp32."""
    BF16 = "bf16"
    """oneDNN on inputs rounded to bf16."""


class State(NamedTuple):
    """What a process's environment comes to: two environments with equal states can't differ."""

    fast_math: bool
    min_dim: int
    min_size: int
    huge_pages: bool
    threads: int


class BrokenThresholdError(ValueError):
    """A threshold that std::stoi refuses: every matrix product of the process then raises."""


@dataclass(frozen=True)
class Machine:
    """A host and a torch build, as far as they decide what a variable does."""

    generation: int | None
    """Of Graviton; None is an x86-64 machine."""
    cpus: int
    thp_mode: Literal["always", "madvise", "never"]
    build: TorchBuild

    @cached_property
    def default_threshold(self) -> tuple[int, int]:
        """min_dim and min_size: 8 and 8192 on the Neoverse cores that torch knows, which V3 isn't, else 0."""
        return (8, 8192) if self.generation in {2, 3, 4} else (0, 0)

    @cached_property
    def takes_onednn(self) -> bool:
        """Whether oneDNN computes any fp32 linear layer: addmm has that branch on aarch64 with ACL alone."""
        return self.build.machine == "aarch64" and self.build.acl

    @cached_property
    def has_bf16(self) -> bool:
        """Whether fast math changes anything: Graviton2 has no bf16 instructions."""
        return self.takes_onednn and (self.generation or 0) >= 3

    @cached_property
    def huge_page_variables(self) -> tuple[str, ...]:
        """The variable that torch's allocator obeys; one of mimalloc's where it allocates by that."""
        if self.build.allocator != "mimalloc":
            return ("THP_MEM_ALLOC_ENABLE",)
        if "allow_thp" in self.build.variables:
            return ("MIMALLOC_ALLOW_THP",)
        return ("MIMALLOC_ALLOW_LARGE_OS_PAGES",)

    @cached_property
    def default_state(self) -> State:
        """The state of a process without variables."""
        return self.state({})

    def state(self, environment: Mapping[str, str], cpus: int | None = None) -> State:
        """Reads an environment as torch does. Raises BrokenThresholdError.

        Args:
            environment: the process's variables.
            cpus: how many CPUs its mask holds; None is all of them.
        """
        names = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
        mode = next((environment[name] for name in names if environment.get(name)), "")
        dim, size = self.default_threshold
        return State(
            fast_math=self.has_bf16 and mode.lower() in {"bf16", "any"},
            min_dim=_stoi(environment.get("TORCH_MKLDNN_MATMUL_MIN_DIM"), dim),
            min_size=_stoi(environment.get("TORCH_MKLDNN_MATMUL_MIN_SIZE"), size),
            huge_pages=self._huge_pages(environment),
            threads=_thread_count(environment.get("OMP_NUM_THREADS"), cpus or self.cpus),
        )

    def kernel(self, state: State, product: Product, *, flag: bool = True) -> Kernel:
        """Who computes a product in a process; `flag` is torch's own switch of oneDNN."""
        taken = (
            self.takes_onednn
            and flag
            and product.smallest_dimension > state.min_dim
            and product.m * product.k * product.n > state.min_size
        )
        if not taken:
            return Kernel.BLAS
        return Kernel.BF16 if state.fast_math else Kernel.FP32

    def kernels(
        self, state: State, workload: Workload, batch: int, flag_off: frozenset[int] = frozenset()
    ) -> tuple[Kernel, ...]:
        """Who computes each layer's product; `flag_off` are the layers for which the switch is off."""
        key = (state, workload.layers, batch, flag_off)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = tuple(
                self.kernel(
                    state, Product(m=batch, k=layer.inputs, n=layer.outputs), flag=index not in flag_off
                )
                for index, layer in enumerate(workload.layers)
            )
        return found

    @cached_property
    def _known(self) -> dict[object, tuple[Kernel, ...]]:
        """What `kernels` has answered."""
        return {}

    def _huge_pages(self, environment: Mapping[str, str]) -> bool:
        if self.thp_mode == "never":
            return False
        (name,) = self.huge_page_variables
        if self.build.allocator == "mimalloc":
            return environment.get(name) != "0"
        return self.thp_mode == "always" or environment.get(name) == "1"


def _stoi(text: str | None, default: int) -> int:
    """std::stoi: leading blanks, a sign, digits; what follows them is ignored."""
    if text is None:
        return default
    match = re.match(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", text)
    if match is None or not -INT_MAX - 1 <= int(match[1]) <= INT_MAX:
        raise BrokenThresholdError(text)
    return int(match[1])


def _thread_count(text: str | None, default: int) -> int:
    """libgomp ignores what is no positive number."""
    return (
        int(text) if text is not None and text.isascii() and text.isdecimal() and int(text) > 0 else default
    )
