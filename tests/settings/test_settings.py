"""What each setting says of hosts and torch builds: whether it can have an effect there, and what to try."""

from dataclasses import replace
from typing import Any

import pytest

from graviton_agent.host import Host, NumaNode
from graviton_agent.settings.catalogue import setting_named
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload, make_workload
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0, TORCH_2_13_0_X86
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

GRAVITON3 = Machine(3, 4, "madvise", TORCH_2_9_1)


def host(machine: Machine = GRAVITON3, **changes: Any) -> Host:
    """The host of a machine, with some facts changed."""
    return replace(host_of(machine), **changes)


def without(build: TorchBuild, marker: str) -> TorchBuild:
    """A build that does not read a variable."""
    return replace(build, variables=tuple(name for name in build.variables if name != marker))


def possible(name: str, build: TorchBuild, there: Host | None = None) -> bool:
    """Whether a setting can have an effect."""
    return setting_named(name).applies(there or host(), build).possible


def why(name: str, build: TorchBuild, there: Host | None = None) -> str:
    """What is printed about it."""
    return setting_named(name).applies(there or host(), build).why


def candidates(
    name: str, there: Host, build: TorchBuild = TORCH_2_9_1, workload: Workload | None = None
) -> tuple[str, ...]:
    """The values to try."""
    return setting_named(name).candidates(there, build, workload or make_workload())


# bf16 fast math


@pytest.mark.parametrize("build", [TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0])
def test_fast_math_may_work_where_acl_meets_bf16_instructions(build: TorchBuild) -> None:
    assert possible("bf16", build)


def test_fast_math_is_dead_on_a_graviton2() -> None:
    graviton2 = host_of(Machine(2, 4, "madvise", TORCH_2_9_1))
    assert "no bf16 instructions" in why("bf16", TORCH_2_9_1, graviton2)
    assert not possible("bf16", TORCH_2_9_1, graviton2)


def test_fast_math_is_dead_without_acl_on_arm() -> None:
    assert not possible("bf16", replace(TORCH_2_9_1, acl=False))
    assert "Arm Compute Library" in why("bf16", replace(TORCH_2_9_1, acl=False))


def test_fast_math_is_dead_without_onednn() -> None:
    assert not possible("bf16", replace(TORCH_2_13_0_X86, onednn=None))
    assert "oneDNN" in why("bf16", replace(TORCH_2_13_0_X86, onednn=None))


def test_fast_math_on_x86_is_for_trials_to_show() -> None:
    assert possible("bf16", TORCH_2_13_0_X86, host_of(Machine(None, 2, "madvise", TORCH_2_13_0_X86)))


def test_fast_math_is_tried_in_one_way() -> None:
    assert candidates("bf16", host()) == ("BF16",)
    assert setting_named("bf16").aliases == ("ONEDNN_DEFAULT_FPMATH_MODE",)
    assert setting_named("bf16").changes_results


# Huge pages


@pytest.mark.parametrize("build", [TORCH_2_9_1, TORCH_2_13_0_X86])
def test_huge_pages_may_work_where_torch_allocates_by_malloc(build: TorchBuild) -> None:
    assert possible("huge-pages", build)
    assert candidates("huge-pages", host(), build) == ("1",)


def test_huge_pages_are_found_by_the_allocator_not_by_the_version() -> None:
    assert not possible("huge-pages", replace(TORCH_2_9_1, allocator="mimalloc"))
    assert possible("huge-pages", replace(TORCH_2_13_0, allocator="malloc"))


def test_huge_pages_are_dead_where_torch_allocates_by_mimalloc() -> None:
    assert "mimalloc" in why("huge-pages", TORCH_2_10_0)


def test_huge_pages_are_dead_where_torch_never_reads_the_variable() -> None:
    old = without(TORCH_2_9_1, "THP_MEM_ALLOC_ENABLE")
    assert not possible("huge-pages", old)
    assert "does not read it" in why("huge-pages", old)


@pytest.mark.parametrize(
    ("mode", "words"), [("always", "unasked"), ("never", "off on this host"), (None, "no transparent")]
)
def test_huge_pages_are_dead_where_the_host_decides(mode: str | None, words: str) -> None:
    there = host(thp_mode=mode)
    assert not possible("huge-pages", TORCH_2_9_1, there)
    assert words in why("huge-pages", TORCH_2_9_1, there)


@pytest.mark.parametrize(
    ("build", "alive"),
    [
        (TORCH_2_9_1, []),
        (TORCH_2_10_0, ["mimalloc-large-pages"]),
        (TORCH_2_13_0, ["mimalloc-thp"]),
        (TORCH_2_13_0_X86, []),
    ],
)
def test_mimallocs_variable_is_the_one_that_its_version_has(build: TorchBuild, alive: list[str]) -> None:
    names = ("mimalloc-thp", "mimalloc-large-pages")
    assert [name for name in names if possible(name, build)] == alive


