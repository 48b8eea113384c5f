"""A Graviton3 host below a folder, with a venv, a torch, and a managed unit; and what was found for it."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.configuration.compiled import Calibrate, Configuration, ManagedUnit, Quiet, Restart
from graviton_agent.profiles.assessment import Assessment, Circumstances, assess
from graviton_agent.profiles.facts import HostFacts, Present, observe_calibrated, observe_host
from graviton_agent.profiles.profile import Profile, make_profile
from graviton_agent.profiles.subject import make_subject
from graviton_agent.root import Root
from graviton_agent.torch_build import TorchBuild
from graviton_agent.units.unit import Unit
from tests.configuration.tree import Tree
from tests.units.machine import graviton3
from tests.units.services import command, service

PACKAGES = "/opt/app/venv/lib/python3.11/site-packages"
PYTHON = "/opt/app/venv/bin/python"
TORCH = f"{PACKAGES}/torch"
RECORD = f"{PACKAGES}/torch-2.9.1.dist-info/RECORD"
INSIDE = {"cpus": "f", "quota": "2000", "memory": "8589934592"}
WHEN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
QUIET = Quiet(duration=120.0, load=0.2, pressure=5.0, steal=1.0)

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
MANAGED = ManagedUnit(
    name="llm.service",
    python=None,
    preset="tutorial",
    layers=None,
    batches=None,
    processes=1,
    threads=None,
    settings=None,
    forbid=(),
    pin={},
    allow_bf16=True,
    min_cosine=0.0,
    memory_margin_bytes=32 << 20,
    memory_margin_share=0.05,
    budget_seconds=90.0,
    timeout_seconds=120.0,
    calibrate=Calibrate.WHEN_QUIET,
    restart=Restart.NEVER,
    check=True,
)
GAIN: dict[str, Any] = {
    "outcome": Outcome.CHANGE,
    "environment": {"TORCH_MKLDNN_MATMUL_MIN_DIM": "64", "DNNL_DEFAULT_FPMATH_MODE": "BF16"},
    "gain": 1.31,
    "gain_interval": (1.28, 1.34),
    "reason": "31.0 % faster in 3 pairs",
    "calibrated": WHEN,
    "record": None,
}


def managed(**options: Any) -> ManagedUnit:
    """How a unit is managed, with these options in place of the usual."""
    return replace(MANAGED, **options)


def configuration(*units: ManagedUnit, unmanaged: dict[str, str] | None = None) -> Configuration:
    """A configuration of these units."""
    return Configuration(
        enabled=True,
        gates_seconds=180.0,
        quiet=QUIET,
        units={unit.name: unit for unit in units},
        unmanaged=unmanaged or {},
        problems=(),
        digest="",
    )


def unit(**facts: Any) -> Unit:
    """The unit, which doesn't run unless told otherwise."""
    usual = {"active_state": "inactive", "main_pid": None, "commands": (command(PYTHON, "-m", "app"),)}
    return service(**{**usual, **facts})


@dataclass
class AgentHost:
    """The host. What a test changes in its tree, the agent sees."""

    tree: Tree
    managed: ManagedUnit = MANAGED
    unit: Unit = field(default_factory=unit)
    manager: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Root:
        return Root(self.tree.root)

    @property
    def facts(self) -> HostFacts:
        return observe_host(self.root)

    def calibrated(self) -> Present:
        """What a calibration of the unit sees."""
        subject = make_subject(self.unit, self.managed, self.manager, self.root)
        return observe_calibrated(subject, self.facts, BUILD, INSIDE, self.root)

    def profile(self, **results: Any) -> Profile:
        """What a calibration now would leave behind."""
        return make_profile(self.unit.name, self.calibrated().fingerprint, **{**GAIN, **results})

    def assess(self, *profiles: Profile, **given: Any) -> Assessment:
        """What the unit gets now."""
        circumstances = Circumstances(
            configuration=given.pop("configuration", configuration(self.managed)),
            host=self.facts,
            not_graviton=given.pop("not_graviton", None),
            manager=self.manager,
            profiles={profile.unit: profile for profile in profiles},
            root=self.root,
            **given,
        )
        return assess(self.unit, circumstances)


def install_torch(tree: Tree, version: str = "2.9.1", *, library: str = "ELF") -> None:
    """Writes what tells one torch from another."""
    tree.write(f"{TORCH[1:]}/version.py", f"__version__ = '{version}'\ngit_version = 'abc'\n")
    tree.write(f"{TORCH[1:]}/lib/libtorch_cpu.so", library)
    record = f"torch/lib/libtorch_cpu.so,sha256={library},3\n../../../bin/torchrun,sha256=abc,1\n"
    tree.write(RECORD[1:].replace("2.9.1", version), record)


def agent_host(folder: Path) -> AgentHost:
    """A c7g.xlarge with torch 2.9.1 in a venv, and a unit that serves with it."""
    tree = Tree(folder)
    graviton3(tree)
    tree.write("proc/sys/kernel/osrelease", "6.1.0-26-cloud-arm64\n")
    tree.write("usr/bin/python3.11", "\x7fELF")
    tree.write("opt/app/venv/pyvenv.cfg", "home = /usr/bin\n")
    (folder / "opt/app/venv/bin").mkdir(parents=True)
    # Relative, for a link out of the tree would not be followed.
    tree.link(PYTHON[1:], "../../../../usr/bin/python3.11")
    tree.unit("llm.service")
    install_torch(tree)
    return AgentHost(tree)
