"""Byte code beside modules, as packages and pip leave it: compiling torch under emulation takes too long."""

import compileall
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.graviton.wheels import PYTHON

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def compile_all(folder: Path) -> None:
    """Compiles what can be, if this Python's byte code is the machine's: it is alike on all architectures."""
    if OWN_PYTHON == PYTHON:
        compileall.compile_dir(
            str(folder), quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH, stripdir=str(folder)
        )
