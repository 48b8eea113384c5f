"""One process of the matrix: a torch, a core and an environment, looked at through the product's pool."""

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from graviton_agent.calibration import environment, launcher, pool, probe, process, protocol, worker
from graviton_agent.calibration.pool import TimeLimits, WorkerPool
from graviton_agent.calibration.trial import Configuration, Observation, TrialError, TrialSpec
from graviton_agent.host import Host
from graviton_agent.settings.catalogue import markers
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import make_workload
from tests.graviton import user_mode
from tests.graviton.dispatch.notebook import noted
from tests.graviton.kept import PreparationError
from tests.graviton.qemu import qemu
from tests.graviton.sysroot import sysroot
from tests.graviton.user_mode import Core, UserModeLauncher, huge_pages_asked
from tests.graviton.wheels import unpacked

CORES = ("neoverse-n1", "neoverse-v1", "neoverse-n2")
"""Graviton2's and Graviton3's; the last stands in for Graviton4's V2, which QEMU 10 lacks."""

RECIPE = 1
"""To be raised when this file sees something else in the same processes."""
DECIDING = (worker, pool, process, protocol, launcher, environment, probe, user_mode)
"""The modules that decide what a process does, and what is seen of it."""

SECONDS = 1800.0
"""For each step of a process: importing torch alone takes a minute of CPU time."""

# Batches on both sides of torch's own threshold (8) and of ours; a last layer that is narrower than ours.
WORKLOAD = make_workload(layers="256x256,256x256,256x10", batches="8,9,64,65")
ABOVE, BELOW = 64, 4
"""Thresholds tried: one that batches lie around, and one below torch's own."""

THREADS = 1 if len(os.sched_getaffinity(0)) > 1 else 2
"""Unlike what torch starts by itself, and few: threads that wait for each other on one CPU take minutes."""

DEFAULT = "default"
LOWERED = "threshold below torch's own"
RAISED = "threshold above torch's own"
# A process costs a minute. So settings share one whose effects can't be taken for each other's: the size of
# an error, the path of a product at one batch, a number of threads, and memory asked for (where c10 reads
# THP_MEM_ALLOC_ENABLE there is no mimalloc to obey, and the other way round).
ENVIRONMENTS = {
    DEFAULT: {},
    LOWERED: {
        "DNNL_DEFAULT_FPMATH_MODE": "BF16",
        "MIMALLOC_ALLOW_THP": "0",
        "OMP_NUM_THREADS": str(THREADS),
        "THP_MEM_ALLOC_ENABLE": "1",
        "TORCH_MKLDNN_MATMUL_MIN_DIM": str(BELOW),
    },
    RAISED: {
        "DNNL_DEFAULT_FPMATH_MODE": "BF16",
        "MIMALLOC_ALLOW_LARGE_OS_PAGES": "0",
        "TORCH_MKLDNN_MATMUL_MIN_DIM": str(ABOVE),
    },
}

LOGGED = {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "ONEDNN_VERBOSE": "1"}
ONE_PRODUCT = "import torch; torch.nn.functional.linear(torch.ones(65, 256), torch.ones(256, 256))"


@dataclass(frozen=True)
class Look:
    """What one process did."""

    observation: Observation | None
    """None if the process failed."""
    problem: str
    """Why it failed, in torch's words; empty if it didn't."""
    asked: int
    """Bytes for which it asked for huge pages."""
    day: str
    """When that was, such as "2026-11-28"."""

    @property
    def seen(self) -> Observation:
        """The observation of a process that must not have failed."""
        if self.observation is None:
            raise AssertionError(self.problem)
        return self.observation


@dataclass(frozen=True)
class Log:
    """What oneDNN logged of a process with bf16 on, which computed one product above all thresholds."""

    lines: tuple[str, ...]
    day: str


@dataclass(frozen=True)
class Probed:
    """What the product's probe found out about a torch."""

    build: TorchBuild
    day: str


