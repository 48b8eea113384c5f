"""The check just before a unit's start, run as the drop-in runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graviton_agent.installed import ENVIRONMENT
from graviton_agent.units.identity import Observer, differences, observe, torch_facts
from tests.configuration.tree import PROGRAMS, Tree
from tests.units.machine import GROUP, TORCH, graviton3

FOLDER = ENVIRONMENT[1:]
SOURCE = PROGRAMS.parent / "agent"


def test_facts_are_seen_where_the_kernel_and_the_firmware_show_them(tree: Tree) -> None:
    seen = graviton3(tree).make_file().made_for
    assert seen["boot"] == "69d49106-5dd8-471b-9326-e4de21a72054"
    assert seen["cpu"] == "0x41:0xd40:0x1:1"
    assert seen["instance"] == "c7g.xlarge"
    assert seen["thp"] == "madvise"
    assert seen["quota"] == "2000"
    assert seen["memory"] == "8589934592"
    assert int(seen["cpus"], 16) == sum(1 << cpu for cpu in os.sched_getaffinity(0))


def test_what_a_machine_lacks_is_none(tree: Tree) -> None:
    names = ("boot", "cpu", "instance", "thp", "quota", "memory")
    assert observe(names, Observer(str(tree.root))) == dict.fromkeys(names, "none")
    (version, _) = torch_facts("/nowhere")
    assert Observer(str(tree.root)).see(version) == "absent"


def test_another_process_is_seen_in_its_own_control_group(tree: Tree) -> None:
    graviton3(tree)
    tree.write(f"proc/{os.getpid()}/cgroup", "0::/\n")
    assert Observer(str(tree.root), os.getpid()).see("quota") == "none"


def test_the_smallest_limit_of_the_group_and_those_above_it_counts(tree: Tree) -> None:
    machine = graviton3(tree)
    tree.write("sys/fs/cgroup/system.slice/cpu.max", "150000 100000\n")
    tree.write(f"{GROUP}/memory.high", "1024\n")
    assert machine.observer.see("quota") == "1500"
    assert machine.observer.see("memory") == "1024"


def test_a_fact_that_this_version_does_not_know_is_no_fact(tree: Tree) -> None:
    assert Observer(str(tree.root)).see("weather") is None
    with pytest.raises(KeyError):
        observe(["weather"], Observer(str(tree.root)))
    assert differences({"weather": "fine"}, Observer(str(tree.root))) == [
        "'weather' is not known to this version"
    ]


def test_a_file_that_fits_stays_and_nothing_is_said(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file()
    assert machine.check() == ""
    assert machine.has_file()


def test_a_unit_without_a_file_is_fine(tree: Tree) -> None:
    assert graviton3(tree).check() == ""


def change(path: str, text: str) -> Callable[[Tree], None]:
    def apply(tree: Tree) -> None:
        tree.write(path, text)

    return apply


def upgrade_torch(tree: Tree) -> None:
    """Puts a file of the same size and time in the place of the old one."""
    path = tree.root / TORCH[1:] / "version.py"
    old = path.stat()
    new = tree.write(f"{TORCH[1:]}/version.new", path.read_bytes())
    os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
    new.rename(path)


def remove_torch(tree: Tree) -> None:
    (tree.root / TORCH[1:] / "lib/libtorch_cpu.so").unlink()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (change("proc/sys/kernel/random/boot_id", "00000000-0000\n"), "boot was 69d49106"),
        (change("proc/cpuinfo", "CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n"), "is 0x41:0xd4f"),
        (change("sys/class/dmi/id/product_name", "c8g.xlarge\n"), "instance was c7g.xlarge, is c8g.xlarge"),
        (change("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"), "is always"),
        (change(f"{GROUP}/cpu.max", "max 100000\n"), "quota was 2000, is none"),
        (change("sys/fs/cgroup/system.slice/memory.max", "1048576\n"), "is 1048576"),
        (
            change(f"{TORCH[1:]}/version.py", "__version__ = '2.10.0'\n"),
            f"file {TORCH}/version.py has changed",
        ),
        (upgrade_torch, f"file {TORCH}/version.py has changed"),
        (remove_torch, f"file {TORCH}/lib/libtorch_cpu.so has changed"),
    ],
)
def test_a_file_is_withdrawn_when_a_fact_has_changed(
    tree: Tree, changed: Callable[[Tree], None], reason: str
) -> None:
    machine = graviton3(tree)
    machine.make_file()
    changed(tree)
    said = machine.check()
    assert said.startswith("<5>graviton-agent: withdrew the environment of llm.service: ")
    assert reason in said
    assert said.count("\n") == 1
    assert not machine.has_file()


def test_a_mask_of_cpus_that_has_changed_is_noticed(tree: Tree) -> None:
    machine = graviton3(tree)
    file = machine.make_file()
    path = tree.root / FOLDER / "llm.service.env"
    path.write_text(path.read_text().replace(f"cpus = {file.made_for['cpus']}", "cpus = 10000000"))
    assert "cpus was 10000000" in machine.check()


def test_a_new_owner_or_mode_of_torchs_files_is_no_other_torch(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file()
    (tree.root / TORCH[1:] / "version.py").chmod(0o600)
    assert machine.check() == ""
    assert machine.has_file()


def test_an_instances_start_checks_its_templates_file_and_its_own(tree: Tree) -> None:
    machine = graviton3(tree)
    for unit in ("llm@.service", "llm@1.service", "llm@2.service"):
        machine.make_file(unit)
    tree.write("sys/class/dmi/id/product_name", "c8g.xlarge\n")
    assert machine.check("llm@1.service").count("withdrew") == 2
    assert [machine.has_file(f"llm@{name}.service") for name in ("", "1", "2")] == [False, False, True]


def test_that_of_an_instance_on_its_own_checks_its_own_file_alone(tree: Tree) -> None:
    machine = graviton3(tree)
    for unit in ("llm@.service", "llm@1.service"):
        machine.make_file(unit)
    tree.write("sys/class/dmi/id/product_name", "c8g.xlarge\n")
    assert machine.check("--alone", "llm@1.service").count("withdrew") == 1
    assert [machine.has_file(f"llm@{name}.service") for name in ("", "1")] == [True, False]


def test_a_name_with_a_backslash_is_checked(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file("a-b\\x2dc.service")
    remove_torch(tree)
    machine.check("a-b\\x2dc.service")
    assert not machine.has_file("a-b\\x2dc.service")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"OMP_NUM_THREADS=4\n",
        b"# graviton-agent environment 2\n",
        b"# graviton-agent environment 1\n# unit other.service\n# made for boot = 1\nOMP_NUM_THREADS=4\n",
        b"# graviton-agent environment 1\n# unit llm.service\nOMP_NUM_THREADS=4\n",
        b"# graviton-agent environment 1\n# unit llm.service\n# made for nothing\n",
        b"# graviton-agent environment 1\n# unit llm.service\n# made for weather = fine\n",
        b"#" * 70_000,
    ],
)
def test_what_does_not_say_what_it_was_made_for_is_withdrawn(tree: Tree, content: bytes) -> None:
    machine = graviton3(tree)
    tree.write(f"{FOLDER}/llm.service.env", content)
    assert machine.check() != ""
    assert not machine.has_file()


def test_a_file_that_others_may_write_is_withdrawn(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file()
    (tree.root / FOLDER / "llm.service.env").chmod(0o666)
    assert "not a file that the agent wrote" in machine.check()
    assert not machine.has_file()


def test_a_link_is_withdrawn_and_what_it_leads_to_stays(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file("other.service")
    target = tree.root / FOLDER / "other.service.env"
    (tree.root / FOLDER / "llm.service.env").symlink_to(target)
    machine.check()
    assert not machine.has_file()
    assert target.exists()


def test_a_fifo_is_withdrawn_and_not_waited_for(tree: Tree) -> None:
    machine = graviton3(tree)
    (tree.root / FOLDER).mkdir(parents=True)
    os.mkfifo(tree.root / FOLDER / "llm.service.env")
    machine.check()
    assert not machine.has_file()


def test_a_folder_that_is_a_link_is_left_alone(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file()
    (tree.root / FOLDER).rename(tree.root / "elsewhere")
    tree.link(FOLDER, str(tree.root / "elsewhere"))
    remove_torch(tree)
    assert machine.check() == ""
    assert machine.has_file()


@pytest.mark.parametrize("name", ["../llm.service", "llm", "", "a/../llm.service"])
def test_what_is_no_name_of_a_service_is_left_alone(tree: Tree, name: str) -> None:
    machine = graviton3(tree)
    machine.make_file()
    remove_torch(tree)
    assert machine.check(name) == ""
    assert machine.has_file()


@pytest.mark.parametrize(
    "instead",
    ["import time; time.sleep(600)", "raise OSError", "raise MemoryError", "import os; os._exit(0)"],
)
def test_a_comparison_that_hangs_or_fails_counts_as_a_difference(tree: Tree, instead: str) -> None:
    machine = graviton3(tree)
    machine.make_file()
    code = (
        "import sys\n"
        "from graviton_agent.units import check\n"
        f"def differences(made_for, observer): {instead}\n"
        "check.differences = differences\n"
        "check.main(['check', 'llm.service', sys.argv[1]])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, tree.root],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert "it could not be checked in time" in ran.stderr
    assert not machine.has_file()


def test_no_process_is_left_behind_by_a_comparison_that_hangs(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file()
    code = (
        "import os, sys, time\n"
        "from graviton_agent.units import check\n"
        "def differences(made_for, observer):\n"
        "    open(sys.argv[1] + '/pid', 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "check.differences = differences\n"
        "check.main(['check', 'llm.service', sys.argv[1]])\n"
        "os.wait()\n"
    )
    command = [sys.executable, "-c", code, str(tree.root)]
    subprocess.run(
        command, check=True, timeout=30, env={"PYTHONPATH": str(SOURCE)}, stderr=subprocess.DEVNULL
    )
    assert not Path("/proc", (tree.root / "pid").read_text()).exists()
