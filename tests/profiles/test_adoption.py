"""Taking a fleet's profile up on another host: when it holds, and what is stamped anew."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.profiles.application import State
from graviton_agent.profiles.fleet_folders import OPERATORS
from graviton_agent.profiles.foresight import foresee
from graviton_agent.profiles.reverts import Reverts, Said, Word
from tests.profiles.fleet import Fleet, make_fleet
from tests.profiles.host import PYTHON, TORCH, WHEN, install_torch, managed, unit
from tests.profiles.test_profile import KEEP
from tests.units.services import command

BOTH = {"TORCH_MKLDNN_MATMUL_MIN_DIM": "64", "DNNL_DEFAULT_FPMATH_MODE": "BF16"}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path)


def test_a_host_that_is_the_same_in_all_shared_facts_takes_it(fleet: Fleet) -> None:
    fleet.bring()
    found = fleet.assess()
    assert found.application.state is State.APPLIED
    assert found.application.variables == BOTH
    assert found.is_new


def test_what_is_only_this_hosts_is_stamped_anew(fleet: Fleet) -> None:
    fleet.bring()
    there, taken = fleet.golden.profile().fingerprint, fleet.assess().profile
    assert taken is not None
    assert taken.fingerprint.shared == there.shared
    name = f"file {TORCH}/version.py"
    assert taken.fingerprint.local[name] != there.local[name]
    assert taken.fingerprint.local[name] == fleet.other.calibrated().fingerprint.local[name]


def test_once_taken_it_holds_without_being_looked_for(fleet: Fleet) -> None:
    fleet.bring()
    taken = fleet.assess().profile
    assert taken is not None
    again = fleet.assess(taken)
    assert (again.application.variables, again.is_new) == (BOTH, False)
    assert "calibrated on 2026-11-23 elsewhere, by /usr/lib/" in again.application.reason


def test_a_unit_of_another_name_takes_it_for_the_same_workload(fleet: Fleet) -> None:
    fleet.bring()
    fleet.other.unit = unit(name="chat.service")
    fleet.other.managed = managed(name="chat.service")
    taken = fleet.assess().profile
    assert taken is not None
    assert taken.unit == "chat.service"


def test_that_the_default_is_best_is_taken_too(fleet: Fleet) -> None:
    fleet.bring(fleet.found(**KEEP))
    found = fleet.assess()
    assert found.application.state is State.DEFAULT
    assert not found.wants_calibration


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("proc/sys/kernel/osrelease", "6.12.1\n", "the kernel was 6.1.0-26-cloud-arm64, is 6.12.1"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n", "transparent huge pages"),
        ("sys/fs/cgroup/system.slice/cpu.max", "100000 100000\n", "the CPU quota was 2 CPUs, is 1 CPU"),
        ("sys/fs/cgroup/system.slice/memory.max", "max\n", "the memory limit was 8,192 MiB, is none"),
        ("proc/1/status", "Cpus_allowed:\t3\n", "the number of CPUs was 4, is 2"),
    ],
)
def test_a_host_that_differs_does_not_take_it_and_says_why(
    fleet: Fleet, path: str, text: str, what: str
) -> None:
    fleet.bring()
    fleet.other.tree.write(path, text)
    application = fleet.assess().application
    assert application.state is State.UNCALIBRATED
    assert what in application.reason
    assert application.file is None


def test_another_torch_does_not_take_it(fleet: Fleet) -> None:
    fleet.bring()
    install_torch(fleet.other.tree, "2.10.0")
    assert "torch was 2.9.1, is 2.10.0" in fleet.why_not()


def test_another_build_of_the_same_version_does_not_take_it(fleet: Fleet) -> None:
    fleet.bring()
    install_torch(fleet.other.tree, library="ELF, but of another build")
    assert "the build of torch is another one" in fleet.why_not()


def test_another_instance_type_finds_nothing_and_costs_no_reading(fleet: Fleet) -> None:
    fleet.bring()
    fleet.other.tree.write("sys/class/dmi/id/product_name", "c7g.2xlarge\n")
    assert fleet.adopt() == ()
    assert fleet.assess().application.state is State.UNCALIBRATED


def test_a_setting_that_the_operator_forbids_here_does_not_come_by_the_fleet(fleet: Fleet) -> None:
    fleet.bring()
    fleet.other.managed = managed(allow_bf16=False)
    assert "the settings that may be tried" in fleet.why_not()


def test_a_venv_elsewhere_of_the_same_order_is_found(fleet: Fleet) -> None:
    fleet.bring()
    root = fleet.other.tree.root
    (root / "srv/release-7").mkdir(parents=True)
    (root / "opt/app/venv").rename(root / "srv/release-7/venv")
    python = PYTHON.replace("/opt/app", "/srv/release-7")
    fleet.other.unit = unit(commands=(command(python, "-m", "app"),))
    taken = fleet.assess().profile
    assert taken is not None
    assert taken.fingerprint.local["location"] == TORCH.replace("/opt/app", "/srv/release-7")


def test_an_interpreter_of_another_name_does_not_take_it(fleet: Fleet) -> None:
    fleet.bring()
    fleet.other.managed = managed(python="/usr/bin/python3.11")
    assert "the interpreter was" in fleet.why_not()


def test_an_interpreter_that_is_led_elsewhere_does_not_take_it(fleet: Fleet) -> None:
    fleet.bring()
    fleet.other.unit = unit(
        commands=(command(PYTHON, "-m", "app"),), environment=(("PYTHONPATH", "/opt/other"),)
    )
    assert "where the interpreter looks for modules" in fleet.why_not()


def test_a_torch_that_lies_apart_from_the_interpreter_says_nothing_elsewhere(fleet: Fleet) -> None:
    found = fleet.found()
    facts = replace(
        found.profile.fingerprint, local={**found.layout, "location": "/home/llm/.local/lib/torch"}
    )
    fleet.bring(replace(found, profile=replace(found.profile, fingerprint=facts)))
    assert "torch was in /home/llm/.local/lib/torch, which says nothing of" in fleet.why_not()


def test_the_hosts_own_result_counts_before_the_fleets(fleet: Fleet) -> None:
    fleet.bring()
    own = fleet.other.profile(environment={"OMP_NUM_THREADS": "2"})
    assert fleet.assess(own).application.variables == {"OMP_NUM_THREADS": "2"}


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE])
def test_the_fleets_counts_before_a_result_that_says_nothing(fleet: Fleet, outcome: Outcome) -> None:
    fleet.bring()
    own = fleet.other.profile(**{**KEEP, "outcome": outcome, "calibrated": WHEN + timedelta(days=1)})
    assert fleet.assess(own).application.variables == BOTH


def test_the_fleets_counts_before_a_stale_result(fleet: Fleet) -> None:
    own = fleet.other.profile(environment={"OMP_NUM_THREADS": "2"})
    for host in (fleet.golden, fleet.other):
        host.tree.write("proc/sys/kernel/osrelease", "6.12.1\n")
    fleet.bring()
    assert fleet.assess(own).application.variables == BOTH


def test_what_the_operator_has_reverted_is_not_taken_up(fleet: Fleet) -> None:
    fleet.bring()
    reverts = Reverts({"llm.service": Said(Word.REVERTED, WHEN)})
    found = fleet.assess(reverts=reverts)
    assert (found.application.state, found.is_new) == (State.REVERTED, False)


def test_what_is_withdrawn_from_the_fleet_is_withdrawn_here(fleet: Fleet) -> None:
    path = fleet.bring()
    taken = fleet.assess().profile
    assert taken is not None
    path.unlink()
    found = fleet.assess(taken)
    assert (found.application.state, found.application.file) == (State.UNCALIBRATED, None)
    assert found.wants_calibration


def test_a_newer_result_of_the_fleets_takes_the_place_of_the_former(fleet: Fleet) -> None:
    path = fleet.bring()
    taken = fleet.assess().profile
    assert taken is not None
    path.unlink()
    fleet.bring(fleet.found(environment={"OMP_NUM_THREADS": "3"}))
    found = fleet.assess(taken)
    assert (found.application.variables, found.is_new) == ({"OMP_NUM_THREADS": "3"}, True)


def test_the_first_that_holds_is_taken(fleet: Fleet) -> None:
    fleet.golden.tree.write("proc/sys/kernel/osrelease", "6.12.1\n")
    fleet.bring(folder=OPERATORS, name=f"a--{fleet.found().key}.json")
    fleet.golden.tree.write("proc/sys/kernel/osrelease", "6.1.0-26-cloud-arm64\n")
    fleet.bring(name=f"b--{fleet.found().key}.json")
    assert fleet.assess().application.state is State.APPLIED


# What is foreseen of a unit that has never run here


def test_the_units_own_limits_count_where_they_are_tighter(fleet: Fleet) -> None:
    limits = {"cpu_quota": 1.5, "memory_high": 4 << 30, "allowed_cpus": (0, 1, 9)}
    inside = foresee(unit(**limits), fleet.other.root)
    assert inside == {"cpus": "3", "quota": "1500", "memory": str(4 << 30)}


def test_an_affinity_of_its_own_takes_the_place_of_process_ones(fleet: Fleet) -> None:
    inside = foresee(unit(cpu_affinity=(4, 5)), fleet.other.root)
    assert inside is not None
    assert inside["cpus"] == "30"


def test_the_groups_set_of_cpus_bounds_it(fleet: Fleet) -> None:
    fleet.other.tree.write("sys/fs/cgroup/cpuset.cpus.effective", "0,2-3\n")
    inside = foresee(unit(), fleet.other.root)
    assert inside is not None
    assert inside["cpus"] == "d"


def test_limits_of_slices_above_its_own_count(fleet: Fleet) -> None:
    fleet.other.tree.write("sys/fs/cgroup/ml.slice/ml-llm.slice/cpu.max", "max 100000\n")
    fleet.other.tree.write("sys/fs/cgroup/ml.slice/cpu.max", "50000 100000\n")
    inside = foresee(unit(slice="ml-llm.slice"), fleet.other.root)
    assert inside is not None
    assert inside["quota"] == "500"


def test_of_a_slice_that_is_not_there_yet_nothing_is_claimed(fleet: Fleet) -> None:
    fleet.bring()
    fleet.other.unit = unit(slice="ml.slice")
    assert fleet.why_not() == "its limits can't be told before it runs"


def test_of_a_unit_that_runs_its_own_group_is_looked_at(fleet: Fleet) -> None:
    tree = fleet.other.tree
    tree.write("proc/100/cgroup", "0::/system.slice/llm.service\n")
    tree.write("sys/fs/cgroup/system.slice/llm.service/cpu.max", "100000 100000\n")
    inside = foresee(unit(active_state="active", main_pid=100), fleet.other.root)
    assert inside is not None
    assert inside["quota"] == "1000"
