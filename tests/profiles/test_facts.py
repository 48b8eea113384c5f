"""Which changes make a profile stale, and which don't."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from graviton_agent.profiles.application import State
from graviton_agent.units.command_line import CommandLine
from graviton_agent.units.identity import PROCESS_FACTS
from graviton_agent.units.unit import EnvironmentSource
from tests.profiles.host import PYTHON, TORCH, AgentHost, install_torch, managed
from tests.units.services import command

Change = Callable[[AgentHost], None]


def change_unit(**facts: object) -> Change:
    def change(host: AgentHost) -> None:
        host.unit = replace(host.unit, **facts)  # type: ignore[arg-type]

    return change


def change_configuration(**options: object) -> Change:
    def change(host: AgentHost) -> None:
        host.managed = managed(**options)

    return change


def write(path: str, text: str) -> Change:
    def change(host: AgentHost) -> None:
        host.tree.write(path, text)

    return change


def become_another_instance(host: AgentHost) -> None:
    host.tree.write("sys/class/dmi/id/product_name", "c8g.xlarge\n")


def upgrade_torch(host: AgentHost) -> None:
    install_torch(host.tree, "2.10.0")


def another_build(host: AgentHost) -> None:
    """The same version with other libraries, as a vendor's wheel has them."""
    install_torch(host.tree, library="another ELF")


def remove_torch(host: AgentHost) -> None:
    (host.tree.root / TORCH[1:] / "version.py").unlink()


def set_by_the_operator(host: AgentHost) -> None:
    host.tree.write("etc/default/llm", "OMP_NUM_THREADS=2\n")
    host.unit = replace(host.unit, environment_files=(EnvironmentSource("/etc/default/llm", True),))


def run_under_env(host: AgentHost) -> None:
    host.tree.write("usr/bin/env", "\x7fELF")
    host.unit = replace(host.unit, commands=(command("/usr/bin/env", "LD_PRELOAD=/opt/jemalloc.so", PYTHON),))


STALE: list[tuple[Change, str]] = [
    (become_another_instance, "the instance type was c7g.xlarge, is c8g.xlarge"),
    (
        write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
        "the mode of transparent huge pages was madvise, is always",
    ),
    (write("proc/sys/kernel/osrelease", "6.1.0-27\n"), "the kernel was 6.1.0-26-cloud-arm64, is 6.1.0-27"),
    (upgrade_torch, "torch was 2.9.1, is 2.10.0"),
    (another_build, "the build of torch is another one"),
    (remove_torch, "torch was 2.9.1, is absent"),
    (change_configuration(batches="1"), "the workload was"),
    (change_configuration(processes=4), "the workload was"),
    (change_configuration(forbid=("huge-pages",)), "the settings that may be tried were"),
    (change_configuration(allow_bf16=False), "the settings that may be tried were"),
    (change_configuration(min_cosine=0.99), "the bounds on accuracy and memory were"),
    (change_configuration(threads=2), "the number of threads was free, is 2"),
    (change_configuration(pin={"OMP_NUM_THREADS": "2"}), "OMP_NUM_THREADS=2 is set by others now"),
    (change_configuration(python="/opt/other/bin/python"), "the interpreter was"),
    (set_by_the_operator, "OMP_NUM_THREADS=2 is set by others now"),
    (change_unit(environment=(("PYTHONPATH", "/opt/models"),)), "where the interpreter looks"),
    (change_unit(unset_environment=("OMP_NUM_THREADS",)), "UnsetEnvironment=OMP_NUM_THREADS is set"),
    (run_under_env, "where the interpreter looks"),
    (change_unit(cpu_quota=1.5), "the unit's limits were in system.slice, are in system.slice, 1.5 CPUs"),
    (change_unit(allowed_cpus=(0, 1)), "AllowedCPUs=0-1"),
    (change_unit(memory_nodes=(1,)), "AllowedMemoryNodes=1"),
    (change_unit(numa_policy=2, numa_nodes=(0,)), "NUMAMask=0, NUMA policy 2"),
    (change_unit(cpu_affinity=(3,)), "CPUAffinity=3"),
    (change_unit(memory_max=1 << 30), "MemoryMax=1073741824"),
    (change_unit(memory_high=1 << 30), "MemoryHigh=1073741824"),
    (change_unit(slice="ml.slice"), "are in ml.slice"),
    (change_unit(commands=(command(PYTHON, "-s", "-m", "app"),)), "the interpreter was"),
]


@pytest.mark.parametrize(("change", "words"), STALE)
def test_what_the_result_depends_on_makes_it_stale(host: AgentHost, change: Change, words: str) -> None:
    profile = host.profile()
    change(host)
    application = host.assess(profile).application
    assert application.state is State.STALE
    assert words in application.reason
    assert application.file is None


def reinstall_torch(host: AgentHost) -> None:
    install_torch(host.tree)


