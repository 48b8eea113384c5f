"""A unit that serves a model with real torch, as a platform team has it, and what the agent is told of it."""

import json
from typing import Any

from graviton_agent.calibration.proof import BF16_ERROR
from graviton_agent.calibration.worker import kernels_in
from graviton_agent.installed import SERVICE, STATE
from tests.graviton.image import python_of
from tests.graviton.machine import Machine

UNIT = "llm.service"
USER = "app"
PROGRAM = "/opt/app/serve.py"
SERVED_BATCH = 64
BF16, MIN_DIM = "DNNL_DEFAULT_FPMATH_MODE", "TORCH_MKLDNN_MATMUL_MIN_DIM"
CALIBRATION_SECONDS = 4 * 3600.0
"""A bound for what hangs."""

# It says by torch's own log which kernels it runs: oneDNN prints nothing of what BLAS computes. That log goes
# through the buffer of C's standard output, of which Python knows nothing.
SERVE = f"""
import ctypes
import os
import socket
import time
import torch

torch.set_grad_enabled(False)
print("threads:", torch.get_num_threads(), flush=True)
model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 16)).eval()
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
    model(torch.rand({SERVED_BATCH}, 256))
ctypes.CDLL(None).fflush(None)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    time.sleep(3600)
"""
CONFIGURATION = """gates = "2h"
[quiet]
load = 100.0
pressure = 100.0
steal = 100.0
[units."{unit}"]
layers = "256x256,256x16"
batches = "{batches}"
allow_bf16 = true
settings = {settings}
threads = 1
budget = "{budget}"
calibrate = "{calibrate}"
"""


def unit_file(torch: str, *, more: str = "", after: str = "") -> str:
    """The unit of a service with a torch, and more of its [Service] section."""
    return f"""[Unit]
{after}
[Service]
Type=notify
TimeoutStartSec=infinity
User={USER}
ExecStart={python_of(torch)} {PROGRAM}
{more}
[Install]
WantedBy=multi-user.target
"""


def configuration(
    *settings: str, calibrate: str, batches: str = "64", budget: str = "90s", more: str = ""
) -> str:
    """The agent's configuration, and a small model of the unit's.

    Args:
        settings: which may be tried.
        calibrate: when.
        batches: of the model.
        budget: how long it may take by the machine's clock.
        more: further options of the unit.
    """
    filled = CONFIGURATION.format(
        unit=UNIT, settings=json.dumps(settings), calibrate=calibrate, batches=batches, budget=budget
    )
    return filled + more


def prepare(machine: Machine) -> None:
    """Makes the service's user and its program."""
    machine.run("useradd", "--system", "--create-home", USER)
    machine.write(PROGRAM, SERVE)


def configure(machine: Machine, text: str) -> None:
    """Writes the agent's configuration."""
    machine.write("/etc/graviton-agent/conf.d/50-test.toml", text)


def agent_says(machine: Machine) -> str:
    """The daemon's status line."""
    return machine.show(SERVICE, "StatusText")


def profile(machine: Machine, unit: str = UNIT) -> dict[str, Any]:
    """What was kept of the unit's calibration. Raises GuestError if nothing was."""
    kept: dict[str, Any] = json.loads(machine.read(f"{STATE}/profiles/{unit}.json"))
    return kept


def record(machine: Machine, unit: str = UNIT) -> dict[str, Any]:
    """Everything that the unit's calibration saw."""
    path = profile(machine, unit)["record"]
    found: dict[str, Any] = json.loads(machine.read(path))
    return found


def observed(found: dict[str, Any], environment: dict[str, str]) -> list[dict[str, Any]]:
    """What a record says of each batch in a process with these variables alone."""
    observation = next(one for one in found["observations"] if one["environment"] == environment)
    cases: list[dict[str, Any]] = observation["observation"]["cases"]
    return cases


def has_error_of_bf16(case: dict[str, Any]) -> bool:
    """Whether each product of an observed batch is as exact as bf16 is, neither more nor less."""
    least, most = BF16_ERROR
    return all(least < product["error"] < most for product in case["products"])


def environment(machine: Machine, unit: str = UNIT) -> dict[str, str]:
    """What the unit's main process was started with, by /proc."""
    pid = machine.show(unit, "MainPID")
    block = machine.sh(f"tr '\\0' '\\n' < /proc/{pid}/environ")
    return dict(line.partition("=")[::2] for line in block.splitlines())


def told(name: str, environment: dict[str, str]) -> str:
    """A variable for a reader, who is no programmer of Python."""
    return f"{name}={environment[name]}" if name in environment else f"no {name}"


def served_by(machine: Machine, unit: str = UNIT) -> list[str]:
    """The kernels that the unit's torch says it has run since its last start."""
    return kernels_in(said_by(machine, unit))


def threads_of(machine: Machine, unit: str = UNIT) -> int:
    """How many threads the unit's torch says it computes with."""
    (line,) = (line for line in said_by(machine, unit) if line.startswith("threads: "))
    return int(line.removeprefix("threads: "))


def said_by(machine: Machine, unit: str = UNIT) -> list[str]:
    """What the unit's processes have printed since its last start."""
    machine.run("journalctl", "--sync")
    own = f"_SYSTEMD_INVOCATION_ID={machine.show(unit, 'InvocationID')}"
    return machine.run("journalctl", "--no-pager", "--output=cat", own).splitlines()
