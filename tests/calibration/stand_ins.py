"""Stand-ins for interpreters, and a way to find every process that they start."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

StandIn = Callable[[str], Path]
"""Makes an executable that loads any workload, and then does for each command what its argument says."""

MARK = "GRAVITON_AGENT_TEST"

_SCRIPT = """#!{python} -IS
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


def make_stand_in(folder: Path, body: str) -> Path:
    """Writes one into a folder."""
    lines = "\n".join("    " + line for line in body.splitlines())
    return make_executable(folder, _SCRIPT.format(python=sys.executable, body=lines))


def make_executable(folder: Path, text: str) -> Path:
    """Writes a program into a folder."""
    script = folder / f"python-{uuid.uuid4().hex}"
    script.write_text(text)
    script.chmod(0o755)
    return script


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

    def gather(self, count: int, seconds: float = 10.0) -> bool:
        """Waits until so many processes live. One that has just begun may not show its environment yet."""
        return within(seconds, lambda: len(self.processes()) == count)

    def vanish(self, seconds: float = 10.0) -> bool:
        """Whether all of them end within that time."""
        return within(seconds, lambda: not self.processes())

    def stand_still(self, seconds: float = 10.0) -> bool:
        """Whether there are some, and all of them are stopped within that time."""
        return within(seconds, lambda: {_state(process) for process in self.processes()} == {"T"})


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _state(process: int) -> str:
    """The state's letter [proc_pid_stat(5)]."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
