"""Finds the Python that serves a unit's model, from its ExecStart= and without starting anything.

A path is never resolved: a venv's python is a link to the system's, and finds its packages by its own place.
Where the way to the interpreter can't be followed for certain, the unit is refused, and the message names the
key by which the operator can say what the agent could not find out.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from graviton_agent.errors import InterpreterError
from graviton_agent.root import Root
from graviton_agent.units.command_line import CommandLine
from graviton_agent.units.held import UnitEnvironment
from graviton_agent.units.unit import Unit

HINT = "set `python = ` for {} in /etc/graviton-agent/conf.d/ to the Python that serves its model"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where systemd looks without ExecSearchPath= [systemd src/basic/path-util.h, DEFAULT_PATH]."""
MOST_STEPS = 8
"""Scripts and `env` in a row. The kernel follows five `#!` lines [fs/exec.c, exec_binprm]."""

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*[a-z]?")
_ISOLATING = "EIPsS"
"""Options of Python that change where it looks for modules [python(1)]."""
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox"})
_RUNNERS = {
    "conda": "`conda run` chooses the environment when it runs",
    "mamba": "`mamba run` chooses the environment when it runs",
    "micromamba": "`micromamba run` chooses the environment when it runs",
    "uv": "`uv run` chooses the environment when it runs",
    "uvx": "`uvx` chooses the environment when it runs",
    "poetry": "`poetry run` chooses the environment when it runs",
    "pipenv": "`pipenv run` chooses the environment when it runs",
    "pdm": "`pdm run` chooses the environment when it runs",
    "hatch": "`hatch run` chooses the environment when it runs",
    "docker": "its model is served in a container",
    "podman": "its model is served in a container",
    "nerdctl": "its model is served in a container",
    "ctr": "its model is served in a container",
    "systemd-nspawn": "its model is served in a container",
    "numactl": "numactl changes its CPUs or memory; systemd's CPUAffinity= and NUMAPolicy= do so visibly",
    "taskset": "taskset changes its CPUs; systemd's CPUAffinity= does so visibly",
    "sudo": "sudo changes its user; systemd's User= does so visibly",
    "runuser": "runuser changes its user; systemd's User= does so visibly",
    "su": "su changes its user; systemd's User= does so visibly",
}

# What pip and uv write where the path of the interpreter is too long for a `#!` line or has a blank in it
# [pypa/distlib distlib/scripts.py, _build_shebang; astral-sh/uv crates/uv-install-wheel/src/wheel.rs].
_LONG_SHEBANG = re.compile(rb"""#!/bin/sh\n'''exec' (?:"([^"\n]+)"|([^"' \n]+)) "\$0" "\$@"\n""")
_RELOCATABLE_SHEBANG = re.compile(
    rb"""#!/bin/sh\n'''exec' "\$\(dirname -- "\$\(realpath -- "\$0"\)"\)"/'?([^'" \n]+)'? "\$0" "\$@"\n"""
)


@dataclass(frozen=True)
class Interpreter:
    """The Python of a unit."""

    path: str
    """As the unit names it, within the unit's root directory."""
    options: tuple[str, ...] = ()
    """Options such as -s and -I, by which the unit's Python finds other modules than without."""
    variables: Mapping[str, str | None] = field(default_factory=dict)
    """What an `env` before it sets, or unsets where the value is None: held by the operator."""
    steps: tuple[str, ...] = ()
    """How it was found, for people: each program or script that leads to the next."""


