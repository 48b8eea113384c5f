"""The whole host, from a tree."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graviton_agent.host import Host, Verdict, read_host
from graviton_agent.report.host import render
from graviton_agent.root import Root
from tests.host.machines import EC2, N1, V1, V2, block, cpuinfo, machine, smbios_processor, write, x86_cpuinfo

NAMES = (
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/self/cgroup",
    "proc/sys/kernel/osrelease",
    "proc/device-tree/model",
    "sys/class/dmi/id/sys_vendor",
    "sys/class/dmi/id/product_name",
    "sys/firmware/dmi/tables/DMI",
    "sys/devices/system/cpu/online",
    "sys/devices/system/cpu/cpu0/cache/index0/level",
    "sys/devices/system/cpu/cpu0/cache/index0/size",
    "sys/devices/system/node/node0/cpulist",
    "sys/fs/cgroup/cpu.max",
    "sys/kernel/mm/transparent_hugepage/enabled",
    "sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
)
CONTENTS = st.binary(max_size=300) | st.sampled_from(
    [b"0", b"-1", b"0-3", b"9" * 4000, b"9" * 20, b"1K", b"max 1"]
)


def test_a_graviton_is_read_from_its_tree(tmp_path: Path) -> None:
    host = read_host(machine(tmp_path, part=V1, cpus=4, product="c7gn.xlarge"))
    assert (host.verdict, host.generation, host.product) == (Verdict.GRAVITON, 3, "Graviton3E")
    assert (host.instance_type, host.core, host.vcpus) == ("c7gn.xlarge", "Neoverse V1", 4)
    assert (host.implementer, host.part, host.revision) == ("0x41", "0xd40", "r1p1")
    assert (host.architecture, host.bf16, host.sve_bits) == ("aarch64", True, 256)


def test_smbios_counts_where_it_is_readable(tmp_path: Path) -> None:
    root = machine(tmp_path, part=V1, product="c7g.large")
    write(tmp_path, "sys/firmware/dmi/tables/DMI", smbios_processor("AWS Graviton2", "AWS Graviton2"))
    assert read_host(root).verdict is Verdict.UNKNOWN


def test_an_empty_tree_is_unknown_and_everything_else_is_absent(tmp_path: Path) -> None:
    host = read_host(Root(tmp_path))
    assert host.verdict is Verdict.UNKNOWN
    given_fields = {"verdict", "reason", "evidence"}
    rest = {field.name: getattr(host, field.name) for field in dataclasses.fields(host)}
    assert {name for name, value in rest.items() if value} == given_fields


def test_a_missing_sys_leaves_the_verdict_unknown(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", cpuinfo(V1, V1))
    assert read_host(Root(tmp_path)).verdict is Verdict.UNKNOWN


def test_another_machines_architecture_is_that_of_its_tree(tmp_path: Path) -> None:
    write(tmp_path / "arm", "proc/cpuinfo", cpuinfo(V1))
    write(tmp_path / "x86", "proc/cpuinfo", x86_cpuinfo())
    architectures = [read_host(Root(tmp_path / name)).architecture for name in ("arm", "x86")]
    assert architectures == ["aarch64", "x86_64"]


def test_another_machines_evidence_has_nothing_of_this_machines_uname(tmp_path: Path) -> None:
    sources = {evidence.source for evidence in read_host(machine(tmp_path)).evidence}
    assert "uname -m" not in sources


def test_the_last_cpu_counts_as_much_as_the_first(tmp_path: Path) -> None:
    root = machine(tmp_path, product="c7g.metal")
    write(tmp_path, "proc/cpuinfo", cpuinfo(*[V1] * 4095, V2))
    host = read_host(root)
    assert (host.verdict, host.core, host.part, host.sve_bits) == (Verdict.UNKNOWN, None, None, None)


def test_thousands_of_cpus_make_a_graviton_too(tmp_path: Path) -> None:
    host = read_host(machine(tmp_path, part=V2, cpus=4096, product="x8g.metal"))
    assert (host.verdict, host.vcpus) == (Verdict.GRAVITON, 4096)


def test_bf16_needs_the_flag_in_every_block(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", block(0) + block(1, features="fp asimd sve"))
    assert read_host(Root(tmp_path)).bf16 is False


@pytest.mark.parametrize(
    ("flags", "bf16"), [("fpu avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)]
)
def test_bf16_on_x86_is_avx512_or_amx(tmp_path: Path, flags: str, bf16: bool) -> None:
    write(tmp_path, "proc/cpuinfo", x86_cpuinfo(flags=flags))
    assert read_host(Root(tmp_path)).bf16 is bf16


@pytest.mark.parametrize(("part", "bits"), [(N1, None), (V1, 256), (V2, 128), (0xD84, 128), (0xD49, None)])
def test_sve_bits_are_known_by_the_core(tmp_path: Path, part: int, bits: int | None) -> None:
    write(tmp_path, "proc/cpuinfo", cpuinfo(part))
    assert read_host(Root(tmp_path)).sve_bits == bits


def test_sve_bits_are_not_known_where_the_kernel_hides_sve(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", cpuinfo(V1, features="fp asimd bf16"))
    assert read_host(Root(tmp_path)).sve_bits is None


def test_cpus_of_another_machine_are_those_online_there(tmp_path: Path) -> None:
    root = machine(tmp_path, cpus=1)
    write(tmp_path, "sys/devices/system/cpu/online", "0-63\n")
    host = read_host(root)
    assert (host.vcpus, host.usable_cpus) == (64, tuple(range(64)))


def test_the_control_groups_of_another_machine_hold_there(tmp_path: Path) -> None:
    root = machine(tmp_path, cpus=8)
    write(tmp_path, "proc/self/cgroup", "0::/app.slice\n")
    write(tmp_path, "sys/fs/cgroup/app.slice/cpuset.cpus.effective", "4-7\n")
    write(tmp_path, "sys/fs/cgroup/app.slice/cpu.max", "250000 100000\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "1073741824\n")
    host = read_host(root)
    assert (host.usable_cpus, host.cpu_quota, host.memory_limit) == ((4, 5, 6, 7), 2.5, 1 << 30)


def test_this_machine_has_cpus_memory_and_a_kernel() -> None:
    host = read_host(Root("/"))
    assert set(host.usable_cpus) == os.sched_getaffinity(0)
    assert host.memory_total
    assert host.kernel_release == os.uname().release
    assert host.architecture == os.uname().machine


def test_a_fifo_in_place_of_a_file_is_as_good_as_absent(tmp_path: Path) -> None:
    root = machine(tmp_path)
    for name in ("proc/cpuinfo", "sys/class/dmi/id/sys_vendor"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
    assert read_host(root).verdict is Verdict.UNKNOWN


def test_a_folder_in_place_of_a_file_is_as_good_as_absent(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (tmp_path / "proc/cpuinfo").unlink()
    (tmp_path / "proc/cpuinfo").mkdir()
    assert read_host(root).verdict is Verdict.UNKNOWN


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    graviton = machine(tmp_path / "graviton")
    (tmp_path / "tree/proc").mkdir(parents=True)
    (tmp_path / "tree/proc/cpuinfo").symlink_to(graviton.path / "proc/cpuinfo")
    (tmp_path / "tree/sys").symlink_to("../graviton/sys")
    host = read_host(Root(tmp_path / "tree"))
    assert (host.vcpus, host.instance_type) == (None, None)


def test_a_link_within_the_tree_is_followed_as_in_sysfs(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (tmp_path / "sys/devices/virtual").mkdir(parents=True)
    (tmp_path / "sys/class/dmi").rename(tmp_path / "sys/devices/virtual/dmi")
    (tmp_path / "sys/class/dmi").mkdir()
    (tmp_path / "sys/class/dmi/id").symlink_to("../../devices/virtual/dmi/id")
    assert read_host(root).verdict is Verdict.GRAVITON


def test_a_file_that_nobody_may_read_is_as_good_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine(tmp_path)
    vendor = str((tmp_path / "sys/class/dmi/id/sys_vendor").resolve())
    really_open = os.open

    def refuse(path: str, flags: int) -> int:
        # The tests may run as root, whom no file mode stops.
        if path == vendor:
            raise PermissionError(13, "Permission denied", path)
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    assert read_host(root).verdict is Verdict.UNKNOWN


def test_the_json_form_has_the_facts_and_survives_json(tmp_path: Path) -> None:
    facts = json.loads(json.dumps(read_host(machine(tmp_path)).to_json()))
    assert facts["verdict"] == "graviton"
    assert facts["evidence"][1] == {
        "source": "/sys/class/dmi/id/sys_vendor",
        "value": EC2,
        "says": "an EC2 instance",
    }
    assert set(facts) == {field.name for field in dataclasses.fields(Host)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(NAMES), CONTENTS))
def test_any_bytes_in_any_file_give_a_host_that_is_no_graviton(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    for name in NAMES:
        write(tmp_path, name, files.get(name, b""))
    host = read_host(Root(tmp_path))
    assert host.verdict is not Verdict.GRAVITON
    json.dumps(host.to_json())
    render(host)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), content=CONTENTS)
def test_any_bytes_in_one_file_of_a_graviton_give_no_other_generation(
    tmp_path: Path, name: str, content: bytes
) -> None:
    root = machine(tmp_path, part=V1, product="c7g.large")
    for absent in NAMES:
        if absent not in {"proc/cpuinfo", "sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name"}:
            (tmp_path / absent).unlink(missing_ok=True)
    write(tmp_path, name, content)
    host = read_host(root)
    assert host.generation in {3, None}
    assert all((evidence.value or "").isprintable() for evidence in host.evidence)
