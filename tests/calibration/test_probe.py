"""Interpreters of every kind, most of them no good."""

import platform
import sys
from importlib import metadata
from pathlib import Path

import pytest

from graviton_agent.calibration.probe import probe
from graviton_agent.errors import ExitCode, InterpreterError
from graviton_agent.settings.catalogue import markers, setting_named
from graviton_agent.torch_build import TorchBuild
from tests.calibration.stand_ins import Marked, make_executable

GREETED = '#!/bin/sh\necho "graviton-agent worker {version}"\n'


def refusal(interpreter: Path | str, marked: Marked, *, seconds: float = 30.0) -> InterpreterError:
    with pytest.raises(InterpreterError) as failure:
        probe(str(interpreter), environment=marked.environment, seconds=seconds)
    assert "\n" not in failure.value.message
    assert failure.value.hint
    assert failure.value.exit_code == ExitCode.INTERPRETER
    assert not marked.processes()
    return failure.value


def with_torch(tmp_path: Path, marked: Marked, source: str) -> Marked:
    """An environment in which `import torch` runs some other code."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text(source)
    marked.environment = {**marked.environment, "PYTHONPATH": str(tmp_path)}
    return marked


@pytest.fixture(scope="module")
def build() -> TorchBuild:
    return probe(sys.executable, [*markers(), "NO_SUCH_VARIABLE"])


def test_the_interpreter_is_kept_as_it_was_named(build: TorchBuild) -> None:
    assert build.interpreter == sys.executable


def test_a_link_to_a_venv_s_python_is_not_resolved(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    # The link lies outside the venv, so that Python finds no torch there: proof that nobody followed it.
    assert refusal(link, Marked()).message.startswith(f"{link} has no torch")


def test_the_versions_are_those_of_this_process(build: TorchBuild) -> None:
    assert (build.python, build.version) == (platform.python_version(), metadata.version("torch"))


def test_the_build_says_what_it_is_made_of(build: TorchBuild) -> None:
    assert build.blas in {"mkl", "openblas", "nvpl"}
    assert build.blas_version is not None or build.blas == "nvpl"
    assert build.onednn is not None
    assert build.onednn in build.configuration


def test_a_variable_that_the_libraries_never_mention_is_not_found(build: TorchBuild) -> None:
    assert "NO_SUCH_VARIABLE" not in build.variables
    assert "TORCH_MKLDNN_MATMUL_MIN_DIM" in build.variables


def test_fast_math_is_found_by_the_name_that_onednn_puts_behind_its_prefixes(build: TorchBuild) -> None:
    assert setting_named("bf16").marker in build.variables


def test_an_interpreter_that_is_missing(marked: Marked) -> None:
    assert refusal("/nonexistent/python", marked).message == "/nonexistent/python does not exist"


def test_a_name_that_is_not_in_path(marked: Marked) -> None:
    assert refusal("no-such-python", marked).message == "there is no 'no-such-python' in PATH"


def test_a_folder(tmp_path: Path, marked: Marked) -> None:
    assert "is a folder" in refusal(tmp_path, marked).message


def test_a_venv_s_folder_is_answered_with_its_python(tmp_path: Path, marked: Marked) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").touch()
    assert refusal(tmp_path, marked).hint == f"did you mean {tmp_path}/bin/python?"


def test_a_file_that_is_not_executable(tmp_path: Path, marked: Marked) -> None:
    (tmp_path / "python").touch()
    assert "is not executable" in refusal(tmp_path / "python", marked).message


def test_a_file_that_is_no_program(tmp_path: Path, marked: Marked) -> None:
    assert "Exec format error" in refusal(make_executable(tmp_path, "\x7fELF junk"), marked).message


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat", "/bin/sh"])
def test_a_program_that_is_not_python(program: str, marked: Marked) -> None:
    assert "does not behave like Python 3.8 or later" in refusal(program, marked).message


def test_a_program_that_prints_without_end(marked: Marked) -> None:
    assert "printed much, but no greeting" in refusal("/usr/bin/yes", marked).message


def test_a_program_that_crashes_at_once(tmp_path: Path, marked: Marked) -> None:
    program = make_executable(tmp_path, "#!/bin/sh\nkill -SEGV $$\n")
    assert "crashed with SIGSEGV" in refusal(program, marked).message


def test_a_program_that_hangs(tmp_path: Path, marked: Marked) -> None:
    program = make_executable(tmp_path, "#!/bin/sh\nexec sleep 60\n")
    assert "gave no answer within 0.2 s" in refusal(program, marked, seconds=0.2).message


def test_a_python_that_can_not_even_read_the_worker(tmp_path: Path, marked: Marked) -> None:
    program = make_executable(tmp_path, "#!/bin/sh\necho 'SyntaxError: invalid syntax' >&2\nexit 1\n")
    assert "is older than Python 3.8" in refusal(program, marked).message


def test_a_python_that_is_too_old(tmp_path: Path, marked: Marked) -> None:
    program = make_executable(tmp_path, GREETED.format(version="3.7.16") + "exit 1\n")
    message = refusal(program, marked).message
    assert message == f"{program} is Python 3.7.16, and calibration needs 3.8 or later"


def test_a_python_without_torch(tmp_path: Path, marked: Marked) -> None:
    with_torch(tmp_path, marked, "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    message = refusal(sys.executable, marked).message
    assert message == (f"{sys.executable} has no torch (ModuleNotFoundError: No module named 'torch')")


def test_a_torch_that_lacks_another_module_is_not_missing_itself(tmp_path: Path, marked: Marked) -> None:
    with_torch(tmp_path, marked, "import no_such_dependency")
    message = refusal(sys.executable, marked).message
    assert "can't be used: ModuleNotFoundError: No module named 'no_such_dependency'" in message


def test_a_torch_whose_library_is_broken(tmp_path: Path, marked: Marked) -> None:
    with_torch(tmp_path, marked, "raise OSError('libtorch_cpu.so: file too short')")
    assert (
        "can't be used: OSError: libtorch_cpu.so: file too short" in refusal(sys.executable, marked).message
    )


def test_a_torch_for_another_cpu(tmp_path: Path, marked: Marked) -> None:
    with_torch(tmp_path, marked, "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    failure = refusal(sys.executable, marked)
    assert "crashed with SIGILL" in failure.message
    assert "instructions that this CPU lacks" in (failure.hint or "")


def test_a_torch_that_hangs_at_import(tmp_path: Path, marked: Marked) -> None:
    with_torch(tmp_path, marked, "import time; time.sleep(60)")
    assert "can't be used: gave no answer within 2 s" in refusal(sys.executable, marked, seconds=2.0).message


def test_a_torch_that_exits(tmp_path: Path, marked: Marked) -> None:
    with_torch(tmp_path, marked, "import os; os._exit(3)")
    assert "ended with exit code 3" in refusal(sys.executable, marked).message


def test_a_folder_that_happens_to_be_called_torch(tmp_path: Path, marked: Marked) -> None:
    with_torch(tmp_path, marked, "")
    assert "can't be used: AttributeError" in refusal(sys.executable, marked).message


def test_a_torch_that_is_too_old(tmp_path: Path, marked: Marked) -> None:
    answer = (
        '{"machine": "x86_64", "version": "1.13.1", "location": "/x", "configuration": "", "onednn": true, '
        '"acl_version": null, "openblas_version": null, "libraries": [], "mimalloc": null, '
        '"huge_pages": false, "bf16": null, "cpu_capability": null, "threads": 1, "markers": []}'
    )
    program = make_executable(tmp_path, GREETED.format(version="3.8.0") + f"echo '{answer}'\nexec sleep 60\n")
    message = refusal(program, marked).message
    assert message == f"{program} has torch 1.13.1, and calibration needs 2.0 or later"


def test_the_agent_s_modules_do_not_hide_those_of_the_unit(tmp_path: Path, marked: Marked) -> None:
    # The agent has a module of this name beside the worker.
    with_torch(tmp_path, marked, "import statistics; raise OSError(statistics.__file__)")
    assert "graviton_agent" not in refusal(sys.executable, marked).message.partition("OSError")[2]


def test_no_bytecode_is_left_behind(tmp_path: Path, marked: Marked) -> None:
    with_torch(tmp_path, marked, "raise OSError('no')")
    refusal(sys.executable, marked)
    assert not list(tmp_path.rglob("__pycache__"))


def test_what_torch_prints_when_it_is_imported_is_no_answer(tmp_path: Path, marked: Marked) -> None:
    source = "import os; print('hello'); os.write(1, b'from C\\n'); raise OSError('the end')"
    with_torch(tmp_path, marked, source)
    assert "OSError: the end" in refusal(sys.executable, marked).message
