"""Reading CPUs, caches and NUMA nodes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.host.cpulist import format_cpu_list, parse_cpu_list
from graviton_agent.host.cpus import (
    Cache,
    NumaNode,
    read_caches,
    read_numa_nodes,
    read_online_cpus,
    read_threads_per_core,
)
from graviton_agent.root import Root
from tests.host.machines import write

CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3\n", (0, 1, 2, 3)), ("0,2,4-5", (0, 2, 4, 5)), ("7", (7,)), ("", ()), ("\n", ()), ("0-0", (0,))],
)
def test_the_kernels_notation_is_read(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    "text", ["3-1", "a", "-1", "0-", "0-3-5", "1,1", "2,0", "0-3,2", "0-99999999999", "65536", "0 1", "٣"]
)
def test_what_the_kernel_would_not_print_is_no_list(text: str) -> None:
    assert parse_cpu_list(text) is None


@given(st.sets(st.integers(0, 8191), max_size=200))
def test_any_set_of_cpus_comes_back_from_its_notation(cpus: set[int]) -> None:
    assert parse_cpu_list(format_cpu_list(cpus)) == tuple(sorted(cpus))


@given(st.text(alphabet="0123456789,-\n ", max_size=40))
def test_any_text_is_a_list_or_none(text: str) -> None:
    cpus = parse_cpu_list(text)
    assert cpus is None or list(cpus) == sorted(set(cpus))


def test_cpus_that_are_offline_are_not_online(tmp_path: Path) -> None:
    write(tmp_path, f"{CPU}/online", "0,2-3\n")
    assert read_online_cpus(Root(tmp_path)) == (0, 2, 3)


def test_a_kernel_that_does_not_tell_has_no_cpus_online(tmp_path: Path) -> None:
    assert read_online_cpus(Root(tmp_path)) == ()


def test_thousands_of_scattered_cpus_are_read(tmp_path: Path) -> None:
    write(tmp_path, f"{CPU}/online", ",".join(str(cpu) for cpu in range(0, 8192, 2)))
    assert len(read_online_cpus(Root(tmp_path))) == 4096


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
def test_threads_per_core_are_the_cpus_that_share_the_core(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{CPU}/cpu0/topology/{name}", "0,64\n")
    assert read_threads_per_core(Root(tmp_path), 0) == 2


def test_a_cache_has_level_kind_size_and_who_shares_it(tmp_path: Path) -> None:
    values = {"level": "3", "type": "Unified", "size": "32768K", "shared_cpu_list": "0-63"}
    for name, value in values.items():
        write(tmp_path, f"{CPU}/cpu0/cache/index3/{name}", value + "\n")
    assert read_caches(Root(tmp_path), 0) == (
        Cache(level=3, kind="Unified", size=32 * 1024 * 1024, cpus=tuple(range(64))),
    )


def test_a_cache_without_a_size_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, f"{CPU}/cpu0/cache/index0/level", "1\n")
    write(tmp_path, f"{CPU}/cpu0/cache/uevent", "")
    assert read_caches(Root(tmp_path), 0) == ()


def test_numa_nodes_come_in_numerical_order(tmp_path: Path) -> None:
    for number, cpus in ((0, "0-1"), (2, "4-5"), (10, "")):
        write(tmp_path, f"{NODE}/node{number}/cpulist", cpus + "\n")
    write(tmp_path, f"{NODE}/online", "0,2,10\n")
    assert read_numa_nodes(Root(tmp_path)) == (NumaNode(0, (0, 1)), NumaNode(2, (4, 5)), NumaNode(10, ()))
