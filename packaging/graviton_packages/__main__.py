"""`python -m graviton_packages build`; the Makefile's targets run this."""

import argparse
import sys
from pathlib import Path

from graviton_agent import __version__
from graviton_packages.build import DIST, WORK, build
from graviton_packages.changelog import MAINTAINER
from graviton_packages.programs import BuildError
from graviton_packages.repository import make_repositories


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="graviton_packages", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="build deb and rpm for both architectures")
    building.add_argument("--version", default=__version__, help="of the packages; default: the agent's")
    building.add_argument("--dist", type=Path, default=DIST, help="the folder for them")
    building.add_argument("--work", type=Path, default=WORK, help="for what is made on the way")
    building.add_argument("--maintainer", default=MAINTAINER, help="who answers for them: Name <address>")
    making = commands.add_parser("repository", help="make signed apt and dnf repositories of what was built")
    making.add_argument("--key", required=True, help="id of the GPG key of yours that signs")
    making.add_argument("--dist", type=Path, default=DIST, help="the folder with the packages")
    options = parser.parse_args()
    try:
        if options.command == "build":
            for package in build(options.dist, options.work, options.version, options.maintainer):
                print(package)
        else:
            packages = sorted((*options.dist.glob("*.deb"), *options.dist.glob("*.rpm")))
            if not packages:
                sys.exit(f"no packages in {options.dist}: `make packages` builds them")
            make_repositories(packages, options.dist / "repository", options.key)
            print(options.dist / "repository")
    except BuildError as error:
        sys.exit(str(error))


main()
