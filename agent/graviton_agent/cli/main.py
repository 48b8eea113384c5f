"""The command line: registers the commands, and turns every failure into one line and an exit code.

Command files import nothing heavy at module level, so that `detect` starts as fast as typer itself.
"""

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer

from graviton_agent import __version__
from graviton_agent.cli.apply import apply
from graviton_agent.cli.calibrate import calibrate
from graviton_agent.cli.clean import clean
from graviton_agent.cli.config import config
from graviton_agent.cli.detect import detect
from graviton_agent.cli.enable import disable, enable
from graviton_agent.cli.fleet import fleet
from graviton_agent.cli.plan import plan
from graviton_agent.cli.profile import profile
from graviton_agent.cli.revert import revert
from graviton_agent.cli.service import daemon, gate
from graviton_agent.cli.settings import settings
from graviton_agent.cli.status import status
from graviton_agent.cli.verify import verify
from graviton_agent.errors import AgentError, ExitCode
from graviton_agent.terminal import say, tell

app = typer.Typer(
    name="graviton-agent",
    help="Measures which PyTorch CPU settings win on this host, and hands them to its systemd services.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("detect")(detect)
app.command("settings")(settings)
app.command("calibrate")(calibrate)
app.command("enable")(enable)
app.command("disable")(disable)
app.command("plan")(plan)
app.command("apply")(apply)
app.command("revert")(revert)
app.command("verify")(verify)
app.command("status")(status)
app.command("clean")(clean)
app.add_typer(config)
app.add_typer(profile)
app.add_typer(fleet)
app.command("daemon")(daemon)
app.command("gate")(gate)


class Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt it is no Exception, so that nothing swallows it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. This is the only place that prints errors."""
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        result = app(args=arguments, prog_name="graviton-agent", standalone_mode=False)
        sys.stdout.flush()
    except AgentError as error:
        return _fail(error.message, error.hint, error.exit_code)
    except typer.TyperException as error:
        if error.format_message().startswith("Usage: "):
            # No command was named, and the list of them is the answer.
            for line in error.format_message().splitlines():
                say(line)
            return ExitCode(error.exit_code)
        hint = "graviton-agent --help lists the commands, graviton-agent COMMAND --help their options"
        return _fail(error.format_message(), hint, ExitCode(error.exit_code))
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", None, ExitCode.INTERRUPTED)
    except Terminated:
        return _fail("terminated", None, ExitCode.TERMINATED)
    except (BrokenPipeError, SystemExit):
        # The reader of our output went away (`| head`), which typer turns into an exit: it has no other here.
        # Nothing is wrong, and nobody is left to tell.
        sys.stdout = None
        return ExitCode.OK
    except OSError as error:
        return _fail(_describe(error), None, ExitCode.FAILED)
    if result == ExitCode.INTERRUPTED:
        # Newer versions of typer turn KeyboardInterrupt into this code, and say nothing.
        return _fail("interrupted", None, ExitCode.INTERRUPTED)
    return result if isinstance(result, int) else ExitCode.OK


def _raise_terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _describe(error: OSError) -> str:
    """What the operating system refused, and on which file."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _fail(message: str, hint: str | None, code: ExitCode) -> ExitCode:
    """Prints the two lines that a failure is worth."""
    say(f"graviton-agent: {message}")
    if hint:
        say(f"hint: {hint}")
    return code


def _print_version(wanted: bool) -> None:
    if wanted:
        tell(f"graviton-agent {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the command."""
    del version
