"""From ExecStart= to the Python that serves the model."""

from pathlib import Path

import pytest

from graviton_agent.errors import InterpreterError
from graviton_agent.root import Root
from graviton_agent.units.command_line import CommandLine
from graviton_agent.units.held import UnitEnvironment, unit_environment
from graviton_agent.units.interpreter import Interpreter, find_interpreter
from graviton_agent.units.unit import Unit
from tests.units.services import command, service, tree

ELF = b"\x7fELF\x02\x01\x01"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MACHINE: dict[str, str | bytes] = {
    "/usr/bin/python3.11": ELF,
    "/usr/bin/python3": "-> python3.11",
    "/usr/bin/env": ELF,
    "/usr/bin/bash": ELF,
    "/usr/bin/java": ELF,
    "/usr/bin/conda": "#!/opt/conda/bin/python\n",
    "/opt/venv/bin/python3": "-> ../../../usr/bin/python3",
    "/opt/venv/bin/python": "-> python3",
    "/opt/venv/bin/gunicorn": "#!/opt/venv/bin/python3\nimport sys\n",
    "/opt/venv/bin/uvicorn": "#!/opt/venv/bin/python3 -s\n",
    "/opt/venv/bin/torchserve": "#!/opt/venv/bin/python\n",
    "/opt/venv/bin/pooled": "#!/opt/venv/bin/gunicorn-shim\n",
    "/opt/venv/bin/gunicorn-shim": "#! /opt/venv/bin/python\n",
    "/opt/app/serve.py": "#!/usr/bin/env python3\n",
    "/opt/app/serve.sh": "#!/bin/sh\nexec python3 serve.py\n",
}


def find(root: Root, *words: str, flags: tuple[str, ...] = (), **facts: object) -> Interpreter:
    unit = service(commands=(command(*words, flags=flags),), **facts)
    return find_interpreter(unit, environment_of(unit, root), root)


def environment_of(unit: Unit, root: Root) -> UnitEnvironment:
    return unit_environment(unit, {"PATH": PATH}, root)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return tree(tmp_path, MACHINE)


def test_a_venvs_python_is_taken_as_it_is_named(root: Root) -> None:
    assert find(root, "/opt/venv/bin/python", "-m", "uvicorn", "app:app").path == "/opt/venv/bin/python"


def test_a_bare_name_is_looked_up_where_systemd_looks(root: Root) -> None:
    assert find(root, "python3", "serve.py").path == "/usr/bin/python3"


def test_a_bare_name_is_looked_up_in_exec_search_path(root: Root) -> None:
    found = find(root, "python", "serve.py", search_path=("/opt/venv/bin", "/usr/bin"))
    assert found.path == "/opt/venv/bin/python"


def test_the_units_own_path_variable_is_not_where_systemd_looks(root: Root) -> None:
    found = find(root, "python3", environment=(("PATH", "/opt/venv/bin"),))
    assert found.path == "/usr/bin/python3"


@pytest.mark.parametrize(
    ("script", "python"),
    [
        ("/opt/venv/bin/gunicorn", "/opt/venv/bin/python3"),
        ("/opt/venv/bin/uvicorn", "/opt/venv/bin/python3"),
        ("/opt/venv/bin/torchserve", "/opt/venv/bin/python"),
        ("/opt/venv/bin/pooled", "/opt/venv/bin/python"),
    ],
)
def test_the_first_line_of_a_script_leads_to_its_venv(root: Root, script: str, python: str) -> None:
    found = find(root, script, "--workers", "4")
    assert found.path == python
    assert (found.steps[0], found.steps[-1]) == (script, python)


def test_the_option_of_a_first_line_is_kept(root: Root) -> None:
    assert find(root, "/opt/venv/bin/uvicorn").options == ("-s",)


