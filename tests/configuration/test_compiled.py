"""The record that the daemon reads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from graviton_agent.configuration.compiled import (
    Calibrate,
    Configuration,
    digest_of,
    read_compiled,
    write_compiled,
)
from graviton_agent.configuration.load import compile_configuration
from graviton_agent.errors import StateError
from graviton_agent.units.unit_files import UnitFiles
from graviton_agent.workload import Case
from tests.configuration.tree import MAIN, Tree

AGENT = Path(__file__).parents[2] / "agent"
TEXT = """
[units."llm.service"]
batches = "1:0.75,32:0.25"
threads = 4
forbid = ["threshold"]
pin = { A = "1" }
calibrate = "before-start"
budget = "2min"
memory_margin = "10%"

[units."embed@.service"]
settings = ["threads"]
allow_bf16 = true

[units."embed@off.service"]
enabled = false

[units."wrong.service"]
threads = -1
"""


def compiled(tree: Tree, text: str = TEXT) -> Configuration:
    """The record of a configuration."""
    tree.write(MAIN, text)
    return compile_configuration(str(tree.root))


def test_it_comes_back_from_its_json_as_it_was(tree: Tree) -> None:
    configuration = compiled(tree)
    path = tree.root / "state/configuration.json"
    write_compiled(configuration, path)
    assert read_compiled(path) == configuration


def test_it_holds_what_the_calibration_needs(tree: Tree) -> None:
    unit = compiled(tree).unit("llm.service")
    assert unit is not None
    assert unit.workload.cases == (Case(1, 0.75), Case(32, 0.25))
    assert (unit.rules.budget_seconds, unit.rules.memory_margin_bytes, unit.rules.memory_margin_share) == (
        120.0,
        0,
        0.1,
    )
    assert (unit.threads, dict(unit.pin), unit.calibrate) == (4, {"A": "1"}, Calibrate.BEFORE_START)


def test_bf16_is_forbidden_without_consent(tree: Tree) -> None:
    configuration = compiled(tree)
    units = [configuration.unit(name) for name in ("llm.service", "embed@.service")]
    assert [unit.forbidden for unit in units if unit] == [{"threshold", "bf16"}, set()]


def test_a_template_stands_for_its_instances_but_for_those_that_are_disabled(tree: Tree) -> None:
    configuration = compiled(tree)
    assert configuration.unit("embed@1.service") == configuration.units["embed@.service"]
    assert configuration.unit("embed@off.service") is None


def test_a_unit_with_an_error_is_unmanaged_and_says_why(tree: Tree) -> None:
    configuration = compiled(tree)
    assert configuration.unit("wrong.service") is None
    assert "no such number" in configuration.unmanaged["wrong.service"]
    assert list(configuration.problems) == [configuration.unmanaged["wrong.service"]]


def test_nothing_is_managed_where_the_agent_is_switched_off(tree: Tree) -> None:
    assert compiled(tree, f"enabled = false\n{TEXT}").unit("llm.service") is None


def test_the_digest_changes_with_the_configuration_and_with_units_own_sections_alone(tree: Tree) -> None:
    def digest() -> str:
        return digest_of(UnitFiles(str(tree.root)), str(tree.root))

    seen = [compiled(tree).digest]
    assert digest() == seen[0]
    tree.unit("other.service")
    assert digest() == seen[0]
    tree.unit("other.service", "[X-GravitonAgent]\nThreads=1\n")
    seen.append(digest())
    tree.unit("other.service", "[X-GravitonAgent]\nThreads=2\n")
    seen.append(digest())
    tree.write("run/graviton-agent/conf.d/a.toml", "")
    seen.append(digest())
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "of another version"),
        ({"agent": "0.0.1"}, "of another version"),
        ({"units": 3}, "no compiled configuration"),
        ({"units": {"llm.service": {}}}, "no compiled configuration"),
        ({"unheard": 1}, "no compiled configuration"),
    ],
)
def test_a_record_that_is_not_this_versions_is_refused(
    tree: Tree, change: dict[str, object], message: str
) -> None:
    path = tree.write("state.json", json.dumps({**json.loads(compiled(tree).to_json()), **change}))
    with pytest.raises(StateError, match=message):
        read_compiled(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_record_is_refused(tree: Tree, content: bytes) -> None:
    with pytest.raises(StateError):
        read_compiled(tree.write("state.json", content))


def test_reading_it_takes_neither_pydantic_nor_typer(tree: Tree) -> None:
    path = tree.root / "state.json"
    write_compiled(compiled(tree), path)
    code = (
        "import sys; from pathlib import Path; "
        "from graviton_agent.configuration.compiled import read_compiled; "
        f"units = read_compiled(Path({str(path)!r})).units; "
        "print(len(units), {'pydantic', 'typer', 'rich'} & {*sys.modules})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(AGENT)},
    )
    assert ran.stdout == "2 set()\n"