def add_scripts_to_the_record(host: AgentHost) -> None:
    """pip lists what it has compiled, and scripts whose first line names the venv."""
    path = host.tree.root / TORCH[1:].replace("/torch", "/torch-2.9.1.dist-info/RECORD")
    path.write_text(path.read_text() + "torch/__pycache__/version.cpython-311.pyc,,\n")
    host.tree.write(f"{TORCH[1:]}/version.py", (host.tree.root / TORCH[1:] / "version.py").read_text())


def load_a_drop_in(host: AgentHost) -> None:
    path = "/etc/systemd/system/llm.service.d/restart.conf"
    host.tree.write(path[1:], "[Service]\nRestart=always\n")
    host.unit = replace(host.unit, drop_in_paths=(path,))


FITS: list[Change] = [
    reinstall_torch,
    add_scripts_to_the_record,
    load_a_drop_in,
    write("proc/sys/kernel/random/boot_id", "11111111-5dd8-471b-9326-e4de21a72054\n"),
    change_configuration(budget_seconds=300.0),
    change_configuration(timeout_seconds=300.0),
    change_configuration(check=False),
    change_unit(environment=(("HOME", "/srv"), ("MODEL", "large"))),
]


@pytest.mark.parametrize("change", FITS)
def test_what_it_does_not_depend_on_leaves_it_valid(host: AgentHost, change: Change) -> None:
    profile = host.profile()
    change(host)
    assert host.assess(profile).application.state is State.APPLIED


def test_a_reinstalled_torch_gets_a_file_that_was_made_for_it(host: AgentHost) -> None:
    profile = host.profile()
    before = host.assess(profile).application.file
    install_torch(host.tree)
    after = host.assess(profile).application.file
    assert before is not None
    assert after is not None
    name = f"file {TORCH}/version.py"
    assert before.made_for[name] != after.made_for[name]


def start_with(host: AgentHost, **limits: str) -> None:
    """Lets the unit run in a control group with these limits."""
    host.tree.write("proc/100/cgroup", "0::/system.slice/llm.service\n")
    for name, text in limits.items():
        host.tree.write(f"sys/fs/cgroup/system.slice/llm.service/{name.replace('_', '.')}", text)
    host.unit = replace(host.unit, active_state="active", main_pid=100)


def test_limits_that_were_set_while_it_runs_make_it_stale(host: AgentHost) -> None:
    profile = host.profile()
    start_with(host, cpu_max="100000 100000\n")
    assert host.assess(profile).application.reason == "the CPU quota was 2 CPUs, is 1 CPU"


def test_what_only_its_processes_see_is_not_asked_of_a_unit_that_does_not_run(host: AgentHost) -> None:
    profile = host.profile()
    # This is the group that a look from outside the unit would find.
    host.tree.write("sys/fs/cgroup/system.slice/llm.service/cpu.max", "100000 100000\n")
    assert host.assess(profile).application.state is State.APPLIED


def test_a_file_says_what_the_check_compares(host: AgentHost) -> None:
    file = host.assess(host.profile()).application.file
    assert file is not None
    names = list(file.made_for)
    assert names[:4] == ["boot", "cpu", "instance", "thp"]
    assert f"file {TORCH}/lib/libtorch_cpu.so" in names
    assert file.made_for["file /etc/systemd/system/llm.service.d"] == "absent"


def test_facts_that_only_the_units_processes_see_are_left_to_the_agent(host: AgentHost) -> None:
    file = host.assess(host.profile()).application.file
    assert file is not None
    assert set(file.made_for).isdisjoint(PROCESS_FACTS)


def test_within_a_root_directory_the_files_are_those_of_the_host(host: AgentHost) -> None:
    for path in (PYTHON, f"{TORCH}/version.py", f"{TORCH}/lib/libtorch_cpu.so"):
        host.tree.write(f"srv/root{path}", "__version__ = '2.9.1'")
    host.unit = replace(
        host.unit, root_directory="/srv/root", commands=(CommandLine(PYTHON, (PYTHON,), frozenset()),)
    )
    assert host.profile().fingerprint.local["location"] == f"/srv/root{TORCH}"


def test_a_torch_without_a_list_of_its_files_is_told_by_their_sizes(host: AgentHost) -> None:
    record = host.tree.root / TORCH[1:].replace("/torch", "/torch-2.9.1.dist-info/RECORD")
    record.unlink()
    profile = host.profile()
    host.tree.write(f"{TORCH[1:]}/lib/libtorch_cpu.so", "a longer ELF")
    assert host.assess(profile).application.reason == "the build of torch is another one"


def test_the_shared_part_names_nothing_of_this_host(host: AgentHost) -> None:
    shared = host.profile().fingerprint.shared
    assert not [text for text in shared.values() if "/opt" in text or "/etc" in text]
