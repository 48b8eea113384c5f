"""Plain TOML is read as tomllib would read it, or not at all."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from graviton_agent.configuration.plain_toml import WANTED, Options, read_plain

SHIPPED = Path(__file__).parents[2] / "etc/graviton-agent.toml"

HEADERS = st.sampled_from(
    [
        '[units."a.service"]', "[units.'a.service']", '[units."a.service".pin]', "[units.'a\\x2d.service']",
        '[units."a\\u002eservice"]', "[defaults]", "[defaults.pin]", "[quiet]", "[units]", "[unheard]",
        "[[units]]", "[ defaults ]", "[defaults] # ]", '[units."a.service"] # [x]', '[units."b".c]',
        '["units"."a.service"]', "[units.a]", '[units.""]', '[units."a]b"]', "[units.'a\"b']",
        "[units.'a'.b.'c']",
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "enabled", "check", "calibrate", "threads", '"check"', "'check'", "pin.A", 'pin."A B"', "pin . check",
        "units", "defaults", "defaults.check", 'units."a.service".check', "check.a", "a-b", "1",
        "quiet.check", '"check".a', "pin.check",
    ]
)  # fmt: skip
VALUES = st.sampled_from(
    [
        "true", "false", "true # false", "false#", '"manual"', "'manual'", '"a # b" # c', '"a\\"b"',
        '"\\u0061"', "1", "1.5", "1979-05-27", "[]", "[1, 2]", "[1, 2] # ]", "[\n1,\n2]",
        "[ # ]\n1]", '["]", []\n, [1]]',
        '["[",\n"]"]', "[[1],\n[2]]", '"""a"""', '"""\n[defaults]\ncheck = false\n"""', "'''\n'''",
        "{ check = false }", "{}", "{ a = [\n1] }", '{ a = "}" }', '{ "a.service" = { check = false } }',
        '"[defaults]"', '""', "''", '"\\\\"', "'\\'", "[ '''\n''' ]", '"x"   ',
    ]
)  # fmt: skip
LINES = st.one_of(
    st.builds("{}{}{}".format, KEYS, st.sampled_from([" = ", "=", "\t=\t"]), VALUES),
    st.sampled_from(["", "# check = false", "   ", "\t# [defaults]", "check = false\r"]),
)
SECTIONS = st.builds(
    lambda header, lines: "\n".join([header, *lines]), HEADERS, st.lists(LINES, max_size=2, unique=True)
)
FILES = st.builds(
    lambda top, sections: "\n".join([*top, *sections]),
    st.lists(LINES, max_size=2, unique=True),
    st.lists(SECTIONS, max_size=2, unique=True),
)


def with_tomllib(text: str) -> tuple[Options, Options, dict[str, Options]]:
    """The same by the book."""

    def wanted(table: object) -> Options:
        found = table if isinstance(table, dict) else {}
        return {
            key: found[key] if isinstance(found[key], bool | str) else None for key in WANTED if key in found
        }

    tree = tomllib.loads(text)
    units = tree.get("units", {})
    tables = units.items() if isinstance(units, dict) else ()
    return wanted(tree), wanted(tree.get("defaults")), {name: wanted(table) for name, table in tables}


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(FILES)
def test_what_is_read_is_what_tomllib_reads(text: str) -> None:
    try:
        expected = with_tomllib(text)
    except tomllib.TOMLDecodeError:
        reject()
    found = read_plain(text)
    assert found is None or found == expected


@given(st.text(st.sampled_from("[]{}\"'#=. \n\\abcheckunitsdefaultsservice"), max_size=60))
def test_any_text_is_read_as_tomllib_reads_it_or_not_at_all(text: str) -> None:
    try:
        expected = with_tomllib(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        read_plain(text)
        return
    found = read_plain(text)
    assert found is None or found == expected


PLAIN = """
# a comment
enabled = true

[defaults]
calibrate = "before-start"   # not "manual"
forbid = ["bf16", "threads"]
[defaults.pin]
A = "1"
[quiet]
load = 0.5
[units."a.service"]
check=false
pin = { OMP_NUM_THREADS = "4" }
pin.B = "check = true"
[units.'a-b\\x2dc.service']
"""


def test_an_ordinary_file_is_plain() -> None:
    assert read_plain(PLAIN) == (
        {"enabled": True},
        {"calibrate": "before-start"},
        {"a.service": {"check": False}, "a-b\\x2dc.service": {}},
    )


def test_the_shipped_file_is_plain() -> None:
    assert read_plain(SHIPPED.read_text()) == ({}, {}, {})


@pytest.mark.parametrize(
    "text",
    [
        'x = """\n[units."a.service"]\n"""',
        "x = [ # ]\n1]",
        'units."a.service".check = false',
        'units = { "a.service" = {} }',
        '[units]\n"a.service" = {}',
        '"check" = false',
        'check = "\\u0061"',
        "check = [",
        "no statement",
    ],
)
def test_what_takes_more_than_a_look_is_left_to_tomllib(text: str) -> None:
    assert read_plain(text) is None
