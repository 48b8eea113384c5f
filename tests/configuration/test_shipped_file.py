"""The configuration as installed shows every option with its default."""

import re
import tomllib
from pathlib import Path

import pytest

from graviton_agent.configuration.model import HostOptions, Options, QuietOptions, UnitOptions
from tests.configuration.tree import Tree

SHIPPED = (Path(__file__).parents[2] / "etc/graviton-agent.toml").read_text()
DOCUMENT = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
UNCOMMENTED = re.sub(r"^#(?=[a-z_0-9]+ = )", "", SHIPPED, flags=re.MULTILINE)


def test_as_installed_it_says_nothing(tree: Tree) -> None:
    loaded = tree.load(SHIPPED)
    assert loaded.problems == ()
    assert loaded == tree.load("[defaults]\n")


@pytest.mark.parametrize(
    ("section", "options"), [(None, HostOptions), ("quiet", QuietOptions), ("defaults", UnitOptions)]
)
def test_uncommented_it_says_the_defaults_all_of_them_in_order(
    section: str | None, options: type[Options]
) -> None:
    written = tomllib.loads(UNCOMMENTED)
    found = (
        written[section]
        if section
        else {key: written[key] for key in written if key not in {"quiet", "defaults"}}
    )
    found.pop("pin", None)
    assert found == options.written_defaults()
    assert list(found) == list(options.model_fields)


def test_uncommented_it_is_without_a_problem(tree: Tree) -> None:
    assert tree.problems(UNCOMMENTED) == []


def test_its_examples_are_without_a_problem(tree: Tree) -> None:
    examples = re.sub(r"^# (?=\[units|[a-z_0-9]+ = )", "", SHIPPED, flags=re.MULTILINE)
    loaded = tree.load(examples)
    assert loaded.problems == ()
    assert len(loaded.units) == 3


def test_no_line_is_wider_than_an_editor() -> None:
    assert max(map(len, SHIPPED.splitlines())) <= 120
