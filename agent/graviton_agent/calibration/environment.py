"""The environment of a worker: the caller's, without what steers torch, plus what is tried."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The daemon imports this for variables' names, and starts faster without all that trials are made of.
    from graviton_agent.calibration.trial import Configuration

# Variables that torch and the libraries under it read. What a shell exports must not leak into a trial.
STEERING_PREFIXES = (
    "ACL_", "ARM_COMPUTE_", "ATEN_", "BLIS_", "C10_", "DNNL_", "GOMP_", "GOTO_", "IDEEP_", "IPEX_", "KMP_",
    "LIBOMP_", "MALLOC_", "MIMALLOC_", "MKL_", "MKLDNN_", "NVPL_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTORCH_",
    "TORCH_", "TORCHDYNAMO_", "TORCHINDUCTOR_",
)  # fmt: skip
STEERING_NAMES = frozenset({"GLIBC_TUNABLES", "LD_PRELOAD", "LRU_CACHE_CAPACITY", "THP_MEM_ALLOC_ENABLE"})

# What the service manager gave to the agent alone [systemd.exec(5), sd_notify(3)].
MANAGER_PREFIXES = ("LISTEN_", "NOTIFY_", "WATCHDOG_")

PADDING_VARIABLE = "GRAVITON_AGENT_PADDING"
MAX_PADDING = 4095
"""The size of the environment moves the stack, and that biases timings [sharkdp/hyperfine
src/util/randomized_environment_offset.rs, citing Mytkowicz 2009]: each process draws its own."""


def aliases(variable: str) -> tuple[str, ...]:
    """The other names of a variable; oneDNN reads both of its prefixes, ONEDNN_ first."""
    for prefix, other in (("ONEDNN_", "DNNL_"), ("DNNL_", "ONEDNN_")):
        if variable.startswith(prefix):
            return (other + variable.removeprefix(prefix),)
    return ()


def steers(variable: str) -> bool:
    """Whether a variable changes what torch does, or speaks to the service manager."""
    return variable in STEERING_NAMES or variable.startswith(STEERING_PREFIXES + MANAGER_PREFIXES)


def worker_environment(
    base: Mapping[str, str],
    held: Mapping[str, str],
    configuration: "Configuration",
    *,
    padding: int = 0,
) -> dict[str, str]:
    """Builds a worker's environment.

    Args:
        base: the caller's environment; what steers torch is dropped from it.
        held: the unit's own variables, which stay whatever they steer.
        configuration: what is tried; it replaces a held variable of the same name or an alias of it.
        padding: length of a dummy variable.
    """
    environment = {name: value for name, value in base.items() if not steers(name)} | dict(held)
    for name, value in configuration.variables:
        if not value:
            # torch fails on an empty TORCH_MKLDNN_MATMUL_MIN_DIM; no setting means an empty value.
            raise ValueError(f"{name} must not be empty")
        for alias in aliases(name):
            environment.pop(alias, None)
        environment[name] = value
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment[PADDING_VARIABLE] = "x" * padding
    return environment
