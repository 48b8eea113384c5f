"""`graviton-agent config` as a person uses it."""

import json
import os
import tomllib
from pathlib import Path

import pytest

from graviton_agent.cli.main import main
from graviton_agent.errors import ExitCode
from tests.configuration.tree import MAIN, Tree

UNIT = '[units."llm.service"]\n'


def run(tree: Tree, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, the output and the errors of a config command."""
    code = main(["config", *arguments, "--root", str(tree.root)])
    out, err = capsys.readouterr()
    return code, out.replace(f"{tree.root}/", "/"), err


def test_check_is_content_with_a_host_without_configuration(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tree, capsys, "check") == (ExitCode.OK, "0 files, 0 managed units: nothing is wrong\n", "")


def test_check_fails_on_an_error_and_prints_a_line_for_it(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.write(MAIN, f"{UNIT}thread = 4\n")
    code, out, err = run(tree, capsys, "check")
    assert (code, err) == (ExitCode.FAILED, "")
    assert out == (
        f'/{MAIN}:2: error: units."llm.service".thread: there is no such option; did you mean threads?\n'
        "1 file, 0 managed units: 1 error, 0 warnings\n"
    )


def test_check_does_not_fail_on_a_warning(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.write(MAIN, UNIT)
    code, out, _ = run(tree, capsys, "check")
    assert code == ExitCode.OK
    assert out.endswith("1 file, 1 managed unit: 0 errors, 1 warning\n")


def test_check_says_that_the_agent_is_switched_off(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.write(MAIN, f"enabled = false\n{UNIT}")
    _, out, _ = run(tree, capsys, "check")
    assert f"the agent is switched off: enabled = false in /{MAIN}:1\n" in out


def test_show_prints_what_could_be_loaded_again(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    unit = "a-b\\x2dc@1.service"
    text = f"gates = 60\n[quiet]\nload = 0.5\n[units.'{unit}']\nforbid = ['bf16']\npin.A = '😀 \"'\n"
    tree.write(MAIN, text)
    _, out, _ = run(tree, capsys, "show", "--origin")
    shown, written = tomllib.loads(out), tomllib.loads(text)
    assert shown["gates"] == 60
    assert shown["quiet"]["load"] == 0.5
    assert shown["units"][unit] == {**shown["units"][unit], **written["units"][unit]}
    tree.write(MAIN, out)
    assert run(tree, capsys, "show")[1] == run(tree, capsys, "show")[1]
    assert tree.problems() == []


def test_show_with_origin_says_where_each_value_stands(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.write(MAIN, f"{UNIT}threads = 4\n")
    lines = run(tree, capsys, "show", "--origin")[1].splitlines()
    places = {line.partition(" = ")[0]: line.partition("   # ")[2] for line in lines if "   # " in line}
    assert places["threads"] == f"/{MAIN}:2"
    assert places["budget"] == "default"


def test_show_of_an_instance_shows_its_templates_section(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.write(MAIN, '[units."llm@.service"]\n[units."other.service"]\n')
    shown = tomllib.loads(run(tree, capsys, "show", "llm@1.service")[1])
    assert list(shown["units"]) == ["llm@.service"]


def test_show_says_why_a_unit_is_not_managed(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.write(MAIN, f"{UNIT}enabled = false\n")
    assert f"# not managed: disabled in /{MAIN}:2\n" in run(tree, capsys, "show")[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "lln.service",
            (
                "graviton-agent: lln.service has no section in the configuration\n"
                "hint: did you mean llm.service?\n"
            ),
        ),
        ("llm", "graviton-agent: 'llm' doesn't end in .service\nhint: write llm.service\n"),
    ],
)
def test_show_of_a_unit_without_a_section_is_wrong_usage(
    tree: Tree, capsys: pytest.CaptureFixture[str], name: str, expected: str
) -> None:
    tree.write(MAIN, UNIT)
    assert run(tree, capsys, "show", name) == (ExitCode.USAGE, "", expected)


def test_compile_writes_the_record(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.write(MAIN, UNIT)
    path = tree.root / "state/configuration.json"
    assert run(tree, capsys, "compile", "--output", str(path)) == (ExitCode.OK, "", "")
    assert path.read_text() == run(tree, capsys, "compile")[1].replace('"/etc', f'"{tree.root}/etc')
    assert list(json.loads(path.read_text())["units"]) == ["llm.service"]


def test_compile_into_a_folder_that_cannot_be_fails_in_one_line(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(tree, capsys, "compile", "--output", f"{os.devnull}/configuration.json")
    assert code == ExitCode.FAILED
    assert err.startswith(f"graviton-agent: can't write {Path(os.devnull)}/configuration.json: ")