def test_a_first_line_with_env_looks_in_the_units_path(root: Root) -> None:
    found = find(root, "/opt/app/serve.py", environment=(("PATH", "/opt/venv/bin:/usr/bin"),))
    assert found.path == "/opt/venv/bin/python3"


def test_a_first_line_with_env_and_options(root: Root, tmp_path: Path) -> None:
    tree(tmp_path, {"/opt/app/split": "#!/usr/bin/env -S python3 -I -u\n"})
    assert find(root, "/opt/app/split") == Interpreter(
        "/usr/bin/python3", ("-I",), {}, ("/opt/app/split", "/usr/bin/env", "/usr/bin/python3")
    )


def test_variables_of_an_env_prefix_are_held(root: Root) -> None:
    found = find(root, "/usr/bin/env", "-u", "OMP_NUM_THREADS", "A=1", "B=x=y", "python3", "serve.py")
    assert found.path == "/usr/bin/python3"
    assert found.variables == {"OMP_NUM_THREADS": None, "A": "1", "B": "x=y"}


def test_a_path_that_env_sets_is_where_it_looks(root: Root) -> None:
    assert find(root, "env", "PATH=/opt/venv/bin", "python").path == "/opt/venv/bin/python"


def test_a_variable_of_the_command_line_is_replaced(root: Root) -> None:
    found = find(root, "/usr/bin/env", "${PYTHON}", environment=(("PYTHON", "/opt/venv/bin/python"),))
    assert found.path == "/opt/venv/bin/python"


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("-u", "serve.py", "-s"), ()),
        (("-Es", "serve.py"), ("-E", "-s")),
        (("-B", "-I", "-m", "uvicorn", "-s"), ("-I",)),
        (("-W", "ignore", "-S", "serve.py"), ("-S",)),
        (("-Wignore", "-P", "serve.py"), ("-P",)),
        (("-X", "utf8", "-c", "pass", "-s"), ()),
        (("-sc", "pass"), ("-s",)),
        (("--", "-s"), ()),
        (("-X",), ()),
    ],
)
def test_options_that_change_where_modules_are_found_are_kept(
    root: Root, words: tuple[str, ...], options: tuple[str, ...]
) -> None:
    assert find(root, "/usr/bin/python3", *words).options == options


def test_a_script_whose_interpreter_has_a_long_path(root: Root, tmp_path: Path) -> None:
    python = f"/opt/{'long' * 40}/bin/python"
    script = f"#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\nimport sys\n"
    tree(tmp_path, {python: ELF, "/opt/venv/bin/long": script})
    assert find(root, "/opt/venv/bin/long").path == python


def test_a_script_whose_interpreter_has_a_blank_in_its_path(root: Root, tmp_path: Path) -> None:
    script = "#!/bin/sh\n'''exec' \"/opt/my venv/bin/python\" \"$0\" \"$@\"\n' '''\n"
    tree(tmp_path, {"/opt/my venv/bin/python": ELF, "/opt/venv/bin/blank": script})
    assert find(root, "/opt/venv/bin/blank").path == "/opt/my venv/bin/python"


def test_a_relocatable_script_takes_the_python_beside_it(root: Root, tmp_path: Path) -> None:
    script = (
        "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n' '''\n"
    )
    tree(tmp_path, {"/opt/venv/bin/moved": script})
    assert find(root, "/opt/venv/bin/moved").path == "/opt/venv/bin/python3"


def test_a_unit_with_a_root_directory_is_looked_up_in_it(root: Root, tmp_path: Path) -> None:
    tree(tmp_path, {"/srv/jail/app/run": "#!/app/python3\n", "/srv/jail/app/python3": ELF})
    assert find(root, "/app/run", root_directory="/srv/jail").path == "/app/python3"


