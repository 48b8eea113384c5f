"""The configuration as the daemon gets it: from a record that a short process makes."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from graviton_agent.configuration.compiled import write_compiled
from graviton_agent.configuration.load import compile_configuration
from graviton_agent.errors import StateError
from graviton_agent.service import configured
from graviton_agent.service.configured import Configured
from graviton_agent.units.unit_files import UnitFiles
from tests.configuration.tree import Tree

Compiler = Callable[[Sequence[str]], str | None]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "root")
    made.write("etc/graviton-agent/graviton-agent.toml", '[units."llm.service"]\n')
    return made


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "configuration.json"


@pytest.fixture
def runs() -> list[Sequence[str]]:
    """The commands that were run."""
    return []


@pytest.fixture
def compiler(tree: Tree, record: Path, runs: list[Sequence[str]]) -> Compiler:
    """Does in this process what the short one does."""

    def run(command: Sequence[str]) -> str | None:
        runs.append(command)
        write_compiled(compile_configuration(str(tree.root)), record)
        return None

    return run


@pytest.fixture
def given(tree: Tree, record: Path, compiler: Compiler) -> Configured:
    return Configured(record, root=str(tree.root), run=compiler)


def files(tree: Tree) -> UnitFiles:
    return UnitFiles(str(tree.root))


def test_it_is_compiled_where_there_is_no_record(
    given: Configured, tree: Tree, runs: list[Sequence[str]], record: Path
) -> None:
    assert list(given.read(files(tree)).units) == ["llm.service"]
    assert runs[0][-4:] == ["config", "compile", "--output", str(record)]


def test_a_record_that_is_up_to_date_is_taken_as_it_is(
    given: Configured, tree: Tree, runs: list[Sequence[str]], record: Path
) -> None:
    given.read(files(tree))
    another = Configured(record, root=str(tree.root), run=given._run)
    assert list(another.read(files(tree)).units) == ["llm.service"]
    assert len(runs) == 1


def test_a_change_makes_a_new_record(given: Configured, tree: Tree, runs: list[Sequence[str]]) -> None:
    given.read(files(tree))
    tree.write("etc/graviton-agent/conf.d/10-app.toml", '[units."app.service"]\n')
    assert list(given.read(files(tree)).units) == ["app.service", "llm.service"]
    assert len(runs) == 2


def test_a_record_that_is_none_is_made_anew(given: Configured, tree: Tree, record: Path) -> None:
    record.write_text("{")
    assert list(given.read(files(tree)).units) == ["llm.service"]


def test_where_it_can_not_be_compiled_nothing_of_the_old_one_is_kept(given: Configured, tree: Tree) -> None:
    given.read(files(tree))
    tree.write("etc/graviton-agent/conf.d/10-app.toml", '[units."app.service"]\n')
    given._run = lambda _: "no space left"
    for _ in range(2):
        with pytest.raises(StateError, match="can't be compiled: no space left"):
            given.read(files(tree))


def test_the_short_process_is_started_as_this_one_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/graviton-agent", "daemon"])
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "-IS", "/usr/bin/graviton-agent", "daemon"])
    assert configured.own_command() == ["/usr/bin/python3", "-IS", "/usr/bin/graviton-agent"]


def test_what_the_short_process_complains_about_is_said(tmp_path: Path) -> None:
    complaining = [sys.executable, "-c", "import sys; sys.exit('graviton-agent: no space left')"]
    assert configured._run(complaining) == "graviton-agent: no space left"
    assert configured._run([sys.executable, "-c", "import sys; sys.exit(3)"]) == "exit status 3"
    assert configured._run([str(tmp_path / "nothing")]) == "No such file or directory"
    assert configured._run([sys.executable, "-c", ""]) is None
