"""Where the program begins. What units wait for as they start goes its own short way, past typer.

Importing typer and rich takes longer than everything that the daemon does before READY.
"""

import sys
from typing import Any, cast


def main() -> int:
    """Runs one command and returns its exit code."""
    match sys.argv[1:]:
        case ["daemon"]:
            # Before anything else: what is imported next takes a tenth of a second, and SIGHUP would end it.
            from graviton_agent.service.signals import EarlySignals, Ended

            try:
                signals = EarlySignals()
                _without_openssl()
                from graviton_agent.service.daemon import main as daemon

                return daemon(signals)
            except Ended:
                return 0
        case ["gate", unit] if not unit.startswith("-"):
            from graviton_agent.service.gate import main as gate

            return gate(unit)
    from graviton_agent.cli.main import main as command

    return command()


def _without_openssl() -> None:
    """Keeps OpenSSL out of the resident process, which talks to nobody over a network.

    asyncio and hashlib would load it, which takes 7 MB. hashlib does without it where Python has all hash
    functions of its own; some distributions' is built without [cpython configure.ac,
    --with-builtin-hashlib-hashes].
    """
    modules = cast(dict[str, Any], sys.modules)
    modules["ssl"] = None
    sha2 = ("_sha2",) if sys.version_info >= (3, 12) else ("_sha256", "_sha512")
    if all(map(_is_there, ("_md5", "_sha1", *sha2, "_sha3", "_blake2"))):
        modules["_hashlib"] = None


def _is_there(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True
