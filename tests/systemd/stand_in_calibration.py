"""Stands in for `graviton-agent calibrate UNIT` in containers: leaves a profile, as if by measuring.

/opt/calibration says what is to come of it: a value for the variable, "keep", "fail", "busy", "hang", or
"slow" for a value after a while. Run by the container's own Python, with those modules of the agent that
need no more than jeepney.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.configuration.compiled import Configuration, read_compiled
from graviton_agent.errors import ExitCode
from graviton_agent.installed import STATE
from graviton_agent.profiles.facts import observe_calibrated, observe_host
from graviton_agent.profiles.profile import make_profile
from graviton_agent.profiles.store import ProfileStore
from graviton_agent.profiles.subject import make_subject
from graviton_agent.root import Root
from graviton_agent.service.configured import RECORD
from graviton_agent.torch_build import TorchBuild
from graviton_agent.units.bus import Bus
from graviton_agent.units.identity import PROCESS_FACTS, Observer, observe
from graviton_agent.units.manager import manager_environment
from graviton_agent.units.unit import read_unit

NAME = "TORCH_MKLDNN_MATMUL_MIN_DIM"
PYTHON = "/opt/app/venv/bin/python"
TORCH = "/opt/app/venv/lib/python3/site-packages/torch"
WANTED = Path("/opt/calibration")

BUILD = TorchBuild(
    interpreter=PYTHON,
    python="3.11.7",
    version="2.9.1",
    machine="aarch64",
    location=TORCH,
    blas="openblas",
    blas_version="0.3.30",
    onednn="3.7.1",
    acl=True,
    acl_version="25.02",
    allocator="malloc",
    huge_pages_by_default=False,
    bf16_hardware=True,
    cpu_capability="SVE256",
    default_threads=4,
    variables=(),
    configuration="",
)


def leave_profile(unit: str, value: str | None, configuration: Configuration) -> None:
    """Leaves the profile of a calibration now, by which the unit gets a value; None: the default is best."""
    root = Root()
    managed = configuration.unit(unit)
    assert managed is not None
    with Bus.connect() as bus:
        subject = make_subject(read_unit(bus, unit), managed, manager_environment(bus), root)
    inside = observe(PROCESS_FACTS, Observer())
    present = observe_calibrated(subject, observe_host(root), BUILD, {**inside, "memory": "none"}, root)
    gain = (1.0, (1.0, 1.0)) if value is None else (1.31, (1.28, 1.34))
    profile = make_profile(
        unit,
        present.fingerprint,
        outcome=Outcome.KEEP if value is None else Outcome.CHANGE,
        environment={} if value is None else {NAME: value},
        gain=gain[0],
        gain_interval=gain[1],
        reason="a stand-in says so",
        calibrated=datetime.now(UTC),
        record=None,
    )
    store = ProfileStore()
    with store.locked():
        store.write(profile)


def main(unit: str) -> int:
    """Does what is wanted."""
    wanted = WANTED.read_text().strip()
    sys.stderr.write(f"calibrating {unit}: {wanted}\n")
    match wanted:
        case "fail":
            return ExitCode.FAILED
        case "busy":
            return ExitCode.BUSY
        case "hang":
            time.sleep(3600)
        case "slow":
            time.sleep(4)
            leave_profile(unit, "64", read_compiled(Path(STATE, RECORD)))
        case "keep":
            leave_profile(unit, None, read_compiled(Path(STATE, RECORD)))
        case value:
            leave_profile(unit, value, read_compiled(Path(STATE, RECORD)))
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[-1]))
