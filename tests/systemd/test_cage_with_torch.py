"""Real torch in the cage: it dispatches as outside, to the bit."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import graviton_agent
from graviton_agent.calibration.launcher import PlainLauncher
from graviton_agent.calibration.pool import WorkerPool
from graviton_agent.calibration.probe import probe
from graviton_agent.calibration.trial import AS_STARTED, DEFAULT, Configuration, Observation, TrialSpec
from graviton_agent.torch_build import TorchBuild
from graviton_agent.units.bus import Bus
from graviton_agent.units.cage import Cage
from graviton_agent.units.interpreter import Interpreter
from graviton_agent.workload import Case, Layer, Workload
from tests.systemd.container import RebootableContainer, boot
from tests.systemd.rootfs import Release

torch = pytest.importorskip("torch")

AGENT = Path(graviton_agent.__file__).resolve().parent
PACKAGES = Path(torch.__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/opt/packages", "HOME": "/nonexistent"}
WORKLOAD = Workload((Layer(256, 256), Layer(256, 10)), (Case(1), Case(65)))
STRICT = Configuration.of({"ONEDNN_DEFAULT_FPMATH_MODE": "STRICT"})

UNITS = {
    "app.service": "[Service]\nUser=app\nExecStart=sleep infinity\n",
    "narrow.service": "[Service]\nUser=app\nCPUAffinity=0\nExecStart=sleep infinity\n",
    "root.service": "[Service]\nExecStart=sleep infinity\n",
}


@pytest.fixture(scope="module")
def container(release: Release) -> Iterator[RebootableContainer]:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if release.python != own:
        pytest.skip(f"{release.name} has Python {release.python}, and the torch of these tests is for {own}")
    with boot(release, bind=[(AGENT, str(AGENT)), (PACKAGES, "/opt/packages")]) as container:
        container.run("useradd", "--system", "app")
        container.add_units(UNITS)
        yield container


def probed_in_cage(unit: str) -> TorchBuild:
    with Bus.connect() as bus, Cage(bus, unit, Interpreter(PYTHON)) as cage:
        return probe(PYTHON, ["oneDNN"], environment=ENVIRONMENT, launcher=cage)


def probed_outside() -> TorchBuild:
    return probe(PYTHON, ["oneDNN"], environment=ENVIRONMENT, launcher=PlainLauncher())


@pytest.mark.parametrize("unit", ["app.service", "root.service"])
def test_the_torch_build_is_the_same_inside_and_outside(container: RebootableContainer, unit: str) -> None:
    assert container.call(probed_in_cage, unit) == container.call(probed_outside)


def test_a_units_cpus_bound_the_threads_of_its_trials(container: RebootableContainer) -> None:
    assert container.call(probed_in_cage, "narrow.service").default_threads == 1


def observed_in_cage() -> tuple[Observation, Observation, int]:
    """Two trials side by side in the cage; one of them is also timed."""
    with (
        Bus.connect() as bus,
        Cage(bus, "app.service", Interpreter(PYTHON)) as cage,
        WorkerPool(PYTHON, WORKLOAD, environment=ENVIRONMENT, launcher=cage) as pool,
    ):
        default, strict = pool.start([TrialSpec(DEFAULT), TrialSpec(STRICT)])
        block = default.run(65, AS_STARTED, 5)
        return default.observe(), strict.observe(), block.iterations


def observed_outside() -> Observation:
    with WorkerPool(PYTHON, WORKLOAD, environment=ENVIRONMENT) as pool:
        (trial,) = pool.start([TrialSpec(DEFAULT)])
        return trial.observe()


def test_trials_in_the_cage_compute_the_same_bits_by_the_same_kernels(container: RebootableContainer) -> None:
    inside, strict, iterations = container.call(observed_in_cage)
    outside = container.call(observed_outside)
    assert replace(inside, memory=outside.memory) == outside
    assert strict.threads == outside.threads
    assert iterations == 5
