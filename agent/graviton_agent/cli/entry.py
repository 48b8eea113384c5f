"""Where the program begins. What units wait for as they start goes its own short way, past typer.

Importing typer and rich takes longer than everything that the daemon does before READY.
"""

import sys
from typing import Any, cast


def main() -> int:
    """Runs one command and returns its exit code."""
    match sys.argv[1:]:
        case ["daemon"]:
            _without_openssl()
            from graviton_agent.service.daemon import main as daemon

            return daemon()
        case ["gate", unit] if not unit.startswith("-"):
            from graviton_agent.service.gate import main as gate

            return gate(unit)
    from graviton_agent.cli.main import main as command

    return command()


def _without_openssl() -> None:
    """Keeps OpenSSL out of the resident process, which talks to nobody over a network.

    asyncio and hashlib would load it, which takes 7 MB; hashlib then uses Python's own functions.
    """
    modules = cast(dict[str, Any], sys.modules)
    modules["ssl"] = modules["_hashlib"] = None
