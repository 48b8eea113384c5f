"""What the unit's interpreter loads: the facts of one torch build, as a probe in it saw them."""

from dataclasses import dataclass
from typing import Literal

BLAS_NAMES = {"openblas": "OpenBLAS", "nvpl": "NVPL", "mkl": "MKL", "accelerate": "Accelerate"}


@dataclass(frozen=True)
class TorchBuild:
    """One interpreter's torch. Everything here was read or tried in a fresh process of that interpreter."""

    interpreter: str
    """Path of the Python as it was named; never resolved, for a venv's python is a link to the system's."""
    python: str
    """Version of that Python, such as "3.11.7"."""
    version: str
    """torch.__version__, such as "2.10.0" or "2.13.0+cpu"."""
    machine: str
    """platform.machine() of that process, such as "aarch64"."""
    location: str
    """Folder of the torch package."""
    blas: str
    """The BLAS library behind torch: "openblas", "nvpl", "mkl", "accelerate", ... or "unknown"."""
    blas_version: str | None
    onednn: str | None
    """Version of oneDNN such as "3.7.1", "unknown" if it is built in without saying; None if it isn't."""
    acl: bool
    """Whether oneDNN is built on the Arm Compute Library."""
    acl_version: str | None
    allocator: Literal["malloc", "mimalloc", "unknown"]
    """What c10's CPU allocator calls, found in libc10's own strings."""
    huge_pages_by_default: bool
    """Whether a tensor of 64 MiB got huge pages with no variable set."""
    bf16_hardware: bool | None
    """Whether torch sees the CPU's bf16 instructions; None if it can't say."""
    cpu_capability: str
    """torch.backends.cpu.get_cpu_capability(), such as "SVE256"; "unknown" where torch has no such call."""
    default_threads: int
    """torch.get_num_threads() with no variable set, under the probe's CPU mask."""
    variables: tuple[str, ...]
    """Which of the variables that were asked for occur in the build's libraries at all."""
    configuration: str
    """torch.__config__.show(), whole."""

    @property
    def blas_name(self) -> str:
        """The BLAS library as its makers write it."""
        return BLAS_NAMES.get(self.blas, self.blas)

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version; (0, 0) where the version can't be read."""
        parts = self.version.split("+", maxsplit=1)[0].split(".")
        try:
            return int(parts[0]), int(parts[1])
        except (IndexError, ValueError):
            return 0, 0