@dataclass(frozen=True)
class _Search:
    """Where the search stands."""

    unit: str
    root: Root
    environment: UnitEnvironment
    variables: Mapping[str, str | None]
    steps: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where `env` looks for programs."""
        values = {**self.environment.values, **self.variables}
        return values.get("PATH") or DEFAULT_PATH

    def refuse(self, reason: str) -> InterpreterError:
        """The error that says why the way ends here."""
        return InterpreterError(
            f"the Python of {self.unit} can't be told: {reason}", hint=HINT.format(self.unit)
        )

    def step(self, program: str, variables: Mapping[str, str | None] | None = None) -> "_Search":
        """One further."""
        if len(self.steps) >= MOST_STEPS:
            raise self.refuse(f"{self.steps[0]} leads on and on")
        return replace(self, steps=(*self.steps, program), variables={**self.variables, **(variables or {})})


def find_interpreter(unit: Unit, environment: UnitEnvironment, root: Root) -> Interpreter:
    """Finds the unit's Python.

    Args:
        unit: the service, which need not run.
        environment: what its process gets.
        root: of this machine; the unit's RootDirectory= is looked up below it.

    Raises InterpreterError.
    """
    search = _Search(unit.name, root, environment, {}, ())
    command = _only_command(unit, search)
    if unit.root_image:
        raise search.refuse("it runs from a disk image (RootImage=), where the agent doesn't look")
    if unit.root_directory:
        search = replace(search, root=Root(root.path / unit.root_directory.lstrip("/")))
    words = command.expand(environment.values)
    program = _look_up(command.program, ":".join(unit.search_path) or DEFAULT_PATH, search)
    # The second word on are the arguments, whatever the program is told to call itself.
    return _follow(program, words[1:], search)


def _only_command(unit: Unit, search: _Search) -> CommandLine:
    if len(unit.commands) != 1:
        many = "no command in ExecStart=" if not unit.commands else "several commands in ExecStart="
        raise search.refuse(f"it has {many}")
    (command,) = unit.commands
    elevated = {"privileged": "+", "no-setuid": "!", "ambient": "!!"}
    for flag, prefix in elevated.items():
        if flag in command.flags:
            raise search.refuse(f"the prefix {prefix} in ExecStart= starts it with root's rights")
    return command


def _follow(program: str, arguments: Sequence[str], search: _Search) -> Interpreter:
    """Goes from a program to the Python that it starts, if it is known to start one."""
    search = search.step(program)
    name = PurePosixPath(program).name
    if name == "env":
        return _follow_env(arguments, search)
    if name in _RUNNERS:
        raise search.refuse(f"{program}: {_RUNNERS[name]}")
    if name in _SHELLS:
        raise search.refuse(f"{program} is a shell, and a shell script may start anything")
    head = search.root.read_bytes(program.lstrip("/"), limit=4096)
    if head is None:
        raise search.refuse(f"{program} is not there, or can't be read")
    if head.startswith(b"#!"):
        return _follow_script(program, head, search)
    if not _PYTHON.fullmatch(name):
        raise search.refuse(f"{program} is a program of its own, not Python")
    options = tuple(_python_options(arguments))
    return Interpreter(program, options, search.variables, search.steps)


def _follow_script(script: str, head: bytes, search: _Search) -> Interpreter:
    """Reads a `#!` line as the kernel does: the program, and at most one argument with all blanks in it."""
    long = _LONG_SHEBANG.match(head)
    if long:
        return _follow(_text(long[1] or long[2], search), (script,), search)
    relocatable = _RELOCATABLE_SHEBANG.match(head)
    if relocatable:
        # $0's links are resolved by the script itself, so that its folder is where the file really is.
        name = _text(relocatable[1], search)
        return _follow(str(PurePosixPath(script).parent / name), (script,), search)
    line = _text(head[2:].partition(b"\n")[0], search).strip(" \t\r")
    program, _, argument = line.replace("\t", " ").partition(" ")
    if not program.startswith("/"):
        raise search.refuse(f"the #! line of {script} names no absolute path")
    arguments = (argument.strip(),) if argument.strip() else ()
    return _follow(program, (*arguments, script), search)


def _follow_env(arguments: Sequence[str], search: _Search) -> Interpreter:
    """Reads env's options and assignments up to the program [env(1)]."""
    words = list(arguments)
    variables: dict[str, str | None] = {}
    while words:
        word = words.pop(0)
        if word in {"-u", "--unset"} and words:
            variables[words.pop(0)] = None
        elif word.startswith("--unset="):
            variables[word.removeprefix("--unset=")] = None
        elif word.startswith("-u"):
            variables[word.removeprefix("-u")] = None
        elif word in {"-S", "--split-string"} and words:
            words[:1] = _split(words[0], search)
        elif word.startswith(("-S", "--split-string=")):
            words[:0] = _split(word.removeprefix("--split-string=").removeprefix("-S"), search)
        elif word in {"--", "-v", "--debug"}:
            continue
        elif word.startswith("-"):
            # -i would also take away what systemd sets, -C what relative paths mean.
            raise search.refuse(f"the option {word} of {search.steps[-1]} is not followed")
        elif "=" in word:
            name, _, value = word.partition("=")
            variables[name] = value
        else:
            search = replace(search, variables={**search.variables, **variables})
            return _follow(_look_up(word, search.path, search), words, search)
    raise search.refuse(f"{search.steps[-1]} starts no program")


def _split(text: str, search: _Search) -> list[str]:
    """What `env -S` makes of its text."""
    if "$" in text or "\\" in text:
        raise search.refuse(f"`env -S` with {text!r} is not followed")
    try:
        return shlex.split(text)
    except ValueError:
        raise search.refuse(f"`env -S` can't split {text!r}") from None


def _look_up(program: str, path: str, search: _Search) -> str:
    """The path of a program that may be named without one."""
    if program.startswith("/"):
        return program
    if "/" in program:
        raise search.refuse(f"{program} is relative to a working folder")
    for folder in path.split(":"):
        candidate = f"{folder.rstrip('/')}/{program}"
        if folder.startswith("/") and search.root.read_bytes(candidate.lstrip("/"), limit=2) is not None:
            return candidate
    raise search.refuse(f"{program} is nowhere in {path}")


def _python_options(arguments: Sequence[str]) -> list[str]:
    """Those of Python's own options that change which modules it finds."""
    found = []
    for word in arguments:
        if word in {"-", "--"} or not word.startswith("-") or word.startswith("--"):
            break
        letters = word[1:]
        # -c, -m, -W and -X take what follows; after -c and -m the options are the program's.
        value_at = min((letters.find(letter) for letter in "cmWX" if letter in letters), default=len(letters))
        found += [f"-{letter}" for letter in letters[:value_at] if letter in _ISOLATING]
        if value_at < len(letters) and letters[value_at] in "cm":
            break
        if letters[value_at:] in {"W", "X"}:
            # Its value is the next word, which begins with no dash; the loop would end there.
            return found + _python_options(arguments[list(arguments).index(word) + 2 :])
    return found


def _text(raw: bytes, search: _Search) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise search.refuse(f"the #! line of {search.steps[-1]} is not text") from None
