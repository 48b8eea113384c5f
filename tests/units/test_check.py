"""The check before a unit's start, and what follows where it fails, run as their services run them."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from graviton_agent.installed import ENVIRONMENT
from graviton_agent.units.identity import (
    HOST_FACTS,
    PROCESS_FACTS,
    Observer,
    differences,
    observe,
    torch_facts,
)
from tests.configuration.tree import PROGRAMS, Tree
from tests.units.machine import GROUP, TORCH, Machine, graviton3

FOLDER = ENVIRONMENT[1:]
SOURCE = PROGRAMS.parent / "agent"


def test_facts_are_seen_where_the_kernel_and_the_firmware_show_them(tree: Tree) -> None:
    seen = observe((*HOST_FACTS, *PROCESS_FACTS), graviton3(tree).observer)
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


def test_in_a_folder_that_is_a_link_nothing_is_checked(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file()
    (tree.root / FOLDER).rename(tree.root / "elsewhere")
    tree.link(FOLDER, str(tree.root / "elsewhere"))
    remove_torch(tree)
    assert machine.run_check("llm.service").returncode == 1
    assert machine.has_file()


def test_without_the_folder_there_is_nothing_to_check(tree: Tree) -> None:
    assert Machine(tree).check() == ""


@pytest.mark.parametrize("name", ["../llm.service", "llm", "", "a/../llm.service"])
def test_what_is_no_name_of_a_service_is_refused(tree: Tree, name: str) -> None:
    machine = graviton3(tree)
    machine.make_file()
    remove_torch(tree)
    assert machine.run_check(name).returncode == 1
    assert machine.has_file()


@pytest.mark.parametrize(
    "broken", ["its modules are gone", "it can't compare", "it can't remove", "it is killed"]
)
def test_a_check_that_did_not_do_its_work_fails(tree: Tree, broken: str) -> None:
    machine = graviton3(tree)
    machine.make_file()
    remove_torch(tree)
    stubs = {
        "its modules are gone": "sys.modules['graviton_agent.units.check'] = None",
        "it can't compare": "import graviton_agent.units.check as c; c.differences = None",
        "it can't remove": "os.unlink = None",
        "it is killed": "import graviton_agent.units.check as c; c.check = lambda *_: os.abort()",
    }
    program = PROGRAMS / "graviton-agent-check"
    code = (
        f"import os, runpy, sys; sys.path.insert(0, {str(SOURCE)!r}); {stubs[broken]}\n"
        f"runpy.run_path({str(program)!r}, run_name='__main__')"
    )
    command = [sys.executable, "-ISE", "-c", code, "llm.service", str(tree.root)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == (-6 if broken == "it is killed" else 1)
    assert "Traceback" not in ran.stderr
    assert machine.has_file()


# What follows where it did not do its work


def withdraw(tree: Tree, unit: str = "llm.service") -> str:
    """Does what systemd does then; returns what the journal would show."""
    command = [str(PROGRAMS / "graviton-agent-withdraw"), unit, str(tree.root)]
    environment = {"MONITOR_SERVICE_RESULT": "timeout"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    return ran.stderr


def test_a_file_that_could_not_be_checked_is_withdrawn(tree: Tree) -> None:
    machine = graviton3(tree)
    machine.make_file()
    machine.make_file("other.service")
    assert withdraw(tree) == (
        "<4>graviton-agent: withdrew the environment of llm.service: it could not be checked (timeout)\n"
    )
    assert not machine.has_file()
    assert machine.has_file("other.service")


def test_where_there_is_none_nothing_is_said(tree: Tree) -> None:
    assert withdraw(tree) == ""


def test_an_instances_and_its_templates_files_are_withdrawn_together(tree: Tree) -> None:
    machine = graviton3(tree)
    names = ("llm@.service", "llm@1.service", "llm@2.service", "a@b\\x20c@d.service", "a@.service")
    for unit in names:
        machine.make_file(unit)
    withdraw(tree, "llm@1.service")
    assert [machine.has_file(name) for name in names] == [False, False, True, True, True]
    withdraw(tree, "a@b\\x20c@d.service")
    assert [machine.has_file(name) for name in names] == [False, False, True, False, False]


def test_links_and_what_is_no_file_are_withdrawn_too(tree: Tree) -> None:
    tree.link(f"{FOLDER}/llm.service.env", "/nowhere")
    withdraw(tree)
    assert not (tree.root / FOLDER / "llm.service.env").is_symlink()
    os.mkfifo(tree.root / FOLDER / "llm.service.env")
    withdraw(tree)
    assert not (tree.root / FOLDER / "llm.service.env").exists()
