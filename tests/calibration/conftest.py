"""What the tests of workers share: stand-ins for interpreters, and a way to find every process they start."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

StandIn = Callable[[str], str]

MARK = "GRAVITON_AGENT_TEST"

STAND_IN = """#!{python} -IS
import json, os, signal, sys, time
def say(answer):
    print(json.dumps(answer), flush=True)
def run(calls):
    say(dict(elapsed_ns=sum(calls), calls_ns=calls, canary_ns=1, cpu_ns=1))
sys.stdout.write("\\ngraviton-agent worker 3.11.0\\n")
for line in sys.stdin:
    command = json.loads(line)
    if command["command"] == "load":
        say(dict(threads=1))
        continue
{body}
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    """Makes an executable that loads any workload, and then does what `body` says for each command."""

    def make(body: str) -> str:
        script = tmp_path / f"python-{uuid.uuid4().hex}"
        lines = "\n".join("    " + line for line in body.splitlines())
        script.write_text(STAND_IN.format(python=sys.executable, body=lines))
        script.chmod(0o755)
        return str(script)

    return make


class Marked:
    """An environment by which processes are found again."""

    def __init__(self) -> None:
        self.value = uuid.uuid4().hex
        self.environment: Mapping[str, str] = {**os.environ, MARK: self.value}

    def processes(self) -> list[int]:
        """The ids of the living processes that have this environment."""
        wanted = f"{MARK}={self.value}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    variables = (entry / "environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                if wanted in variables:
                    found.append(int(entry.name))
        return found

    def vanish(self, seconds: float = 10.0) -> bool:
        """Whether all of them end within that time."""
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


@pytest.fixture
def marked() -> Iterator[Marked]:
    """Finds what a test left behind, and fails the test for it."""
    mark = Marked()
    yield mark
    assert mark.vanish(), f"processes were left behind: {mark.processes()}"
