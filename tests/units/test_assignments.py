"""The syntax of environment files; tests/systemd holds the same against systemd itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.units.assignments import (
    find_in_environment_block,
    parse_assignments,
    parse_environment_block,
    render_assignments,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("  A = 1  \n", {"A": "1"}),
        ("A=\n", {"A": ""}),
        ("A=no newline", {"A": "no newline"}),
        ("# A=1\n; B=2\nC=3\n", {"C": "3"}),
        ("A=1 # not a comment\n", {"A": "1 # not a comment"}),
        ("A='single $x \\n'\n", {"A": "single $x \\n"}),
        ('A="double \\"q\\" \\$x \\n"\n', {"A": 'double "q" $x \\n'}),
        ('A="two\nlines"\n', {"A": "two\nlines"}),
        ("A=one\\\ntwo\n", {"A": "onetwo"}),
        ("A=\"a\" 'b' c\n", {"A": "abc"}),
        ("A=it's\n", {"A": "it's"}),
        ("A=a\\ \n", {"A": "a "}),
        ("export A=1\n", {}),
        ("no assignment\nB=2\n", {"B": "2"}),
        ("1A=1\nB-C=2\n", {}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=tab\tkept\n", {"A": "tab\tkept"}),
        ("A=bell\x07\nB=2\n", {"A": "bell\x07", "B": "2"}),
        ("# commented \\\nA=1\n", {"A": "1"}),
        ("", {}),
    ],
)
def test_a_file_is_read_as_systemd_reads_it(text: str, expected: dict[str, str]) -> None:
    assert parse_assignments(text.encode()) == expected


@pytest.mark.parametrize("value", [b"\xff", b"a\0b"])
def test_a_value_that_is_not_text_spoils_the_whole_file(value: bytes) -> None:
    assert parse_assignments(b"A=1\nB=" + value + b"\nC=3\n") == {}


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("\"'\\`$ #;=\r\n")
)


@given(st.dictionaries(NAMES, VALUES))
def test_what_is_rendered_is_read_back(environment: dict[str, str]) -> None:
    assert parse_assignments(render_assignments(environment)) == environment


@given(st.binary())
def test_no_bytes_make_the_reader_fail(content: bytes) -> None:
    parse_assignments(content)


def test_a_variable_that_no_file_can_carry_is_left_out() -> None:
    assert render_assignments({"A": "1", "B": "\udcff", "C-D": "2"}) == b'A="1"\n'


def test_the_environment_of_a_process_is_split_at_zero_bytes() -> None:
    assert parse_environment_block(b"A=1\0B=x=y\0broken\0C=\0") == {"A": "1", "B": "x=y", "C": ""}


def test_single_variables_are_found_wherever_they_stand() -> None:
    raw = b"A=1\0B=A=2\0AA=3\0broken\0C.D=\xff\0CxD=4\0E="
    found = find_in_environment_block(raw, ["A", "C.D", "E", "missing"])
    assert found == {"A": "1", "C.D": "\ufffd", "E": ""}


@given(st.dictionaries(NAMES, VALUES), st.sets(NAMES, min_size=1))
def test_they_are_those_of_the_whole(environment: dict[str, str], names: set[str]) -> None:
    raw = "".join(f"{name}={value}\0" for name, value in environment.items()).encode()
    wanted = {name: value for name, value in environment.items() if name in names}
    assert find_in_environment_block(raw, names) == wanted
