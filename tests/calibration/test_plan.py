"""What is worth trials: the catalogue, less what is dead, forbidden, held or not asked for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.calibration.plan import Plan, make_plan
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.workload import make_workload
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0_X86
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

GRAVITON3 = Machine(3, 4, "madvise", TORCH_2_9_1)
NAMES = tuple(setting.name for setting in CATALOGUE)


def plan_of(
    machine: Machine = GRAVITON3,
    *,
    only: frozenset[str] | None = None,
    forbidden: frozenset[str] = frozenset(),
    unconsented: frozenset[str] = frozenset(),
    held: dict[str, str] | None = None,
    fixed_threads: int | None = None,
) -> Plan:
    """The plan for the tutorial's network."""
    return make_plan(
        host_of(machine),
        machine.build,
        make_workload(),
        only=only,
        forbidden=forbidden,
        unconsented=unconsented,
        held=held,
        fixed_threads=fixed_threads,
    )


def left(plan: Plan) -> dict[str, str]:
    """Why settings are left alone, by name."""
    return {found.setting: found.reason for found in plan.left_alone}


def tried(plan: Plan) -> set[str]:
    """The names of the settings that are tried."""
    names = {choice.setting.name for choice in plan.levers}
    return names | ({"threshold"} if plan.thresholds else set()) | ({"threads"} if plan.threads else set())


def test_a_graviton3_with_torch_2_9_has_four_settings_to_try() -> None:
    plan = plan_of()
    assert [(choice.setting.name, choice.value) for choice in plan.levers] == [
        ("bf16", "BF16"),
        ("huge-pages", "1"),
    ]
    assert plan.thresholds == (10, 32, 256)
    assert plan.threads == (2,)


def test_with_torch_2_10_mimalloc_is_tried_in_the_place_of_huge_pages() -> None:
    plan = plan_of(replace(GRAVITON3, build=TORCH_2_10_0))
    assert tried(plan) == {"bf16", "mimalloc-large-pages", "threshold", "threads"}


def test_on_one_cpu_of_a_graviton2_without_huge_pages_only_the_threshold_is_left() -> None:
    single = replace(TORCH_2_9_1, default_threads=1)
    assert tried(plan_of(Machine(2, 1, "never", single))) == {"threshold"}


def test_on_x86_everything_that_its_build_reads_is_for_trials_to_show() -> None:
    machine = Machine(None, 4, "madvise", TORCH_2_13_0_X86)
    assert tried(plan_of(machine)) == {"bf16", "huge-pages", "threshold", "threads"}


@given(
    st.sets(st.sampled_from(NAMES)),
    st.none() | st.sets(st.sampled_from(NAMES)),
    st.sampled_from([GRAVITON3, Machine(2, 1, "never", TORCH_2_9_1), Machine(3, 8, "madvise", TORCH_2_10_0)]),
)
def test_every_setting_is_tried_or_has_a_reason(
    forbidden: set[str], only: set[str] | None, machine: Machine
) -> None:
    plan = plan_of(machine, only=None if only is None else frozenset(only), forbidden=frozenset(forbidden))
    assert tried(plan).isdisjoint(left(plan))
    assert tried(plan) | set(left(plan)) == set(NAMES)
    assert all(left(plan).values())


def test_what_is_forbidden_is_left_alone() -> None:
    plan = plan_of(forbidden=frozenset({"bf16"}))
    assert "bf16" not in tried(plan)
    assert left(plan)["bf16"] == "forbidden by the operator"


def test_what_wants_consent_and_has_none_is_left_alone_and_says_so() -> None:
    plan = plan_of(unconsented=frozenset({"bf16"}))
    assert "bf16" not in {choice.setting.name for choice in plan.levers}
    assert left(plan)["bf16"] == "it changes results, to which the operator has not consented (allow_bf16)"


def test_what_is_not_asked_for_is_left_alone() -> None:
    plan = plan_of(only=frozenset({"threshold"}))
    assert tried(plan) == {"threshold"}
    assert left(plan)["bf16"] == "not asked for"


@pytest.mark.parametrize(
    ("variable", "value", "setting"),
    [
        ("DNNL_DEFAULT_FPMATH_MODE", "STRICT", "bf16"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "STRICT", "bf16"),
        ("TORCH_MKLDNN_MATMUL_MIN_DIM", "", "threshold"),
        ("OPENBLAS_NUM_THREADS", "1", "threads"),
    ],
)
def test_what_the_unit_gets_from_elsewhere_is_left_alone(variable: str, value: str, setting: str) -> None:
    plan = plan_of(held={variable: value})
    assert setting not in tried(plan)
    assert left(plan)[setting] == f"held by the operator ({variable}={value})"


def test_a_given_number_of_threads_is_held() -> None:
    plan = plan_of(fixed_threads=3)
    assert plan.threads == ()
    assert left(plan)["threads"] == "held at 3 by the operator"


def test_a_setting_without_another_value_is_left_alone() -> None:
    machine = replace(GRAVITON3, build=replace(TORCH_2_9_1, default_threads=1))
    assert left(plan_of(machine))["threads"] == "there is no other value to try"


def test_trials_use_the_cpus_that_the_host_gives() -> None:
    assert plan_of().mask(0) == (0, 1, 2, 3)
    assert plan_of(fixed_threads=4).mask(3) == (0, 1, 2, 3)
    assert Plan(make_workload()).mask(0) is None


@given(st.integers(1, 16), st.integers(1, 16), st.integers(0, 100))
def test_with_fewer_threads_than_cpus_the_mask_is_as_wide_as_the_threads(
    cpus: int, threads: int, turn: int
) -> None:
    plan = Plan(make_workload(), cpus=tuple(range(10, 10 + cpus)), fixed_threads=threads)
    mask = plan.mask(turn)
    assert mask is not None
    assert len(set(mask)) == len(mask) == min(cpus, threads)
    assert set(mask) <= set(plan.cpus)
    assert list(mask) == sorted(mask)


@given(st.integers(1, 16), st.integers(1, 16))
def test_the_masks_of_successive_pairs_see_every_cpu(cpus: int, threads: int) -> None:
    plan = Plan(make_workload(), cpus=tuple(range(cpus)), fixed_threads=threads)
    assert {cpu for turn in range(cpus) for cpu in plan.mask(turn) or ()} == set(range(cpus))
