"""Which units are managed, and which of systemd's are asked for."""

import pytest

from graviton_agent.profiles.survey import managed_units, patterns
from tests.profiles.host import configuration, managed


def test_a_unit_with_a_section_is_managed_whether_anybody_knows_it_or_not() -> None:
    assert managed_units(configuration(managed(name="llm.service")), []) == ("llm.service",)


def test_a_template_stands_for_its_known_instances() -> None:
    known = ["llm@2.service", "llm@1.service", "other@1.service", "llm@.service", "llm.service", "llm.socket"]
    assert managed_units(configuration(managed(name="llm@.service")), known) == (
        "llm@1.service",
        "llm@2.service",
    )


def test_an_instance_that_is_disabled_is_not_managed() -> None:
    found = configuration(managed(name="llm@.service"), unmanaged={"llm@2.service": "disabled"})
    assert managed_units(found, ["llm@1.service", "llm@2.service"]) == ("llm@1.service",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("llm.service", ()), ("llm@.service", ("llm@*.service",)), (r"a\x2d@.service", (r"a\\x2d@*.service",))],
)
def test_systemd_is_asked_for_the_instances_of_templates(name: str, expected: tuple[str, ...]) -> None:
    assert patterns(configuration(managed(name=name))) == expected
