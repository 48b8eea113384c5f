"""What a trial's unit is made of."""

from typing import Any

import pytest

from graviton_agent.units.cage_properties import (
    SEEN_BY_TORCH,
    environment_settings,
    slice_name_below,
    slice_settings,
    worker_settings,
)
from graviton_agent.units.unit import INFINITY, unit_of
from tests.units.services import OLD


def worker(*, user_namespaces: bool = True, **changes: tuple[str, Any]) -> dict[str, tuple[str, Any]]:
    properties = {**OLD, "User": ("s", "llm"), **changes}
    return dict(
        worker_settings(
            properties, unit_of(properties), "system.slice", seconds=60, user_namespaces=user_namespaces
        )
    )


def of_slice(own_unit: str | None = None, **changes: tuple[str, Any]) -> dict[str, tuple[str, Any]]:
    return dict(slice_settings({**OLD, **changes}, own_unit))


def test_the_worker_runs_as_the_units_user_and_groups() -> None:
    made = worker(Group=("s", "models"), SupplementaryGroups=("as", ["video"]))
    assert made["User"] == ("s", "llm")
    assert made["Group"] == ("s", "models")
    assert made["SupplementaryGroups"] == ("as", ["video"])
    assert "DynamicUser" not in made


@pytest.mark.parametrize("user", ["", "root", "0"])
def test_in_place_of_root_the_worker_runs_as_nobody_in_particular(user: str) -> None:
    made = worker(User=("s", user), SupplementaryGroups=("as", ["disk"]))
    assert made["DynamicUser"] == ("b", True)
    assert not made.keys() & {"User", "Group", "SupplementaryGroups"}


def test_a_dynamic_user_stays_the_same_dynamic_user() -> None:
    made = worker(DynamicUser=("b", True))
    assert (made["DynamicUser"], made["User"]) == (("b", True), ("s", "llm"))


def test_the_state_of_the_unit_is_not_touched() -> None:
    made = worker(StateDirectory=("as", ["llm"]), RuntimeDirectory=("as", ["llm"]))
    assert not [name for name in made if name.endswith("Directory") and name != "WorkingDirectory"]


def test_cpu_time_is_shared_by_all_workers_as_by_the_units_processes() -> None:
    quota = ("t", 1_500_000)
    assert of_slice(CPUQuotaPerSecUSec=quota)["CPUQuotaPerSecUSec"] == quota
    assert "CPUQuotaPerSecUSec" not in worker(CPUQuotaPerSecUSec=quota)


def test_memory_is_each_workers_own() -> None:
    assert worker(MemoryMax=("t", 1 << 30))["MemoryMax"] == ("t", 1 << 30)
    assert "MemoryMax" not in of_slice(MemoryMax=("t", 1 << 30))


def test_what_is_not_limited_is_not_set() -> None:
    made = worker(MemoryMax=("t", INFINITY), CPUAffinity=("ay", b""), NUMAPolicy=("i", -1), Nice=("i", 0))
    assert not made.keys() & {"MemoryMax", "CPUAffinity", "NUMAPolicy", "Nice"}


def test_a_numa_policy_that_is_zero_is_set() -> None:
    assert worker(NUMAPolicy=("i", 0))["NUMAPolicy"] == ("i", 0)


@pytest.mark.parametrize(("policy", "is_kept"), [(0, False), (1, False), (2, False), (3, True), (5, True)])
def test_real_time_scheduling_stays_with_the_unit(policy: int, is_kept: bool) -> None:
    assert ("CPUSchedulingPolicy" in worker(CPUSchedulingPolicy=("i", policy))) is is_kept


def test_what_torch_sees_is_the_units_own_and_nothing_is_added() -> None:
    assert not worker(DevicePolicy=("s", "strict")).keys() & set(SEEN_BY_TORCH) - {"DevicePolicy"}
    made = worker(MemoryDenyWriteExecute=("b", True), ProcSubset=("s", "pid"))
    assert made["MemoryDenyWriteExecute"] == ("b", True)
    assert made["ProcSubset"] == ("s", "pid")


def test_the_units_own_tasks_bound_its_worker() -> None:
    assert worker(TasksMax=("t", 64))["TasksMax"] == ("t", 64)


@pytest.mark.parametrize(("own", "expected"), [(INFINITY, 0), (1 << 30, 1 << 30), (0, 0)])
def test_without_a_limit_of_the_units_nothing_is_swapped(own: int, expected: int) -> None:
    assert worker(MemorySwapMax=("t", own))["MemorySwapMax"] == ("t", expected)


def test_all_trials_end_with_the_process_that_runs_them() -> None:
    made = of_slice("graviton-agent.service")
    assert made["BindsTo"] == ("as", ["graviton-agent.service"])
    # That would wait for the end of a service that itself waits for its workers.
    assert "After" not in made
    assert "BindsTo" not in of_slice(None)


def test_the_environment_is_the_units_without_the_agents_files() -> None:
    files = [("/run/graviton-agent/environment/llm.service.env", True), ("/etc/default/llm", True)]
    made = environment_settings({**OLD, "EnvironmentFiles": ("a(sb)", files), "PAMName": ("s", "llm")})
    assert dict(made) == {"EnvironmentFiles": ("a(sb)", files[1:]), "PAMName": ("s", "llm")}


@pytest.mark.parametrize(
    ("parent", "name"),
    [
        ("system.slice", "system-graviton_agent_1.slice"),
        ("-.slice", "graviton_agent_1.slice"),
        ("system-llm.slice", "system-llm-graviton_agent_1.slice"),
    ],
)
def test_the_slice_of_the_trials_lies_in_the_units_slice(parent: str, name: str) -> None:
    assert slice_name_below(parent, "1") == name
