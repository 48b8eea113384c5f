"""An interpreter in a container that says what a worker would: whole calibrations in the cage, in no time.

Its times are what it claims: without variables a forward pass takes 100 ms, with bf16 50 ms.
"""

from tests.make_believe import ANSWERS

NAME = "DNNL_DEFAULT_FPMATH_MODE"
PATH = "/opt/believe/python"
TORCH = "/opt/app/torch"

_SCRIPT = """#!/usr/bin/python3 -IS
import json, os, sys, time
program = sys.argv[sys.argv.index("-c") + 1]
if "graviton-agent-worker" not in program:
    exec(program)
    raise SystemExit
sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
def say(answer):
    print(json.dumps(answer), flush=True)
def run(calls):
    say(dict(elapsed_ns=sum(calls), calls_ns=calls, canary_ns=1, cpu_ns=1))
sys.stdout.write("\\ngraviton-agent worker 3.11.0\\n")
for line in iter(sys.stdin.buffer.readline, b""):
    command = json.loads(line)
    if command["command"] == "load":
        say(dict(threads=1))
        continue
BODY
"""


def interpreter(pause: float = 0.0) -> str:
    """The text of the program, which thinks for so many seconds before each block."""
    extra = f'if name == "run":\n    time.sleep({pause})'
    lines = "\n".join("    " + line for line in ANSWERS.replace("{extra}", extra).splitlines())
    return _SCRIPT.replace("BODY", lines)


def torch_files(version: str = "2.9.1") -> dict[str, str]:
    """What tells one torch from another, by path."""
    return {
        f"{TORCH}/version.py": f"__version__ = '{version}'\n",
        f"{TORCH}/lib/libtorch_cpu.so": f"ELF {version}",
    }
