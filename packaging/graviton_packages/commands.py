"""The agent's commands as data, for man pages and completions: read from the command line itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from typer.main import get_command

from graviton_agent.cli.main import app


@dataclass(frozen=True)
class Option:
    """An option of a command."""

    names: tuple[str, ...]
    value: str
    """What stands for its value, or "" if it takes none."""
    help: str
    kind: str
    """"file", "folder" or "", by which shells complete the value."""


@dataclass(frozen=True)
class Argument:
    """An argument of a command."""

    word: str
    help: str


@dataclass(frozen=True)
class Command:
    """A command, or a group of commands."""

    name: str
    """All its words but the program's: "config check"."""
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    commands: tuple["Command", ...]

    @property
    def first_sentence(self) -> str:
        """What a list of commands has room for."""
        return self.help.partition("\n")[0].partition(". ")[0].rstrip(".")

    @property
    def takes_units(self) -> bool:
        """Whether its arguments are names of units."""
        return any("UNIT" in argument.word for argument in self.arguments)

    @property
    def takes(self) -> str:
        """What its arguments may be besides: "file", "folder" or ""."""
        words = " ".join(argument.word for argument in self.arguments)
        return "file" if "FILE" in words else "folder" if "DIR" in words else ""

    def all_below(self) -> Iterator["Command"]:
        """The commands that do something, in the order in which help lists them."""
        if not self.commands:
            yield self
        for command in self.commands:
            yield from command.all_below()


def read_commands() -> Command:
    """The whole program."""
    return _command(get_command(app), "")


def _command(command: Any, name: str) -> Command:
    parameters = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    below = getattr(command, "commands", {})
    return Command(
        name=name,
        help=command.help or "",
        options=tuple(_option(found) for found in parameters if found.param_type_name == "option"),
        arguments=tuple(
            Argument(found.metavar or found.name.upper(), getattr(found, "help", None) or "")
            for found in parameters
            if found.param_type_name == "argument"
        ),
        commands=tuple(
            _command(found, f"{name} {word}".strip()) for word, found in below.items() if not found.hidden
        ),
    )


def _option(parameter: Any) -> Option:
    value = "" if parameter.is_flag else parameter.metavar or "NUMBER"
    kind = {"FILE": "file", "PATH": "file", "DIR": "folder"}.get(value, "")
    return Option((*parameter.opts, *parameter.secondary_opts), value, parameter.help or "", kind)
