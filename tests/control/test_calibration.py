"""What is asked of a calibration: the configuration, and what the processes of the unit are given."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pytest

from graviton_agent.calibration.session import Request
from graviton_agent.control import calibration
from graviton_agent.control.calibration import (
    Calibrated,
    Wishes,
    calibrate_unit,
    given_environment,
    host_inside,
    make_request,
)
from graviton_agent.control.writing import revert
from graviton_agent.errors import AgentError, ResourceError
from graviton_agent.host import Host, read_host
from graviton_agent.profiles.application import State
from graviton_agent.profiles.subject import Subject, make_subject
from graviton_agent.record import Record
from graviton_agent.root import Root
from graviton_agent.torch_build import TorchBuild
from graviton_agent.units.interpreter import Interpreter
from graviton_agent.units.unit import UnitError
from tests.control.machine import Managed
from tests.profiles.host import BUILD, INSIDE, PYTHON, AgentHost, install_torch, managed
from tests.records import changed
from tests.units.services import command


@pytest.fixture
def host(machine: Managed) -> AgentHost:
    return machine.host


def subject(host: AgentHost) -> Subject:
    return make_subject(host.unit, host.managed, {}, host.root)


def request(host: AgentHost, given: dict[str, str] | None = None, **wishes: Any) -> Request:
    return make_request(subject(host), Wishes(seed=7, **wishes), given or {})


def test_the_workload_and_the_bounds_are_the_configurations(host: AgentHost) -> None:
    host.managed = managed(batches="1,8", min_cosine=0.9, settings=("bf16", "threshold"), budget_seconds=30.0)
    found = request(host)
    assert [case.batch for case in found.workload.cases] == [1, 8]
    assert (found.rules.minimum_cosine, found.rules.budget_seconds) == (0.9, 30.0)
    assert found.only == frozenset({"bf16", "threshold"})
    assert found.seed == 7


def test_the_command_line_may_give_another_budget(host: AgentHost) -> None:
    assert request(host, budget_seconds=200.0).rules.budget_seconds == 200.0


def test_how_long_a_process_may_take_is_the_configurations_word(host: AgentHost) -> None:
    host.managed = managed(timeout_seconds=600.0)
    assert (request(host).limits.start, request(host).limits.answer) == (600.0, 600.0)


def test_what_changes_results_wants_consent(host: AgentHost) -> None:
    host.managed = managed(allow_bf16=False, forbid=("huge-pages",))
    found = request(host)
    assert (set(found.forbidden), set(found.unconsented)) == ({"huge-pages"}, {"bf16"})


def test_what_steers_torch_is_held(host: AgentHost) -> None:
    given = {"OMP_PROC_BIND": "true", "LD_PRELOAD": "/opt/a.so", "HOME": "/srv", "NOTIFY_SOCKET": "/run/n"}
    assert request(host, given).held == {"OMP_PROC_BIND": "true", "LD_PRELOAD": "/opt/a.so"}


def test_a_number_of_threads_that_the_unit_sets_is_what_it_is_measured_with(host: AgentHost) -> None:
    assert request(host, {"OMP_NUM_THREADS": "3"}).threads == 3
    assert request(host, {"OMP_NUM_THREADS": "3,2"}).threads is None
    host.managed = managed(threads=2)
    assert request(host, {"OMP_NUM_THREADS": "3"}).threads == 2


def test_what_the_unit_unsets_is_not_tried(host: AgentHost) -> None:
    host.unit = replace(host.unit, unset_environment=("THP_MEM_ALLOC_ENABLE",))
    assert request(host).forbidden == frozenset({"huge-pages"})


def test_pins_lie_over_an_env_before_the_program_and_that_over_the_unit(host: AgentHost) -> None:
    host.tree.write("usr/bin/env", "\x7fELF")
    line = command("/usr/bin/env", "-u", "GONE", "A=env", "B=env", PYTHON)
    host.unit = replace(host.unit, commands=(line,))
    host.managed = managed(pin={"A": "pin"})
    given = given_environment(subject(host), {"A": "unit", "B": "unit", "C": "unit", "GONE": "unit"})
    assert given == {"A": "pin", "B": "env", "C": "unit"}


def test_the_host_is_what_the_units_processes_may_use_of_it(host: AgentHost) -> None:
    found = host_inside(read_host(host.root), {"cpus": "a", "quota": "1500", "memory": "1073741824"})
    assert (found.usable_cpus, found.cpu_quota, found.memory_limit) == ((1, 3), 1.5, 1 << 30)
    free = host_inside(read_host(host.root), {"cpus": "1", "quota": "none", "memory": "none"})
    assert (free.usable_cpus, free.cpu_quota, free.memory_limit) == ((0,), None, None)


# From the unit to its profile


class StandInCage:
    """A cage that starts nothing."""

    def __init__(
        self, _bus: object, unit: str, interpreter: Interpreter, *, timeout_seconds: float, root: Root
    ) -> None:
        self.unit, self.interpreter, self.timeout_seconds = unit, interpreter.path, timeout_seconds
        assert not root.is_this_machine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def environment(self) -> dict[str, str]:
        return {"HOME": "/srv", "OMP_PROC_BIND": "true"}

    def observe(self, names: Iterable[str]) -> dict[str, str]:
        return {name: INSIDE[name] for name in names}


@dataclass
class Calibrating:
    """A machine on which calibrations come to a result at once."""

    machine: Managed
    torch: TorchBuild = BUILD
    meanwhile: Callable[[], None] = lambda: None
    seen: dict[str, Any] = field(default_factory=dict)

    def probe(self, path: str, _markers: object, **options: Any) -> TorchBuild:
        self.seen["probe"] = (path, options["environment"])
        self.seen["probe's timeout"] = options["seconds"]
        self.seen["cage's timeout"] = options["launcher"].timeout_seconds
        return self.torch

    def run(self, request: Request, host: Host, _torch: TorchBuild, *_more: Any, **options: Any) -> Record:
        self.seen["request"], self.seen["host"], self.seen["state"] = request, host, options["state"]
        self.meanwhile()
        return changed()

    def calibrate(self, *, unasked: bool = False) -> Calibrated:
        wishes = Wishes(seed=7, unasked=unasked)
        return calibrate_unit(self.machine.scene, "llm.service", wishes, lambda _words: None)


@pytest.fixture
def calibrating(machine: Managed, monkeypatch: pytest.MonkeyPatch) -> Calibrating:
    stand_in = Calibrating(machine)
    monkeypatch.setattr(calibration, "Cage", StandInCage)
    monkeypatch.setattr(calibration, "probe", stand_in.probe)
    monkeypatch.setattr(calibration, "run_session", stand_in.run)
    machine.host.tree.write("proc/meminfo", "MemTotal: 64000000 kB\nMemAvailable: 60000000 kB\n")
    return stand_in


def test_the_profile_holds_what_the_record_decided_and_says_where_it_is(calibrating: Calibrating) -> None:
    found = calibrating.calibrate()
    assert found.profile.environment == found.record.decision.environment
    assert found.profile.gain_interval == found.record.decision.gain_interval
    state = calibrating.machine.host.tree.root / "var/lib/graviton-agent"
    assert calibrating.seen["state"] == state
    assert str(found.profile.record).startswith(f"{state}/records/")


def test_it_is_neither_kept_nor_applied_by_this(calibrating: Calibrating) -> None:
    calibrating.calibrate()
    assert calibrating.machine.store.read("llm.service") is None
    assert calibrating.machine.environment() is None


def test_the_units_own_interpreter_environment_and_limits_are_used(calibrating: Calibrating) -> None:
    calibrating.calibrate()
    assert calibrating.seen["probe"] == (PYTHON, {"HOME": "/srv", "OMP_PROC_BIND": "true"})
    assert calibrating.seen["request"].held == {"OMP_PROC_BIND": "true"}
    assert calibrating.seen["host"].usable_cpus == (0, 1, 2, 3)


def test_a_profile_that_is_kept_holds_for_the_unit(calibrating: Calibrating) -> None:
    profile = calibrating.calibrate().profile
    calibrating.machine.store.write(profile)
    (outlook,) = calibrating.machine.scene.select([])
    assert outlook.state is State.APPLIED


def test_a_torch_that_only_the_unit_sees_is_refused_before_anything_is_measured(
    calibrating: Calibrating,
) -> None:
    calibrating.torch = replace(BUILD, location="/only/in/the/unit/torch")
    with pytest.raises(UnitError, match="where only the unit sees it"):
        calibrating.calibrate()
    assert "request" not in calibrating.seen


def test_what_changed_while_it_was_measured_makes_the_result_worthless(calibrating: Calibrating) -> None:
    calibrating.meanwhile = lambda: install_torch(calibrating.machine.host.tree, "2.10.0")
    with pytest.raises(AgentError) as caught:
        calibrating.calibrate()
    assert caught.value.message == "llm.service changed while it was calibrated: torch was 2.9.1, is 2.10.0"
    assert caught.value.hint == "calibrate it again: graviton-agent calibrate llm.service"


def test_a_model_that_does_not_fit_into_the_units_memory_is_refused(calibrating: Calibrating) -> None:
    calibrating.machine.manage("llm.service", '[units."llm.service"]\nlayers = "100000x100000"\n')
    with pytest.raises(ResourceError, match="needs"):
        calibrating.calibrate()


@pytest.mark.parametrize("key", ["MemoryMax", "MemoryHigh"])
def test_a_limit_that_no_worker_fits_into_is_refused_before_anything_is_started(
    calibrating: Calibrating, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(calibration, "Cage", lambda *_, **__: pytest.fail("the cage is entered"))
    bus = calibrating.machine.bus
    bus.add({**bus.units["llm.service"], key: ("t", 256 << 20)})
    with pytest.raises(ResourceError) as caught:
        calibrating.calibrate()
    assert caught.value.message.startswith(
        "each process of this calibration needs 1.0 GiB (350 MiB for Python"
    )
    assert caught.value.message.endswith(f"and {key}= of llm.service allows 256 MiB")


def test_the_bounds_of_the_configuration_reach_what_decides(calibrating: Calibrating) -> None:
    section = '[units."llm.service"]\nmin_cosine = 0.98\nmemory_margin = "10%"\nbudget = "2min"\n'
    section += 'timeout = "10min"\n'
    calibrating.machine.manage("llm.service", section)
    calibrating.calibrate()
    rules = calibrating.seen["request"].rules
    assert (rules.minimum_cosine, rules.budget_seconds) == (0.98, 120.0)
    assert (rules.memory_margin_bytes, rules.memory_margin_share) == (0, 0.1)
    waits = {calibrating.seen[what] for what in ("cage's timeout", "probe's timeout")}
    assert waits == {calibrating.seen["request"].timeout_seconds} == {600.0}


def test_a_calibration_knows_whether_the_unit_was_reverted_as_it_began(calibrating: Calibrating) -> None:
    scene = calibrating.machine.scene

    def meanwhile() -> None:
        revert(scene, ["llm.service"])

    calibrating.meanwhile = meanwhile
    assert calibrating.calibrate().reverted is None
    calibrating.meanwhile = lambda: None
    assert calibrating.calibrate().reverted == scene.reverts.read().of("llm.service")


def test_the_agent_itself_calibrates_nothing_that_was_reverted_a_moment_ago(calibrating: Calibrating) -> None:
    revert(calibrating.machine.scene, ["llm.service"])
    with pytest.raises(AgentError, match=r"llm\.service was reverted"):
        calibrating.calibrate(unasked=True)
    assert "request" not in calibrating.seen
