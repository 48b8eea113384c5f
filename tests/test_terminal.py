"""Nothing that others have written speaks to a terminal."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graviton_agent
from graviton_agent.report.columns import definitions, paragraph, table
from graviton_agent.terminal import one_line, say, tell, visible

TITLE = "\x1b]0;root@host\x07"
BIDI = "llm\u202eecivres.\u202c"
HOSTILE = [
    (f"2.9.1{TITLE}", "2.9.1\\u001b]0;root@host\\u0007"),
    (BIDI, "llm\\u202eecivres.\\u202c"),
    ("\u2066a\u2069", "\\u2066a\\u2069"),
    ("done\r\x1b[2Kfaked", "done\\r\\u001b[2Kfaked"),
    ("\x9b31mred", "\\u009b31mred"),
    ("\x7f\x08", "\\u007f\\b"),
    ("a\u2028b", "a\\u2028b"),
    ("/opt/\udcff", "/opt/\\udcff"),
    ("\U000e0041", "\\udb40\\udc41"),
]


@pytest.mark.parametrize(("text", "printed"), HOSTILE, ids=ascii)
def test_what_would_speak_to_a_terminal_is_written_out(text: str, printed: str) -> None:
    assert visible(text) == printed


@given(st.text())
def test_what_is_printed_is_printable_but_for_line_breaks(text: str) -> None:
    assert visible(text).replace("\n", "").isprintable()
    assert one_line(text).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_stays_exact(text: str) -> None:
    assert json.loads(visible(json.dumps({"name": text}, ensure_ascii=False))) == {"name": text}


def test_a_line_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    say("torch says:\ngraviton-agent: all is well")
    assert capsys.readouterr().err == "torch says:\\ngraviton-agent: all is well\n"


def test_a_report_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell("one\ntwo\x1b[31m")
    assert capsys.readouterr().out == "one\ntwo\\u001b[31m\n"


def test_columns_stay_aligned_with_what_is_written_out() -> None:
    lines = table(["unit", "state"], [["a\x1b[31m.service", "applied"], ["b.service", "held"]]).splitlines()
    assert (
        len({line.index(word) for line, word in zip(lines, ("state", "applied", "held"), strict=True)}) == 1
    )
    first, second = definitions([("a\x1b", "one"), ("b", "two")]).splitlines()
    assert first.index("one") == second.index("two")
    assert paragraph("torch 2\x1b[31m") == "torch 2\\u001b[31m"


def test_everything_is_printed_in_one_place() -> None:
    """The worker, which runs under other Pythons, has a channel there; the check imports next to nothing."""
    package = Path(graviton_agent.__file__).parent
    apart = {"terminal.py", "calibration/worker.py", "units/check.py", "units/generator.py"}
    others = {"print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write"}
    found: list[str] = []
    for path in package.rglob("*.py"):
        if str(path.relative_to(package)) in apart:
            continue
        found += [
            f"{path.relative_to(package)}:{node.lineno}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and ast.unparse(node.func) in others
        ]
    assert found == []
