"""What the commands see, and what they answer to names that make no sense."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from graviton_agent.configuration.compiled import write_compiled
from graviton_agent.control.daemon import read_daemon
from graviton_agent.control.scene import exit_code, require_root
from graviton_agent.errors import AgentError, ExitCode, UsageError
from graviton_agent.installed import SERVICE
from graviton_agent.profiles.application import State
from graviton_agent.root import Root
from tests.control.machine import Managed
from tests.control.systemd import missing, properties
from tests.profiles.host import install_torch


def refusal(machine: Managed, name: str) -> tuple[str, str | None]:
    """What is said to who names this unit, and the next step."""
    with pytest.raises(UsageError) as caught:
        machine.scene.select([name])
    return caught.value.message, caught.value.hint


def test_a_unit_that_is_managed_is_found(machine: Managed) -> None:
    (outlook,) = machine.scene.select(["llm.service"])
    assert (outlook.name, outlook.state) == ("llm.service", State.UNCALIBRATED)


def test_a_unit_that_is_named_twice_is_found_once(machine: Managed) -> None:
    assert len(machine.scene.select(["llm.service", "llm.service"])) == 1


def test_a_unit_that_does_not_exist(machine: Managed) -> None:
    machine.bus.add(missing("lm.service"))
    assert refusal(machine, "lm.service") == ("there is no unit lm.service", "did you mean llm.service?")


def test_one_that_is_like_no_other(machine: Managed) -> None:
    machine.bus.add(missing("zzz.service"))
    assert refusal(machine, "zzz.service")[1] == "systemctl list-unit-files lists them"


def test_a_template(machine: Managed) -> None:
    hint = "name one of its instances, such as llm@1.service"
    assert refusal(machine, "llm@.service") == ("llm@.service is a template", hint)


def test_what_is_no_name_of_a_service(machine: Managed) -> None:
    assert refusal(machine, "llm") == ("'llm' doesn't end in .service", "write llm.service")


def test_a_unit_without_a_section(machine: Managed) -> None:
    machine.bus.add(properties("web.service"))
    message = "web.service is not managed: it has no section in the configuration"
    assert refusal(machine, "web.service") == (message, "graviton-agent enable web.service")


def test_a_unit_that_is_disabled(machine: Managed) -> None:
    machine.manage("web.service", '[units."web.service"]\nenabled = false\n')
    message, hint = refusal(machine, "web.service")
    assert message.startswith("web.service is not managed: disabled in ")
    assert message.endswith("20-web.service.toml:2")
    assert hint == "graviton-agent enable web.service"


def test_a_unit_whose_section_is_wrong(machine: Managed) -> None:
    machine.manage("web.service", '[units."web.service"]\nforbid = ["bf61"]\n')
    assert refusal(machine, "web.service")[1] == "graviton-agent config check says all that is wrong"


def test_an_agent_that_is_switched_off(machine: Managed) -> None:
    machine.host.tree.write("etc/graviton-agent/graviton-agent.toml", "enabled = false\n")
    assert "enabled = true" in str(refusal(machine, "llm.service")[1])


def test_another_name_of_a_unit_leads_to_it(machine: Managed) -> None:
    machine.bus.alias("alias.service", "llm.service")
    assert [outlook.name for outlook in machine.scene.select(["alias.service"])] == ["llm.service"]


def test_a_section_under_another_name_of_a_unit_manages_nothing(machine: Managed) -> None:
    machine.manage("alias.service")
    machine.bus.alias("alias.service", "llm.service")
    alias, _ = machine.scene.select([])
    assert (alias.name, alias.state) == ("alias.service", State.UNFIT)
    assert alias.application.reason == "it is another name of llm.service"


def test_a_unit_that_systemd_can_not_load_costs_no_other(machine: Managed) -> None:
    machine.manage("broken.service")
    machine.bus.refuse("broken.service")
    broken, llm = machine.scene.select([])
    assert (broken.state, llm.state) == (State.UNFIT, State.UNCALIBRATED)


def test_what_is_in_place_is_told_from_what_should_be(machine: Managed) -> None:
    machine.calibrated()
    (outlook,) = machine.scene.select([])
    assert outlook.before == {}
    assert outlook.after == {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "TORCH_MKLDNN_MATMUL_MIN_DIM": "64"}


@pytest.mark.parametrize("state", ["not a Graviton", "unfit", "stale", "fine"])
def test_states_come_to_exit_codes(machine: Managed, state: str) -> None:
    machine.calibrated()
    expected = {
        "not a Graviton": ExitCode.NOT_GRAVITON,
        "unfit": ExitCode.FAILED,
        "stale": ExitCode.STALE,
        "fine": ExitCode.OK,
    }[state]
    if state == "not a Graviton":
        machine.host.tree.write("proc/cpuinfo", "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n")
    elif state == "unfit":
        machine.bus.add(properties("llm.service", "/bin/sh", "-c", "serve"))
    elif state == "stale":
        install_torch(machine.host.tree, "2.10.0")
    assert exit_code(machine.scene.select([])) is expected


def test_the_daemon_is_described_as_systemd_sees_it(machine: Managed) -> None:
    machine.bus.add(missing(SERVICE))
    assert read_daemon(machine.bus).state == "not installed"
    says = {
        "ActiveState": ("s", "active"),
        "StatusText": ("s", "1 unit"),
        "StateChangeTimestamp": ("t", 10**15),
    }
    machine.bus.add(properties(SERVICE, **says))
    daemon = read_daemon(machine.bus)
    assert (daemon.state, daemon.says) == ("active", "1 unit")
    assert daemon.since is not None
    machine.bus.add(properties(SERVICE, StatusText=("s", "1 unit")))
    assert read_daemon(machine.bus).says == ""
    machine.bus.add(properties(SERVICE, LoadState=("s", "masked")))
    assert read_daemon(machine.bus).state == "masked"


def test_who_is_not_root_is_told_so_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(AgentError, match="needs root"):
        require_root(Root())
    # Another system's tree is read with the rights that one has.
    require_root(Root(tmp_path))


def test_the_daemons_record_of_the_configuration_is_used_while_it_is_up_to_date(machine: Managed) -> None:
    record = machine.host.tree.root / "var/lib/graviton-agent/configuration.json"
    unmanaged = replace(machine.scene.configuration, units={})
    write_compiled(unmanaged, record)
    assert machine.scene.configuration.units == {}
    machine.manage("web.service")
    assert set(machine.scene.configuration.units) == {"llm.service", "web.service"}
    record.write_text("{}")
    assert len(machine.scene.configuration.units) == 2


def test_looking_at_units_needs_nothing_that_takes_long_to_import() -> None:
    script = (
        "import sys; import graviton_agent.control.verifying, graviton_agent.report.status\n"
        "print(sorted({'pydantic', 'rich', 'typer'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
