"""What a unit gets: an environment file, or the reason why there is none."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from graviton_agent.calibration.outcome import Outcome
from graviton_agent.errors import StateError
from graviton_agent.profiles.application import Application, State, decide, template_file
from graviton_agent.profiles.facts import observe_present
from graviton_agent.profiles.profile import Profile
from graviton_agent.profiles.reverts import Reverts, Said, Word
from graviton_agent.profiles.subject import make_subject
from graviton_agent.units import environment_file
from graviton_agent.units.unit import Unit
from tests.profiles.host import WHEN, AgentHost, agent_host, configuration, managed, unit
from tests.profiles.test_profile import INCONCLUSIVE, KEEP
from tests.units.services import command

GPT = "llm@gpt.service"
BERT = "llm@bert.service"
TEMPLATE = "llm@.service"


def test_a_profile_that_holds_becomes_a_file(host: AgentHost) -> None:
    application = host.assess(host.profile()).application
    assert application.state is State.APPLIED
    assert application.reason == "at least 1.28x as fast, calibrated on 2026-11-23"
    assert application.variables == {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}


def test_the_file_is_one_that_the_agent_writes(host: AgentHost, tmp_path: Path) -> None:
    file = host.assess(host.profile()).application.file
    assert file is not None
    environment_file.write(tmp_path, file)
    assert environment_file.read(tmp_path, "llm.service") == file


@pytest.mark.parametrize(
    ("results", "state"), [(KEEP, State.DEFAULT), (INCONCLUSIVE, State.INCONCLUSIVE)], ids=str
)
def test_a_calibration_without_a_winner_is_a_result(
    host: AgentHost, results: dict[str, object], state: State
) -> None:
    seen = host.assess(host.profile(**results))
    assert seen.application.state is state
    assert seen.application.file is None
    assert not seen.wants_calibration


def test_without_a_profile_it_wants_one(host: AgentHost) -> None:
    seen = host.assess()
    assert seen.application.state is State.UNCALIBRATED
    assert seen.wants_calibration


def test_a_stale_profile_wants_another(host: AgentHost) -> None:
    profile = host.profile()
    host.managed = managed(batches="1")
    assert host.assess(profile).wants_calibration


def test_a_broken_profile_is_as_good_as_none_and_says_why(host: AgentHost) -> None:
    seen = host.assess(broken={"llm.service": StateError("it is no profile: 'gain' is missing")})
    assert seen.wants_calibration
    assert seen.application.reason == "it is no profile: 'gain' is missing"


def test_elsewhere_than_on_a_graviton_nothing_is_written(host: AgentHost) -> None:
    seen = host.assess(host.profile(), not_graviton="The CPUs are x86.")
    assert seen.application == Application("llm.service", State.NOT_GRAVITON, "The CPUs are x86.")
    assert not seen.wants_calibration


def test_elsewhere_than_on_a_graviton_nothing_wants_to_be_calibrated(host: AgentHost) -> None:
    assert host.assess(not_graviton="The CPUs are x86.").application.state is State.NOT_GRAVITON


def reverted(*names: str) -> Reverts:
    return Reverts({name: Said(Word.REVERTED, WHEN) for name in names})


@pytest.mark.parametrize("results", [{}, KEEP, {"environment": {"OMP_NUM_THREADS": "4"}}, None])
def test_a_reverted_unit_gets_nothing_whatever_was_found(
    host: AgentHost, results: dict[str, Any] | None
) -> None:
    profiles = [] if results is None else [host.profile(**results)]
    seen = host.assess(*profiles, reverts=reverted("llm.service"))
    assert seen.application == Application("llm.service", State.REVERTED, "reverted on 2026-11-23")
    assert not seen.wants_calibration


def test_nor_when_what_was_found_is_out_of_date(host: AgentHost) -> None:
    profile = host.profile()
    host.tree.write("proc/sys/kernel/osrelease", "6.18\n")
    seen = host.assess(profile, reverts=reverted("llm.service"))
    assert seen.application.state is State.REVERTED
    assert not seen.wants_calibration


def test_a_unit_without_a_section_gets_nothing(host: AgentHost) -> None:
    seen = host.assess(host.profile(), configuration=configuration())
    assert seen.application.state is State.UNMANAGED
    assert seen.application.reason == "it has no section in the configuration"


def test_a_disabled_unit_gets_nothing_and_says_where(host: AgentHost) -> None:
    disabled = configuration(unmanaged={"llm.service": "disabled in /etc/a.toml:3"})
    assert host.assess(configuration=disabled).application.reason == "disabled in /etc/a.toml:3"


def test_an_agent_that_is_switched_off_gives_nothing(host: AgentHost) -> None:
    off = replace(configuration(managed()), enabled=False)
    application = host.assess(host.profile(), configuration=off).application
    assert (application.state, application.file) == (State.UNMANAGED, None)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (unit(commands=(command("/bin/sh", "-c", "python -m app"),)), "/bin/sh is a shell"),
        (unit(load_state="not-found"), "there is no such unit"),
        (unit(root_image="/srv/llm.raw"), "RootImage="),
    ],
    ids=lambda value: value if isinstance(value, str) else "-",
)
def test_a_unit_that_can_not_be_managed_says_why(host: AgentHost, broken: Unit, words: str) -> None:
    profile = host.profile()
    host.unit = broken
    application = host.assess(profile).application
    assert application.state is State.UNFIT
    assert words in application.reason


def decided_by_others(host: AgentHost, profile: Profile, **environment: str) -> Application:
    """What follows where others have come to decide after all, whatever the fingerprint says."""
    subject = make_subject(host.unit, host.managed, {}, host.root)
    present = observe_present(subject, host.facts, profile.fingerprint, host.root)
    overlaid = subject.environment.overlaid(dict(environment), "/etc/default/llm")
    present = replace(present, subject=replace(subject, environment=overlaid))
    return decide(present, profile)


def test_a_variable_that_others_set_is_never_written(host: AgentHost) -> None:
    application = decided_by_others(host, host.profile(), DNNL_DEFAULT_FPMATH_MODE="STRICT")
    assert application.variables == {"TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}
    assert [held.source for held in application.held] == ["/etc/default/llm"]


def test_nor_is_one_that_others_set_by_another_name(host: AgentHost) -> None:
    application = decided_by_others(host, host.profile(), ONEDNN_DEFAULT_FPMATH_MODE="STRICT")
    assert "DNNL_DEFAULT_FPMATH_MODE" not in application.variables
    threads = host.profile(environment={"OMP_NUM_THREADS": "4"})
    assert decided_by_others(host, threads, MKL_NUM_THREADS="2").state is State.HELD


def test_where_others_set_all_of_them_there_is_no_file(host: AgentHost) -> None:
    profile = host.profile(environment={"OMP_NUM_THREADS": "4"})
    application = decided_by_others(host, profile, OMP_NUM_THREADS="2")
    assert application.state is State.HELD
    assert application.file is None
    assert application.reason == "decided by /etc/default/llm"


def test_a_unit_whose_changed_files_systemd_has_not_read_waits_for_that(host: AgentHost) -> None:
    profile = host.profile()
    host.tree.write("etc/systemd/system/llm.service.d/override.conf", "[Service]\nEnvironment=A=1\n")
    application = host.assess(profile).application
    assert (application.state, application.file) == (State.UNREAD, None)
    assert application.hint == "systemctl daemon-reload"


# Templates


@pytest.fixture
def instances(tmp_path: Path) -> tuple[AgentHost, AgentHost]:
    """Two instances of a template on one host."""
    first = agent_host(tmp_path)
    first.managed = managed(name=TEMPLATE)
    first.unit = unit(name=GPT)
    return first, replace(first, unit=unit(name=BERT))


Instances = tuple[AgentHost, AgentHost]


def test_what_was_found_for_one_instance_holds_for_another(instances: Instances) -> None:
    gpt, bert = instances
    seen = bert.assess(gpt.profile())
    assert seen.application.state is State.APPLIED
    assert seen.application.file is not None
    assert seen.application.file.unit == BERT


def test_but_not_for_one_that_differs(instances: Instances) -> None:
    gpt, bert = instances
    profile = gpt.profile()
    bert.unit = replace(bert.unit, cpu_quota=1.0)
    assert bert.assess(profile).application.state is State.STALE


def test_nor_for_one_with_a_section_of_its_own(instances: Instances) -> None:
    gpt, bert = instances
    own = configuration(gpt.managed, managed(name=BERT))
    assert bert.assess(gpt.profile(), configuration=own).application.state is State.UNCALIBRATED


def test_an_instances_own_profile_counts_first(instances: Instances) -> None:
    gpt, bert = instances
    own = bert.profile(environment={"OMP_NUM_THREADS": "4"}, calibrated=WHEN - timedelta(days=9))
    assert bert.assess(own, gpt.profile()).application.variables == {"OMP_NUM_THREADS": "4"}


def test_where_its_own_is_stale_a_siblings_may_hold(instances: Instances) -> None:
    gpt, bert = instances
    own = bert.profile(environment={"OMP_NUM_THREADS": "4"})
    bert.tree.write("proc/sys/kernel/osrelease", "6.2\n")
    assert bert.assess(own, gpt.profile()).application.state is State.APPLIED


def test_what_was_reverted_for_one_is_not_for_another(instances: Instances) -> None:
    gpt, bert = instances
    profiles = (bert.profile(), gpt.profile())
    for name, states in (
        (gpt.unit.name, [State.REVERTED, State.APPLIED]),
        (bert.unit.name, [State.APPLIED, State.REVERTED]),
        (TEMPLATE, [State.REVERTED, State.REVERTED]),
    ):
        found = [host.assess(*profiles, reverts=reverted(name)).application.state for host in instances]
        assert found == states


def test_an_instance_that_is_taken_up_alone_gives_its_template_no_file(instances: Instances) -> None:
    gpt, _ = instances
    said = {**reverted(TEMPLATE).said, gpt.unit.name: Said(Word.APPLIED, WHEN)}
    found = gpt.assess(gpt.profile(), reverts=Reverts(said)).application
    assert found.state is State.APPLIED
    assert template_file(TEMPLATE, [(gpt.unit, found)]) is None


def of_all(*hosts: AgentHost, **results: object) -> list[tuple[Unit, Application]]:
    """What all of these instances get by the first one's profile."""
    profile = hosts[0].profile(**results)
    return [(host.unit, host.assess(profile).application) for host in hosts]


def test_a_template_gets_a_file_where_all_instances_get_the_same(instances: Instances) -> None:
    file = template_file(TEMPLATE, of_all(*instances))
    assert file is not None
    assert file.unit == TEMPLATE
    assert file.environment == {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}


def test_what_is_about_one_instances_files_is_not_in_it(instances: Instances) -> None:
    file = template_file(TEMPLATE, of_all(*instances))
    assert file is not None
    assert not [name for name in file.made_for if "gpt" in name or "bert" in name]
    assert f"file /etc/systemd/system/{TEMPLATE}.d" in file.made_for


def test_a_template_gets_none_where_one_differs(instances: Instances) -> None:
    gpt, bert = instances
    bert.unit = replace(bert.unit, cpu_quota=1.0)
    assert template_file(TEMPLATE, of_all(gpt, bert)) is None


def test_a_template_without_instances_gets_none() -> None:
    assert template_file(TEMPLATE, []) is None


def test_a_template_gets_none_where_the_default_won(instances: Instances) -> None:
    assert template_file(TEMPLATE, of_all(*instances, **KEEP)) is None
    assert KEEP["outcome"] is Outcome.KEEP
