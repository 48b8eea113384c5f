"""Reading the limits of control groups."""

from pathlib import Path

import pytest

from graviton_agent.host.cgroup import Limits, own_cgroups, read_limits
from graviton_agent.root import Root
from tests.host.machines import write

V2 = "sys/fs/cgroup"
MIB = 1024 * 1024


def test_an_absent_hierarchy_limits_nothing(tmp_path: Path) -> None:
    assert read_limits(Root(tmp_path), "/any") == Limits(cpu_quota=None, cpus=None, memory=None)


def test_version_2_limits_are_read(tmp_path: Path) -> None:
    group = f"{V2}/system.slice/app.service"
    write(tmp_path, f"{group}/cpu.max", "150000 100000\n")
    write(tmp_path, f"{group}/cpuset.cpus.effective", "2-3\n")
    write(tmp_path, f"{group}/memory.max", f"{512 * MIB}\n")
    limits = read_limits(Root(tmp_path), "/system.slice/app.service")
    assert limits == Limits(cpu_quota=1.5, cpus=(2, 3), memory=512 * MIB)


def test_version_2_says_max_for_no_limit(tmp_path: Path) -> None:
    write(tmp_path, f"{V2}/app/cpu.max", "max 100000\n")
    write(tmp_path, f"{V2}/app/memory.max", "max\n")
    assert read_limits(Root(tmp_path), "/app") == Limits(cpu_quota=None, cpus=None, memory=None)


def test_the_smallest_limit_on_the_way_to_the_root_wins(tmp_path: Path) -> None:
    for group, quota, memory in (("", 800, 900), ("/a", 200, 700), ("/a/b", 400, 800)):
        write(tmp_path, f"{V2}{group}/cpu.max", f"{quota} 100\n")
        write(tmp_path, f"{V2}{group}/memory.max", f"{memory}\n")
    assert read_limits(Root(tmp_path), "/a/b") == Limits(cpu_quota=2.0, cpus=None, memory=700)


def test_a_groups_limit_does_not_bind_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, f"{V2}/a/cpu.max", "100 100\n")
    assert read_limits(Root(tmp_path), "/b").cpu_quota is None


def test_the_nearest_groups_cpus_count_for_a_partition_takes_them_from_those_above(tmp_path: Path) -> None:
    write(tmp_path, f"{V2}/cpuset.cpus.effective", "0-1\n")
    write(tmp_path, f"{V2}/a/cpuset.cpus.effective", "2-3\n")
    assert read_limits(Root(tmp_path), "/a/b").cpus == (2, 3)


def test_the_throttling_limit_of_memory_counts_as_well(tmp_path: Path) -> None:
    write(tmp_path, f"{V2}/a/memory.max", "900\n")
    write(tmp_path, f"{V2}/a/memory.high", "800\n")
    assert read_limits(Root(tmp_path), "/a").memory == 800


def test_version_1_limits_are_read(tmp_path: Path) -> None:
    write(tmp_path, f"{V2}/cpu/app/cpu.cfs_quota_us", "50000\n")
    write(tmp_path, f"{V2}/cpu/app/cpu.cfs_period_us", "100000\n")
    write(tmp_path, f"{V2}/cpuset/app/cpuset.effective_cpus", "1\n")
    write(tmp_path, f"{V2}/memory/app/memory.limit_in_bytes", f"{64 * MIB}\n")
    assert read_limits(Root(tmp_path), "/app") == Limits(cpu_quota=0.5, cpus=(1,), memory=64 * MIB)


@pytest.mark.parametrize("page_size", [4096, 65536])
def test_version_1_says_no_limit_with_an_enormous_number(tmp_path: Path, page_size: int) -> None:
    write(tmp_path, f"{V2}/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, f"{V2}/cpu/cpu.cfs_period_us", "100000\n")
    write(tmp_path, f"{V2}/memory/memory.limit_in_bytes", f"{(2**63 - 1) // page_size * page_size}\n")
    assert read_limits(Root(tmp_path), "/") == Limits(cpu_quota=None, cpus=None, memory=None)


def test_a_path_per_controller_is_followed_in_each_hierarchy(tmp_path: Path) -> None:
    write(tmp_path, f"{V2}/memory/docker/x/memory.limit_in_bytes", "1000\n")
    write(tmp_path, f"{V2}/unified/user.slice/cpu.max", "300 100\n")
    limits = read_limits(Root(tmp_path), {"memory": "/docker/x", "": "/user.slice"})
    assert limits == Limits(cpu_quota=3.0, cpus=None, memory=1000)


def test_a_container_that_sees_the_hosts_path_has_its_own_limits_at_the_root(tmp_path: Path) -> None:
    write(tmp_path, f"{V2}/memory/memory.limit_in_bytes", "1000\n")
    assert read_limits(Root(tmp_path), {"memory": "/docker/0123456789ab"}).memory == 1000


@pytest.mark.parametrize(
    "value", ["", "max", "0 100000", "100 0", "1e5 100000", "-1 100", "100", "٣ ٣", "9" * 4000]
)
def test_what_is_no_quota_limits_nothing(tmp_path: Path, value: str) -> None:
    write(tmp_path, f"{V2}/cpu.max", value)
    assert read_limits(Root(tmp_path), "/").cpu_quota is None


@pytest.mark.parametrize("path", ["/../other", "/" + "a/" * 1000, "", "relative/path", "/a\x00b"])
def test_a_strange_path_still_has_the_roots_limits(tmp_path: Path, path: str) -> None:
    write(tmp_path, f"{V2}/memory.max", "1000\n")
    assert read_limits(Root(tmp_path), path).memory == 1000


def test_a_processs_groups_are_read_for_every_controller(tmp_path: Path) -> None:
    write(
        tmp_path, "proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/b:c\n1:name=systemd:/d\n0::/e\ngarbage\n"
    )
    assert own_cgroups(Root(tmp_path)) == {
        "cpu": "/a", "cpuacct": "/a", "memory": "/b:c", "name=systemd": "/d", "": "/e",
    }  # fmt: skip
