"""Names of units, by systemd's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.errors import UsageError
from graviton_agent.installed import GATE, QUIET, SERVICE
from graviton_agent.units.names import (
    LONGEST,
    escape,
    instance_of,
    is_agents_own,
    is_instance,
    is_service_name,
    is_template,
    require_service_name,
    template_of,
)


@pytest.mark.parametrize(
    "name",
    [
        "llm.service",
        "llm@.service",
        "llm@1.service",
        "llm@a-b\\x20c.service",
        "a-b\\x2dc.service",
        "a@b@c.service",
        "-.service",
        "a.b:c_d.service",
        "x" * (LONGEST - 8) + ".service",
    ],
)
def test_these_are_names_of_services(name: str) -> None:
    assert is_service_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "llm",
        ".service",
        "@.service",
        "@1.service",
        "llm.timer",
        "llm.service\n",
        "llm.service/../x.service",
        "../llm.service",
        "a b.service",
        "é.service",
        "%n.service",
        "$A.service",
        "a*.service",
        "a\0.service",
        "x" * (LONGEST - 7) + ".service",
    ],
)
def test_these_are_not(name: str) -> None:
    assert not is_service_name(name)


@given(st.text(max_size=40).map(lambda text: f"{text}.service"))
def test_a_name_can_be_part_of_a_path_and_of_a_line(name: str) -> None:
    if is_service_name(name):
        assert not set(name) & set("/\0\n %$*?[]\"' ;#")
        assert name not in {".", ".."}


def test_a_template_and_its_instances_know_each_other() -> None:
    assert is_template("llm@.service")
    assert not is_template("llm.service")
    assert not is_template("llm@1.service")
    assert is_instance("llm@1.service")
    assert template_of("llm@1.service") == "llm@.service"
    assert template_of("llm@.service") is None
    assert template_of("llm.service") is None


def test_only_the_first_at_divides() -> None:
    assert template_of("a@b@.service") == "a@.service"
    assert instance_of("a@b@.service") == "b@"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a b/c", "a\\x20b-c"),
        (".x", "\\x2ex"),
        ("x.y", "x.y"),
        ("é", "\\xc3\\xa9"),
        ("a-b", "a\\x2db"),
        ("", ""),
    ],
)
def test_text_is_escaped_as_systemd_escape_does(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@given(st.text())
def test_any_text_fits_into_a_name(text: str) -> None:
    if 0 < len(escape(text)) < 100:
        assert is_service_name(f"llm@{escape(text)}.service")


def test_a_name_without_its_suffix_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(UsageError) as refused:
        require_service_name("llm")
    assert refused.value.hint == "write llm.service"


@pytest.mark.parametrize("name", [SERVICE, GATE, QUIET, GATE.replace("@", "@a"), QUIET.replace("@", "@a")])
def test_the_agents_own_services_are_known(name: str) -> None:
    assert is_agents_own(name)


def test_a_service_of_another_is_none_of_them() -> None:
    assert not is_agents_own("graviton-agent-exporter.service")
