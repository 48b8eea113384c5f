"""`graviton-agent settings`, as its user meets it."""

import json
from typing import Any, NoReturn

import pytest

from graviton_agent.calibration import probe as probe_module
from graviton_agent.errors import ExitCode, InterpreterError
from graviton_agent.settings.catalogue import CATALOGUE
from tests.cli.command import Command
from tests.simulator.builds import TORCH_2_9_1

KEYS = {
    "name", "variable", "aliases", "title", "summary", "proof", "cost", "source",
    "applies", "why", "candidates",
}  # fmt: skip


@pytest.fixture
def graviton_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "probe", lambda *_arguments: TORCH_2_9_1)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(*_arguments: Any) -> NoReturn:
        raise InterpreterError("/usr/bin/python3 has no torch")

    monkeypatch.setattr(probe_module, "probe", probe)


def printed_json(command: Command) -> list[dict[str, Any]]:
    result = command("settings", "--json")
    assert (result.code, result.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(result.out)
    return found


@pytest.mark.usefixtures("graviton_torch")
def test_every_setting_is_printed_with_what_it_does_here(command: Command) -> None:
    result = command("settings")
    assert (result.code, result.err) == (0, "")
    words = " ".join(result.out.split())
    for setting in CATALOGUE:
        for text in (setting.name, setting.variable, setting.summary, setting.cost, setting.source):
            assert text in words
    assert words.count(" here ") >= len(CATALOGUE)
    assert all(len(line) <= 100 for line in result.out.splitlines())


@pytest.mark.usefixtures("graviton_torch")
def test_every_setting_is_in_the_json(command: Command) -> None:
    found = printed_json(command)
    assert [row["name"] for row in found] == [setting.name for setting in CATALOGUE]
    for row in found:
        assert set(row) == KEYS
        assert isinstance(row["applies"], bool)
        assert row["why"]
        assert isinstance(row["candidates"], list)


@pytest.mark.usefixtures("no_torch")
def test_without_torch_the_catalogue_is_printed_all_the_same(command: Command) -> None:
    assert {row["applies"] for row in printed_json(command)} == {None}
    result = command("settings")
    assert result.code == 0
    assert "no torch" in result.out


@pytest.mark.usefixtures("no_torch")
def test_an_interpreter_that_was_named_must_have_torch(command: Command) -> None:
    result = command("settings", "--python", "/usr/bin/python3")
    assert (result.code, result.out) == (ExitCode.INTERPRETER, "")
    assert result.err == "graviton-agent: /usr/bin/python3 has no torch\n"


def test_this_interpreters_own_torch_is_asked(command: Command) -> None:
    found = {row["name"]: row for row in printed_json(command)}
    assert all(row["applies"] is not None for row in found.values())
    assert found["threshold"]["variable"] == "TORCH_MKLDNN_MATMUL_MIN_DIM"