@pytest.mark.parametrize(
    ("mode", "alive"), [("always", True), ("madvise", True), ("never", False), (None, False)]
)
def test_mimalloc_can_be_told_not_to_ask_where_the_host_would_give(mode: str | None, alive: bool) -> None:
    there = host(thp_mode=mode)
    assert possible("mimalloc-thp", TORCH_2_13_0, there) is alive
    assert possible("mimalloc-large-pages", TORCH_2_10_0, there) is alive


def test_mimalloc_is_only_ever_told_not_to_ask() -> None:
    assert candidates("mimalloc-thp", host(), TORCH_2_13_0) == ("0",)
    assert candidates("mimalloc-large-pages", host(), TORCH_2_10_0) == ("0",)


def test_a_mimalloc_without_options_is_left_alone() -> None:
    bare = without(TORCH_2_10_0, "allow_large_os_pages")
    assert not possible("mimalloc-large-pages", bare)
    assert not possible("mimalloc-thp", bare)


# The matmul threshold


@pytest.mark.parametrize("build", [TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0, TORCH_2_13_0_X86])
def test_the_threshold_may_work_where_there_are_two_backends(build: TorchBuild) -> None:
    assert possible("threshold", build)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (replace(TORCH_2_9_1, onednn=None), "without oneDNN"),
        (replace(TORCH_2_9_1, acl=False), "without the Arm Compute Library"),
        (without(TORCH_2_9_1, "TORCH_MKLDNN_MATMUL_MIN_DIM"), "does not read it"),
    ],
)
def test_the_threshold_is_dead_without_a_choice_or_a_reader(build: TorchBuild, words: str) -> None:
    assert not possible("threshold", build)
    assert words in why("threshold", build)


def test_the_threshold_is_tried_at_each_dimension_that_occurs() -> None:
    assert candidates("threshold", host()) == ("10", "32", "256")
    # torch's own threshold may be 8: below that, the value under all of them too.
    assert candidates("threshold", host(), workload=make_workload(batches="4,32")) == ("3", "4", "10", "32")
    assert candidates("threshold", host(), workload=make_workload(batches="1,8")) == ("0", "1", "8")
    wide = make_workload(layers="64x512,512x512", batches="128,1024")
    assert candidates("threshold", host(), workload=wide) == ("64", "128", "512")


# Threads


def test_threads_are_left_alone_on_one_cpu() -> None:
    build = replace(TORCH_2_9_1, default_threads=1)
    single = host_of(Machine(3, 1, "madvise", build))
    assert not possible("threads", build, single)
    assert "one CPU" in why("threads", build, single)


def test_threads_come_from_the_cpus_that_are_usable_not_from_those_of_the_host() -> None:
    pinned = host(vcpus=64, usable_cpus=(4, 5, 6, 7))
    assert candidates("threads", pinned) == ("2",)


def test_torch_that_starts_more_threads_than_its_cpus_is_tried_with_as_many() -> None:
    # Without MKL it counts the CPUs of the machine.
    build = replace(TORCH_2_9_1, default_threads=64)
    assert candidates("threads", host(vcpus=64, usable_cpus=(4, 5, 6, 7)), build) == ("4", "2")
    alone = host(vcpus=64, usable_cpus=(4,))
    assert candidates("threads", alone, build) == ("1",)
    assert "64 threads, usable CPUs: 1" in why("threads", build, alone)


def test_half_of_the_cpus_is_tried() -> None:
    many = replace(TORCH_2_9_1, default_threads=64)
    assert candidates("threads", host_of(Machine(4, 64, "madvise", many)), many) == ("32",)


def test_as_many_threads_as_the_quota_pays_for_are_tried() -> None:
    build = replace(TORCH_2_9_1, default_threads=16)
    there = replace(host_of(Machine(3, 16, "madvise", build)), cpu_quota=3.5)
    assert candidates("threads", there, build) == ("8", "3")


def test_no_threads_at_all_are_never_tried() -> None:
    assert candidates("threads", host(cpu_quota=0.5)) == ("2",)


def test_the_threads_of_one_numa_node_are_tried() -> None:
    build = replace(TORCH_2_9_1, default_threads=6)
    nodes = tuple(NumaNode(number, (2 * number, 2 * number + 1)) for number in range(3))
    there = host(usable_cpus=tuple(range(6)), numa_nodes=nodes)
    assert candidates("threads", there, build) == ("3", "2")


def test_what_torch_starts_by_itself_is_no_candidate() -> None:
    assert candidates("threads", host(), replace(TORCH_2_9_1, default_threads=2)) == ()
