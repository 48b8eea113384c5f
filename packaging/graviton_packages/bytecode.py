"""Byte code for every Python that the package serves, so that none is ever written on a host.

It is of the unchecked kind: the package manager sees to it that it fits its source, and the bytes don't
depend on when the files were written [PEP 552].
"""

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from graviton_packages.layout import LIBRARIES, LIBRARY, TREE
from graviton_packages.programs import BuildError, run
from graviton_packages.target import OLDER_MINORS

AGENT = f"{LIBRARY}/agent"
MORE_PYTHONS = TREE / ".cache" / "python"
"""Where packaging/install-tools puts those that this machine hasn't got."""
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"

# One thread, and run with a fixed seed: the order of a set in byte code depends on the hashes of its strings.
COMPILE = """
import compileall, py_compile, sys
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
for file in sys.stdin.read().splitlines():
    if not compileall.compile_file(
        file, quiet=1, force=True, stripdir=sys.argv[1], prependdir="/", invalidation_mode=unchecked
    ):
        sys.exit(1)
"""
# Everything but what runs by itself: the worker, under the unit's Python, and the module for `python -m`.
LOAD = """
import contextlib, importlib, io, pkgutil, sys
import graviton_agent
for module in pkgutil.walk_packages(graviton_agent.__path__, "graviton_agent."):
    if module.name not in ("graviton_agent.__main__", "graviton_agent.calibration.worker"):
        importlib.import_module(module.name)
from graviton_agent.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
print("\\n".join(sys.modules))
"""
# What systemd runs by itself, on each start of a unit and each reload.
LOAD_PROGRAMS = """
import sys
import graviton_agent.units.check, graviton_agent.units.generator
print("\\n".join(sys.modules))
"""


def find_python(minor: str) -> Path | None:
    """An interpreter of this version here: of pyenv, on PATH, or fetched by packaging/install-tools."""
    # On PATH may be a shim of pyenv, which runs what is found before it, or nothing.
    places = sorted(PYENV.glob(f"{minor}.*/bin/python{minor}"), reverse=True)
    on_path = shutil.which(f"python{minor}")
    places += [Path(on_path)] if on_path else []
    places += [MORE_PYTHONS / f"python{minor}"]
    return next((place for place in places if _is_python(place, minor)), None)


def _is_python(place: Path, minor: str) -> bool:
    """Whether it runs, and is what its name says."""
    command = (str(place), "-ISc", "import sys; print('%d.%d' % sys.version_info[:2])")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except OSError:
        return False
    return done.stdout.strip() == minor


def compile_all(pythons: Mapping[str, Path], stages: Sequence[Path]) -> None:
    """Puts byte code into laid out trees, which differ in their extensions alone.

    Raises BuildError, also if they differ in a source.

    Args:
        pythons: interpreters by version.
        stages: the folders that will be "/" on a host.
    """
    first, *others = stages
    sources, programs = _worth_compiling(first), _programs(first)
    for minor, python in pythons.items():
        print(f"byte code for Python {minor} by {python}", file=sys.stderr)
        _compile(python, first, programs if minor in OLDER_MINORS else sources)
    for source in sources:
        for other in others:
            same = other / source.relative_to(first)
            if not filecmp.cmp(source, same, shallow=False):
                raise BuildError(f"{same} is not what {source} is: they can't share byte code")
            (same.parent / "__pycache__").mkdir(exist_ok=True)
            for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"):
                shutil.copyfile(compiled, same.parent / "__pycache__" / compiled.name)


def _compile(python: Path, stage: Path, files: Sequence[Path]) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"}
    command = (str(python), "-SBs", "-c", COMPILE, str(stage))
    run(*command, text="\n".join(map(str, files)).encode(), environment=environment)


def _worth_compiling(stage: Path) -> list[Path]:
    """The agent's own modules, and those of libraries that a command loads as it starts.

    What is left compiles as it is loaded: the progress bars of a calibration at a terminal, which takes a
    second and would be a tenth of the package.
    """
    own = (stage / AGENT.lstrip("/")).rglob("*.py")
    return sorted({*own, *_loaded(LOAD, stage / LIBRARIES.lstrip("/"))})


def _programs(stage: Path) -> list[Path]:
    """The modules that the generator and the check load."""
    return sorted(_loaded(LOAD_PROGRAMS, stage / AGENT.lstrip("/")))


def _loaded(script: str, folder: Path) -> Iterator[Path]:
    """The files in a folder of those modules that a script prints the names of."""
    for name in run(sys.executable, "-c", script).decode().split():
        path = folder / name.replace(".", "/")
        yield from filter(Path.is_file, (path.with_name(f"{path.name}.py"), path / "__init__.py"))