def refusal(root: Root, *words: str, **facts: object) -> InterpreterError:
    with pytest.raises(InterpreterError) as caught:
        find(root, *words, **facts)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("/opt/app/serve.sh",), "/bin/sh is a shell, and a shell script may start anything"),
        (("/bin/bash", "-c", "python3 serve.py"), "/bin/bash is a shell"),
        (
            ("/usr/bin/conda", "run", "-n", "llm", "python"),
            "`conda run` chooses the environment when it runs",
        ),
        *(
            ((f"/usr/local/bin/{runner}", "run", "python"), f"`{runner} run` chooses the environment")
            for runner in ("mamba", "micromamba", "uv", "poetry", "pipenv", "pdm", "hatch")
        ),
        (("/usr/local/bin/uvx", "gunicorn"), "`uvx` chooses the environment"),
        (("/usr/bin/env", "A=1", "/usr/local/bin/uv", "run", "serve.py"), "`uv run` chooses the environment"),
        (("/bin/sh", "-c", "exec /opt/venv/bin/python serve.py"), "/bin/sh is a shell"),
        (("/usr/bin/sudo", "-u", "llm", "python3"), "systemd's User= does so visibly"),
        (("/usr/bin/podman", "run", "image"), "its model is served in a container"),
        (("/usr/bin/docker", "run", "image"), "its model is served in a container"),
        (("/usr/bin/numactl", "-N0", "python3"), "NUMAPolicy= do so visibly"),
        (("/usr/bin/java", "-jar", "serve.jar"), "/usr/bin/java is a program of its own, not Python"),
        (("/opt/nowhere/python3",), "/opt/nowhere/python3 is not there, or can't be read"),
        (("nowhere", "x"), "nowhere is nowhere in /usr/local/sbin"),
        (("/usr/bin/env", "-i", "python3"), "the option -i of /usr/bin/env is not followed"),
        (("/usr/bin/env", "A=1"), "/usr/bin/env starts no program"),
        (("/usr/bin/env", "./python3"), "./python3 is relative to a working folder"),
    ],
)
def test_what_can_not_be_followed_is_refused_with_the_key_to_set(
    root: Root, words: tuple[str, ...], reason: str
) -> None:
    error = refusal(root, *words)
    assert reason in error.message
    assert error.message.startswith("the Python of llm.service can't be told: ")
    assert error.hint is not None
    assert error.hint.startswith("set `python = ` for llm.service in /etc/graviton-agent/conf.d/")


@pytest.mark.parametrize(("flag", "prefix"), [("privileged", "+"), ("no-setuid", "!"), ("ambient", "!!")])
def test_a_command_with_roots_rights_is_refused(root: Root, flag: str, prefix: str) -> None:
    unit = service(commands=(command("/usr/bin/python3", flags=(flag,)),))
    with pytest.raises(InterpreterError) as caught:
        find_interpreter(unit, environment_of(unit, root), root)
    assert f"the prefix {prefix} in ExecStart=" in caught.value.message


def test_a_disk_image_is_refused(root: Root) -> None:
    assert "RootImage=" in refusal(root, "/usr/bin/python3", root_image="/srv/llm.raw").message


@pytest.mark.parametrize("commands", [(), (CommandLine("a", ("a",)), CommandLine("b", ("b",)))])
def test_anything_but_one_command_is_refused(root: Root, commands: tuple[CommandLine, ...]) -> None:
    unit = service(commands=commands)
    with pytest.raises(InterpreterError, match=r"in ExecStart="):
        find_interpreter(unit, environment_of(unit, root), root)


def test_scripts_that_lead_to_each_other_are_refused(root: Root, tmp_path: Path) -> None:
    tree(tmp_path, {"/opt/a": "#!/opt/b\n", "/opt/b": "#!/opt/a\n"})
    assert "/opt/a leads on and on" in refusal(root, "/opt/a").message


def test_a_first_line_that_is_not_text_is_refused(root: Root, tmp_path: Path) -> None:
    tree(tmp_path, {"/opt/a": b"#!/opt/\xff\n"})
    assert "the #! line of /opt/a is not text" in refusal(root, "/opt/a").message
