"""What is read from unit files without systemd."""

import os

import pytest

from graviton_agent.units.unit_files import UnitFiles, parse
from tests.configuration.tree import ANY_UNIT, Tree

AGENT = "graviton-agent.service"


def files(tree: Tree) -> UnitFiles:
    return UnitFiles(str(tree.root))


def assignments(text: str) -> list[tuple[str, str, str, int]]:
    return [(section, key, value, line) for section, key, value, _, line in parse(text.encode(), "x")]


def test_comments_blank_lines_and_what_is_no_assignment_are_passed_over() -> None:
    assert assignments("# [A]\n; B=1\n\nno section=1\n[Unit]\nrubbish\n=1\n A = b = c \n") == [
        ("Unit", "", "", 5),
        ("Unit", "A", "b = c", 8),
    ]


def test_a_continued_line_is_one_assignment_and_comments_in_it_are_left_out() -> None:
    assert assignments("[Unit]\nAfter=a \\\n# b\n  c\nBefore=d\n")[1:] == [
        ("Unit", "After", "a  c", 2),
        ("Unit", "Before", "d", 5),
    ]


def test_the_file_of_etc_hides_that_of_usr(tree: Tree) -> None:
    tree.write("usr/lib/systemd/system/a.service", ANY_UNIT)
    tree.unit("a.service")
    assert files(tree).fragment("a.service") == f"{tree.root}/etc/systemd/system/a.service"


def test_an_instance_without_a_file_has_its_templates(tree: Tree) -> None:
    tree.unit("a@.service")
    assert files(tree).fragment("a@1.service") == f"{tree.root}/etc/systemd/system/a@.service"


def test_masked_and_empty_units_aliases_and_others_are_not_listed(tree: Tree) -> None:
    tree.unit("a.service")
    tree.unit("a.timer")
    tree.unit("empty.service", "")
    tree.link("etc/systemd/system/alias.service", "a.service")
    tree.link("etc/systemd/system/masked.service", os.devnull)
    tree.write("usr/lib/systemd/system/masked.service", ANY_UNIT)
    assert files(tree).names() == ["a.service"]


def test_a_linked_unit_is_no_alias(tree: Tree) -> None:
    elsewhere = tree.write("opt/app/a.service", ANY_UNIT)
    tree.link("etc/systemd/system/a.service", str(elsewhere))
    assert files(tree).names() == ["a.service"]


def test_drop_ins_are_those_of_the_unit_its_template_its_prefixes_and_all_services(tree: Tree) -> None:
    for path in (
        "usr/lib/systemd/system/a-b@1.service.d/50.conf",
        "etc/systemd/system/a-b@.service.d/10.conf",
        "etc/systemd/system/a-b@.service.d/50.conf",
        "etc/systemd/system/a-.service.d/20.conf",
        "run/systemd/system/service.d/30.conf",
        "run/systemd/system/a.service.d/40.conf",
        "etc/systemd/system/a-b@1.service.d/60.txt",
    ):
        tree.write(path, "")
    assert [path.removeprefix(f"{tree.root}/") for path in files(tree).drop_ins("a-b@1.service")] == [
        "etc/systemd/system/a-b@.service.d/10.conf",
        "etc/systemd/system/a-.service.d/20.conf",
        "run/systemd/system/service.d/30.conf",
        "usr/lib/systemd/system/a-b@1.service.d/50.conf",
    ]


@pytest.mark.parametrize("value", ["no", "false", "0", "off", "No"])
def test_a_unit_without_default_dependencies_starts_too_early(tree: Tree, value: str) -> None:
    tree.unit("a.service", f"[Unit]\nDefaultDependencies={value}\n")
    assert files(tree).is_ordered_before("a.service", AGENT)


def test_the_last_word_on_default_dependencies_counts(tree: Tree) -> None:
    tree.unit("a.service", "[Unit]\nDefaultDependencies=no\n")
    tree.write("etc/systemd/system/a.service.d/x.conf", "[Unit]\nDefaultDependencies=yes\n")
    assert not files(tree).is_ordered_before("a.service", AGENT)


def test_a_plain_unit_is_not_ordered_before_the_agent(tree: Tree) -> None:
    tree.unit("a.service", "[Unit]\nAfter=network-online.target\nBefore=proxy.service\n")
    tree.unit(AGENT, "[Unit]\nAfter=dbus.service\n")
    assert not files(tree).is_ordered_before("a.service", AGENT)


def test_an_order_through_other_units_is_followed_from_both_ends(tree: Tree) -> None:
    tree.unit("a.service", "[Unit]\nBefore=x.service b.service\n")
    tree.unit("b.service", "[Unit]\nBefore=c.target\n")
    tree.unit(AGENT, "[Unit]\nAfter=d.service\n")
    tree.unit("d.service", "[Unit]\nAfter=c.target\n")
    assert files(tree).is_ordered_before("a.service", AGENT)


def test_an_order_that_a_drop_in_of_the_agent_states_counts(tree: Tree) -> None:
    tree.unit("a.service")
    tree.write(f"etc/systemd/system/{AGENT}.d/x.conf", "[Unit]\nAfter=a.service\n")
    assert files(tree).is_ordered_before("a.service", AGENT)


def test_a_circle_of_orders_ends(tree: Tree) -> None:
    tree.unit("a.service", "[Unit]\nBefore=b.service\n")
    tree.unit("b.service", "[Unit]\nBefore=a.service\n")
    assert not files(tree).is_ordered_before("a.service", AGENT)
