"""On which line a key stands."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.configuration.positions import key_lines, line_of

TEXT = '''# a comment
enabled = true

[defaults]
layers = """
[units."not.service"]
"""
settings = [
    "bf16",   # not a key
]
[units."llm.service"]
a.b = 1
pin = { OMP_NUM_THREADS = "4" }

[units.'a\\x2d.service'.pin]
X = 1
'''


def test_keys_tables_and_inline_tables_have_their_own_lines() -> None:
    assert key_lines(TEXT) == {
        ("enabled",): 2,
        ("defaults",): 4,
        ("defaults", "layers"): 5,
        ("defaults", "settings"): 8,
        ("units",): 11,
        ("units", "llm.service"): 11,
        ("units", "llm.service", "a"): 12,
        ("units", "llm.service", "a", "b"): 12,
        ("units", "llm.service", "pin"): 13,
        ("units", "llm.service", "pin", "OMP_NUM_THREADS"): 13,
        ("units", "a\\x2d.service"): 15,
        ("units", "a\\x2d.service", "pin"): 15,
        ("units", "a\\x2d.service", "pin", "X"): 16,
    }


def test_a_key_without_a_line_takes_that_of_the_table_around_it() -> None:
    assert line_of(key_lines(TEXT), ("units", "llm.service", "unheard")) == 11


def test_a_key_of_an_array_of_tables_has_a_line() -> None:
    assert key_lines("[[a.b]]\nc = 1\n[[a.b]]\nc = 2\n") == {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 2}


KEYS = st.text("abc-_1", min_size=1, max_size=4)
VALUES = st.sampled_from(
    ["1", '"x"', '"""\n[t]\nk = 1\n"""', "[\n1,\n2]", "'''\n\n'''", "{ z = 1 }", "1979-05-27T07:32:00Z"]
)


@given(st.lists(st.tuples(KEYS, VALUES), unique_by=lambda pair: pair[0]))
def test_every_key_of_a_table_is_found_on_the_line_where_it_was_written(pairs: list[tuple[str, str]]) -> None:
    text, expected = "[table]\n", {}
    for key, value in pairs:
        expected[key] = text.count("\n") + 1
        text += f"{key} = {value} # comment\n"
    lines = key_lines(text)
    assert {key: lines["table", key] for key in tomllib.loads(text)["table"]} == expected
