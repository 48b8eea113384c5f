"""What is read of an answer of which only a part is wanted."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney import DBusAddress, Message, Parser, new_method_call, new_method_return

from graviton_agent.units.manager import Properties
from graviton_agent.units.sparing import SparingParser
from graviton_agent.units.unit import PROPERTIES, unit_of
from tests.control.systemd import properties

CALL = new_method_call(DBusAddress("/a", bus_name="a.b", interface="a.b"), "GetAll", "s", ("",))
CALL.header.serial = 1

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(
    st.tuples(st.just("s"), TEXT),
    st.tuples(st.just("b"), st.booleans()),
    st.tuples(st.just("y"), st.integers(0, 255)),
    st.tuples(st.just("n"), st.integers(-(2**15), 2**15 - 1)),
    st.tuples(st.just("u"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("t"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("d"), st.floats(allow_nan=False)),
    st.tuples(st.just("o"), st.just("/org/freedesktop")),
    st.tuples(st.just("g"), st.just("a(sv)")),
    st.tuples(st.just("ay"), st.binary(max_size=20)),
    st.tuples(st.just("as"), st.lists(TEXT, max_size=4)),
    st.tuples(st.just("at"), st.lists(st.integers(0, 2**64 - 1), max_size=3)),
    st.tuples(st.just("a(sb)"), st.lists(st.tuples(TEXT, st.booleans()), max_size=3)),
    st.tuples(st.just("a{ss}"), st.dictionaries(TEXT, TEXT, max_size=3)),
    st.tuples(st.just("(bas)"), st.tuples(st.booleans(), st.lists(TEXT, max_size=3))),
    st.tuples(st.just("(st)"), st.tuples(TEXT, st.integers(0, 2**64 - 1))),
    st.tuples(st.just("v"), st.tuples(st.just("s"), TEXT)),
)
ANSWERS = st.dictionaries(TEXT, VALUES, max_size=12)


def answer(values: dict[str, Any], signature: str = "a{sv}") -> bytes:
    """The bytes of an answer."""
    message: bytes = new_method_return(CALL, signature, (values,)).serialise(2)
    return message


def parsed(parser: Any, raw: bytes) -> Message:
    parser.add_data(raw)
    message = parser.get_next_message()
    assert message is not None
    return message


@given(ANSWERS, st.data())
def test_what_is_wanted_is_as_jeepney_reads_it(values: dict[str, Any], data: st.DataObject) -> None:
    wanted = data.draw(st.sets(st.sampled_from(sorted(values)))) if values else set()
    (whole,) = parsed(Parser(), answer(values)).body
    (part,) = parsed(SparingParser(frozenset(wanted)), answer(values)).body
    assert part == {name: whole[name] for name in wanted}


@given(ANSWERS)
def test_an_answer_that_comes_in_pieces_is_whole_with_the_last_one(values: dict[str, Any]) -> None:
    parser, raw = SparingParser(frozenset(values)), answer(values)
    for at in range(len(raw) - 1):
        assert parser.get_next_message() is None
        assert 0 < parser.bytes_desired() <= len(raw) - at
        parser.add_data(raw[at : at + 1])
    message = parsed(parser, raw[-1:])
    assert message.body == parsed(Parser(), raw).body


def test_other_answers_are_read_whole() -> None:
    raw = answer({"A": "1"}, "a{ss}")
    assert parsed(SparingParser(frozenset()), raw).body == ({"A": "1"},)


def test_the_message_after_it_is_read_too() -> None:
    parser = SparingParser(frozenset({"A"}))
    first = answer({"A": ("s", "1"), "B": ("s", "2")})
    parser.add_data(first + answer({"A": "3"}, "a{ss}"))
    assert [parsed(parser, b"").body for _ in range(2)] == [({"A": ("s", "1")},), ({"A": "3"},)]
    assert parser.get_next_message() is None


class Recording(dict[str, Any]):
    """Properties that remember which of them were asked for."""

    def __init__(self, given: Properties) -> None:
        super().__init__(given)
        self.asked: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        pytest.fail("all of them were asked for")


def test_all_that_makes_a_unit_is_wanted() -> None:
    recording = Recording(properties("llm.service"))
    unit_of(recording)
    assert recording.asked == PROPERTIES
