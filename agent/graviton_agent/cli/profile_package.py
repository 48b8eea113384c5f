"""`graviton-agent profile package`: a deb and an rpm of what a fleet's golden hosts have found."""

from pathlib import Path
from typing import Annotated

import typer

from graviton_agent.terminal import tell


def package(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="Where `export` wrote to.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where to put them.")] = Path(),
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Of the package.")
    ] = "graviton-agent-profiles",
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Default: the time of the newest calibration."),
    ] = None,
    maintainer: Annotated[
        str, typer.Option("--maintainer", metavar="WHO", help="Who answers for them: Name <address>.")
    ] = "Root <root@localhost>",
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="deb, rpm, or both.")] = "both",
) -> None:
    """Make packages of the profiles in a folder: data alone, for all architectures."""
    from graviton_agent.control.fleet_profiles import read_folder
    from graviton_agent.control.profile_package import FORMATS, Package, build, version_of
    from graviton_agent.errors import UsageError

    if format_ not in {*FORMATS, "both"}:
        raise UsageError(f"{format_!r} is no format of packages", hint="deb, rpm, or both")
    profiles = read_folder(folder)
    made = Package(name, version or version_of(profiles), maintainer, profiles)
    for path in build(made, FORMATS if format_ == "both" else (format_,), output):
        tell(str(path))
