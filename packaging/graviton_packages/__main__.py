"""`python -m graviton_packages build`; the Makefile's targets run this."""

import argparse
from pathlib import Path

from graviton_agent import __version__
from graviton_packages.build import DIST, WORK, build


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="graviton_packages", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="build deb and rpm for both architectures")
    building.add_argument("--version", default=__version__, help="of the packages; default: the agent's")
    building.add_argument("--dist", type=Path, default=DIST, help="the folder for them")
    building.add_argument("--work", type=Path, default=WORK, help="for what is made on the way")
    options = parser.parse_args()
    for package in build(options.dist, options.work, options.version):
        print(package)


main()