def look(torch: str, core: str, name: str) -> Look:
    """Starts a process in one of the environments, and looks at it; or has done so before."""
    variables = ENVIRONMENTS[name]
    return noted(
        f"{torch} {core} {name}",
        _recipe(torch, core, variables),
        Look,
        lambda: _look(torch, core, variables, {}),
        lambda seen: not seen.problem,
    )


def look_at_empty_threshold(torch: str, core: str) -> Look:
    """Looks at a process that was given an empty threshold by whoever started it: the product never does."""
    held = {"TORCH_MKLDNN_MATMUL_MIN_DIM": ""}
    return noted(
        f"{torch} {core} empty threshold",
        _recipe(torch, core, held),
        Look,
        lambda: _look(torch, core, {}, held),
        lambda seen: not seen.problem or "stoi" in seen.problem,
    )


def build(torch: str, core: str) -> Probed:
    """What the product finds out about a torch."""
    recipe = [*_recipe(torch, core, {}), sorted(markers())]
    return noted(f"{torch} {core} build", recipe, Probed, lambda: _probed(torch, core), lambda _: True)


def log(torch: str, core: str) -> Log:
    """Has a process with bf16 on compute a product, and reads oneDNN's own log of it, unfiltered."""
    recipe = [*_recipe(torch, core, LOGGED), ONE_PRODUCT]
    return noted(f"{torch} {core} log", recipe, Log, lambda: _log(torch, core), lambda _: True)


def host(core: str) -> Host:
    """What the product finds out about a machine with such a core."""
    with tempfile.TemporaryDirectory() as folder:
        return _core(core).host(Path(folder))


def _recipe(torch: str, core: str, variables: dict[str, str]) -> list[object]:
    """All that may change what is seen of a process."""
    parts = [folder.name for folder in (qemu().root, sysroot(), unpacked(torch))]
    cpus = len(os.sched_getaffinity(0))
    return [*parts, core, cpus, variables, repr(WORKLOAD), *map(_digest, DECIDING), RECIPE]


def _digest(module: ModuleType) -> str:
    return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()


def _probed(torch: str, core: str) -> Probed:
    emulated = _core(core)
    with tempfile.TemporaryDirectory() as folder:
        launcher = UserModeLauncher(emulated, Path(folder) / "trace")
        interpreter, base = str(emulated.python), _environment(torch)
        made = probe.probe(interpreter, markers(), environment=base, seconds=SECONDS, launcher=launcher)
    return Probed(made, today())


def _log(torch: str, core: str) -> Log:
    emulated = _core(core)
    done = subprocess.run(
        [*emulated.command(), str(emulated.python), "-c", ONE_PRODUCT],
        env=_environment(torch) | LOGGED,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise PreparationError(f"torch {torch} on {core} computes no product:\n{done.stdout[-2000:]}")
    return Log(tuple(line for line in done.stdout.splitlines() if ",exec," in line), today())


def _look(torch: str, core: str, variables: dict[str, str], held: dict[str, str]) -> Look:
    emulated = _core(core)
    observation, problem = None, ""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        processes = WorkerPool(
            str(emulated.python),
            WORKLOAD,
            environment=_environment(torch),
            held=held,
            limits=TimeLimits(start=SECONDS, answer=SECONDS),
            launcher=UserModeLauncher(emulated, trace),
        )
        with processes:
            try:
                (trial,) = processes.start([TrialSpec(Configuration.of(variables))])
                observation = trial.observe()
            except TrialError as failure:
                problem = failure.reason
        return Look(observation, problem, huge_pages_asked(trace.read_text(errors="replace")), today())


def _core(name: str) -> Core:
    return Core(qemu(), sysroot(), name)


def _environment(torch: str) -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(unpacked(torch))}


def today() -> str:
    """In universal time, such as "2026-11-28"."""
    return f"{datetime.now(UTC):%Y-%m-%d}"
