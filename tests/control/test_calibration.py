"""What is asked of a calibration: the configuration, and what the processes of the unit are given."""

from typing import Any

import pytest

from graviton_agent.calibration.session import Request
from graviton_agent.control.calibration import Wishes, given_environment, host_inside, make_request
from graviton_agent.host import read_host
from graviton_agent.profiles.subject import Subject, make_subject
from tests.profiles.host import PYTHON, AgentHost, managed
from tests.units.services import command


@pytest.fixture
def host(machine: Any) -> AgentHost:
    found: AgentHost = machine.host
    return found


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
    host.unit = type(host.unit)(**{**vars(host.unit), "unset_environment": ("THP_MEM_ALLOC_ENABLE",)})
    assert request(host).forbidden == frozenset({"huge-pages"})


def test_pins_lie_over_an_env_before_the_program_and_that_over_the_unit(host: AgentHost) -> None:
    host.tree.write("usr/bin/env", "\x7fELF")
    line = command("/usr/bin/env", "-u", "GONE", "A=env", "B=env", PYTHON)
    host.unit = type(host.unit)(**{**vars(host.unit), "commands": (line,)})
    host.managed = managed(pin={"A": "pin"})
    given = given_environment(subject(host), {"A": "unit", "B": "unit", "C": "unit", "GONE": "unit"})
    assert given == {"A": "pin", "B": "env", "C": "unit"}


def test_the_host_is_what_the_units_processes_may_use_of_it(host: AgentHost) -> None:
    found = host_inside(read_host(host.root), {"cpus": "a", "quota": "1500", "memory": "1073741824"})
    assert (found.usable_cpus, found.cpu_quota, found.memory_limit) == ((1, 3), 1.5, 1 << 30)
    free = host_inside(read_host(host.root), {"cpus": "1", "quota": "none", "memory": "none"})
    assert (free.usable_cpus, free.cpu_quota, free.memory_limit) == ((0,), None, None)
