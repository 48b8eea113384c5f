"""The catalogue: whatever is in it can be named, printed, found in a library and left alone."""

import re
import sys
from dataclasses import replace

import pytest

from graviton_agent.calibration.calibrate import calibrate
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.plan import make_plan
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Configuration, Observation
from graviton_agent.errors import UsageError
from graviton_agent.host import Host
from graviton_agent.root import MIB
from graviton_agent.settings.catalogue import CATALOGUE, markers, setting_named, setting_of
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload, make_workload
from tests.scripted_laboratory import MEMORY, ScriptedLaboratory, observation
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_10_0, TORCH_2_13_0, TORCH_2_13_0_X86
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

MACHINES = (
    Machine(2, 1, "never", TORCH_2_9_1),
    Machine(3, 4, "madvise", TORCH_2_9_1),
    Machine(4, 64, "always", TORCH_2_10_0),
    Machine(5, 192, "madvise", TORCH_2_13_0),
    Machine(None, 2, "madvise", TORCH_2_13_0_X86),
)
every_setting = pytest.mark.parametrize("setting", CATALOGUE, ids=lambda setting: setting.name)


def test_names_and_variables_are_unique() -> None:
    assert len({setting.name for setting in CATALOGUE}) == len(CATALOGUE)
    variables = [name for setting in CATALOGUE for name in (setting.variable, *setting.aliases)]
    assert len(set(variables)) == len(variables)


@every_setting
def test_a_setting_can_be_found_by_its_name_and_by_its_variable(setting: Setting) -> None:
    assert setting_named(setting.name) is setting
    assert setting_of(setting.variable) is setting


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no setting 'thp'") as raised:
        setting_named("thp")
    assert raised.value.hint is not None
    assert all(setting.name in raised.value.hint for setting in CATALOGUE)


@every_setting
def test_a_setting_says_what_it_does_costs_and_where_it_is_read(setting: Setting) -> None:
    for words in (setting.title, setting.summary, setting.cost, setting.source):
        assert words
        assert "\n" not in words
    assert re.fullmatch(r"[a-z0-9-]+", setting.name)
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", setting.variable)


@every_setting
@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_a_setting_says_in_one_clause_whether_it_applies(setting: Setting, machine: Machine) -> None:
    applies = setting.applies(host_of(machine), machine.build)
    assert applies.why
    assert not applies.why.endswith(".")
    assert "\n" not in applies.why


@every_setting
@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_no_candidate_is_empty_for_torch_fails_on_an_empty_value(setting: Setting, machine: Machine) -> None:
    candidates = setting.candidates(host_of(machine), machine.build, make_workload())
    assert all(candidates)
    assert len(set(candidates)) == len(candidates)


@every_setting
def test_a_setting_of_the_environment_has_a_proof_of_its_own(setting: Setting) -> None:
    in_process = {Lever.DISPATCH: Proof.DISPATCH_BITS, Lever.THREADS: Proof.THREADS}
    assert (setting.proof in in_process.values()) == (setting.lever is not Lever.ENVIRONMENT)
    assert setting.proof == in_process.get(setting.lever, setting.proof)


def test_every_setting_is_looked_for_in_torchs_libraries() -> None:
    assert {setting.marker for setting in CATALOGUE} == set(markers())


class GlibcHugePages(Setting):
    """Has glibc's malloc advise huge pages.

    A setting that the catalogue does not have.
    """

    name = "glibc-huge-pages"
    variable = "GLIBC_TUNABLES"
    title = "glibc's huge pages"
    lever = Lever.ENVIRONMENT
    proof = Proof.HUGE_PAGES
    cost = "memory"
    source = "glibc manual, Memory Allocation Tunables"

    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        del host, torch
        return Applies.yes("glibc reads it at start")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        del host, torch, workload
        return ("glibc.malloc.hugetlb=1",)


def test_a_new_setting_is_a_file_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing but a longer list it is planned, proved, measured, chosen and explained."""
    longer = (*CATALOGUE, GlibcHugePages())
    for name, module in list(sys.modules.items()):
        if name.startswith("graviton_agent") and hasattr(module, "CATALOGUE"):
            monkeypatch.setattr(module, "CATALOGUE", longer)
    machine = Machine(3, 4, "madvise", TORCH_2_9_1)
    workload = make_workload(batches="256")

    def observed(configuration: Configuration) -> Observation:
        huge = 200 * MIB if "GLIBC_TUNABLES" in configuration.environment else 0
        return observation(configuration, workload, memory=replace(MEMORY, anon_huge=huge))

    laboratory = ScriptedLaboratory(
        workload,
        ms=lambda configuration, _path, _batch: (
            50.0 if "GLIBC_TUNABLES" in configuration.environment else 100.0
        ),
        observed=observed,
    )
    plan = make_plan(host_of(machine), machine.build, workload)
    decision = calibrate(Journal(laboratory, 90.0), plan, Rules()).decision
    assert decision.environment == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    assert decision.gain == pytest.approx(2.0)
    assert next(found.reason for found in decision.settings if found.variable == "GLIBC_TUNABLES")
    assert "allow_thp" in markers()
    assert "GLIBC_TUNABLES" in markers()
