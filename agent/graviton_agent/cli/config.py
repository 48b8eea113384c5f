"""`graviton-agent config`: checks the configuration, shows what it comes to, compiles it for the daemon."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graviton_agent.errors import ExitCode
from graviton_agent.terminal import tell

if TYPE_CHECKING:
    from graviton_agent.configuration.load import Loaded
    from graviton_agent.configuration.problem import Problem

config = typer.Typer(name="config", no_args_is_help=True)

Root = Annotated[
    Path,
    typer.Option(
        "--root", metavar="DIR", exists=True, file_okay=False, help="Read another system's tree: an image's."
    ),
]


@config.callback()
def _about() -> None:
    """Check the configuration, or show what it comes to."""


@config.command("check")
def check(root: Root = Path("/")) -> ExitCode:
    """Say what is wrong in the configuration: file, line, option, and what was probably meant.

    Exit code 0 if nothing is wrong, warnings or not; 1 if something is.
    """
    from graviton_agent.configuration.advice import advise
    from graviton_agent.configuration.load import load
    from graviton_agent.configuration.problem import Severity
    from graviton_agent.units.unit_files import UnitFiles

    prefix = _prefix(root)
    files = UnitFiles(prefix)
    loaded = load(files, prefix)
    problems = [*loaded.problems, *advise(loaded, files)]
    for problem in problems:
        tell(str(problem))
    tell(_summary(loaded, problems))
    wrong = any(problem.severity is Severity.ERROR for problem in problems)
    return ExitCode.FAILED if wrong else ExitCode.OK


def _summary(loaded: "Loaded", problems: "list[Problem]") -> str:
    """How much was read, and how much of it is wrong."""
    from graviton_agent.configuration.problem import Severity

    enabled = loaded.host["enabled"]
    if not enabled.value:
        return f"the agent is switched off: enabled = false in {enabled.origin}"
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    managed = len(loaded.units) - len(loaded.unmanaged)
    read = f"{_count(len(loaded.files), 'file')}, {_count(managed, 'managed unit')}"
    if not problems:
        return f"{read}: nothing is wrong"
    return f"{read}: {_count(errors, 'error')}, {_count(len(problems) - errors, 'warning')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@config.command("show")
def show(
    unit: Annotated[str | None, typer.Argument(metavar="[UNIT]", help="Of this unit alone.")] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value stands.")] = False,
    root: Root = Path("/"),
) -> None:
    """Print the configuration as it is in effect, defaults included."""
    from graviton_agent.configuration.load import load
    from graviton_agent.report.configuration import render
    from graviton_agent.units.unit_files import UnitFiles

    prefix = _prefix(root)
    loaded = load(UnitFiles(prefix), prefix)
    units = list(loaded.units) if unit is None else [_section_of(unit, loaded)]
    tell(render(loaded, units, origins=origin))


def _section_of(unit: str, loaded: "Loaded") -> str:
    """The unit whose section counts for a unit: itself or its template."""
    from graviton_agent.configuration.problem import did_you_mean
    from graviton_agent.errors import UsageError
    from graviton_agent.units.names import require_service_name, template_of

    for name in (unit, template_of(unit)):
        if name in loaded.units:
            return name
    require_service_name(unit)
    raise UsageError(f"{unit} has no section in the configuration", hint=did_you_mean(unit, loaded.units))


@config.command("compile")
def compile_(
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write here, in one step; default: standard output."),
    ] = None,
    root: Root = Path("/"),
) -> None:
    """Print the checked configuration as the record that the daemon reads.

    What is wrong is left out, and named in the record.
    """
    from graviton_agent.configuration.compiled import write_compiled
    from graviton_agent.configuration.load import compile_configuration

    configuration = compile_configuration(_prefix(root))
    if output is None:
        tell(configuration.to_json(), end="")
    else:
        write_compiled(configuration, output)


def _prefix(root: Path) -> str:
    """What stands before the paths of the files to be read."""
    return "" if root == Path("/") else str(root)
