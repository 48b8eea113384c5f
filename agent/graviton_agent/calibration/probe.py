"""Finds out which torch an interpreter loads, or says in one line why it loads none."""

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NoReturn

from graviton_agent.calibration.environment import worker_environment
from graviton_agent.calibration.launcher import TIMEOUT_SECONDS, Launcher, PlainLauncher
from graviton_agent.calibration.process import Worker, WorkerError, exchange
from graviton_agent.calibration.protocol import ProbeAnswer
from graviton_agent.calibration.trial import DEFAULT
from graviton_agent.errors import InterpreterError
from graviton_agent.torch_build import TorchBuild

OLDEST_PYTHON = (3, 8)
OLDEST_TORCH = (2, 0)

NAME_ANOTHER = (
    "name the interpreter that serves the model with --python, "
    "or set `python = ` for the unit in /etc/graviton-agent/conf.d/"
)
TRY_BY_HAND = "try it by hand: {} -c 'import torch'"

# BLAS_INFO of torch's build settings, where its word differs from ours.
BLAS_NAMES = {"open": "openblas"}
BLAS_LIBRARIES = (("nvpl_blas", "nvpl"), ("openblas", "openblas"), ("mkl_", "mkl"), ("blis", "blis"))


def probe(
    interpreter: str,
    markers: Iterable[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    seconds: float = TIMEOUT_SECONDS,
    launcher: Launcher | None = None,
) -> TorchBuild:
    """Runs a worker under an interpreter and asks it about torch.

    Args:
        interpreter: a path, or a name to be looked up in PATH. It is never resolved further: a venv's python
            is a link to the system's, and finds its packages by its own place.
        markers: strings to be looked for among the constants of torch's libraries.
        environment: what the interpreter starts with, less what steers torch; None is this process's own.
        seconds: how long starting Python and importing torch may take together, from a cold disk.
        launcher: how it is started; as a plain child unless told otherwise. The interpreter is a path then.

    Raises InterpreterError.
    """
    base = os.environ if environment is None else environment
    # In a cage the path is that of another view of the file system, and who may run it another user.
    path = _find(interpreter, base) if launcher is None else interpreter
    try:
        worker = Worker.start(launcher or PlainLauncher(), path, worker_environment(base, {}, DEFAULT))
    except OSError as error:
        raise InterpreterError(f"{path} can't be run ({error.strerror})", hint=NAME_ANOTHER) from None
    try:
        worker.send("probe", markers=sorted(markers))
        (answer,) = exchange([worker], ProbeAnswer, seconds)
    except WorkerError as failure:
        _explain(path, worker, failure)
    finally:
        worker.stop()
    build = _build(path, worker.python or "", answer)
    if build.release < OLDEST_TORCH:
        raise InterpreterError(
            f"{path} has torch {build.version}, and calibration needs {_dotted(OLDEST_TORCH)} or later",
            hint=NAME_ANOTHER,
        )
    return build


def _find(interpreter: str, environment: Mapping[str, str]) -> str:
    """The interpreter's path, if there is a file that might be run."""
    if os.sep not in interpreter:
        found = shutil.which(interpreter, path=environment.get("PATH"))
        if found is None:
            raise InterpreterError(f"there is no {interpreter!r} in PATH", hint=NAME_ANOTHER)
        return found
    file = Path(interpreter)
    if not file.exists():
        raise InterpreterError(f"{interpreter} does not exist", hint=NAME_ANOTHER)
    if file.is_dir():
        inside = file / "bin" / "python"
        hint = f"did you mean {inside}?" if inside.exists() else NAME_ANOTHER
        raise InterpreterError(f"{interpreter} is a folder, not a Python interpreter", hint=hint)
    if not os.access(interpreter, os.X_OK):
        raise InterpreterError(f"{interpreter} is not executable", hint=NAME_ANOTHER)
    return interpreter


def _explain(path: str, worker: Worker, failure: WorkerError) -> NoReturn:
    """Says why an interpreter gave no answer, by how far it came."""
    oldest = _dotted(OLDEST_PYTHON)
    if worker.python is None:
        if "SyntaxError" in worker.printed:
            message = f"{path} is older than Python {oldest} ({worker.printed})"
        else:
            message = f"{path} does not behave like Python {oldest} or later: it {failure.reason}"
        raise InterpreterError(message, hint=NAME_ANOTHER) from None
    if _numbers(worker.python) < OLDEST_PYTHON:
        message = f"{path} is Python {worker.python}, and calibration needs {oldest} or later"
        raise InterpreterError(message, hint=NAME_ANOTHER) from None
    if failure.missing == "torch":
        raise InterpreterError(f"{path} has no torch ({failure.reason})", hint=NAME_ANOTHER) from None
    hint = TRY_BY_HAND.format(path)
    if "SIGILL" in failure.reason:
        hint = f"its torch uses instructions that this CPU lacks; {hint}"
    raise InterpreterError(f"torch of {path} can't be used: {failure.reason}", hint=hint) from None


def _build(path: str, python: str, answer: ProbeAnswer) -> TorchBuild:
    blas = _blas(answer)
    versions = {"openblas": answer.openblas_version, "mkl": _mkl_version(answer.configuration)}
    allocator: Literal["malloc", "mimalloc", "unknown"] = "unknown"
    if answer.mimalloc is not None:
        allocator = "mimalloc" if answer.mimalloc else "malloc"
    onednn = re.search(r"(?:MKL-DNN|oneDNN) v([0-9.]+)", answer.configuration)
    return TorchBuild(
        interpreter=path,
        python=python,
        version=answer.version,
        machine=answer.machine,
        location=answer.location,
        blas=blas,
        blas_version=versions.get(blas),
        onednn=(onednn.group(1) if onednn else "unknown") if answer.onednn else None,
        acl=answer.acl_version is not None or any("arm_compute" in name for name in answer.libraries),
        acl_version=answer.acl_version,
        allocator=allocator,
        huge_pages_by_default=answer.huge_pages,
        bf16_hardware=answer.bf16,
        cpu_capability=answer.cpu_capability or "unknown",
        default_threads=answer.threads,
        variables=answer.markers,
        configuration=answer.configuration,
    )


def _blas(answer: ProbeAnswer) -> str:
    """The BLAS library by what is loaded, then by what the build says: distributions let it be exchanged."""
    for mark, name in BLAS_LIBRARIES:
        if any(mark in library for library in answer.libraries):
            return name
    stated = re.search(r"\bBLAS_INFO=(\w+)", answer.configuration)
    return BLAS_NAMES.get(stated.group(1), stated.group(1)) if stated else "unknown"


def _mkl_version(configuration: str) -> str | None:
    found = re.search(r"Math Kernel Library Version ([0-9.]+)", configuration)
    return found.group(1) if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
