"""How systemd makes words of an ExecStart= line."""

from graviton_agent.units.command_line import CommandLine
from tests.units.services import command

ENVIRONMENT = {"MODEL": "bert", "OPTIONS": "--workers 4 --name 'two words'", "EMPTY": ""}


def words(*arguments: str) -> tuple[str, ...]:
    return command("serve", *arguments).expand(ENVIRONMENT)[1:]


def test_a_variable_in_braces_is_replaced_within_a_word() -> None:
    assert words("/models/${MODEL}.pt") == ("/models/bert.pt",)


def test_a_variable_in_braces_stays_one_word() -> None:
    assert words("${OPTIONS}") == ("--workers 4 --name 'two words'",)


def test_a_variable_alone_becomes_as_many_words_as_it_has() -> None:
    assert words("$OPTIONS") == ("--workers", "4", "--name", "two words")


def test_an_empty_variable_alone_becomes_no_word() -> None:
    assert words("$EMPTY", "$UNKNOWN", "x") == ("x",)


def test_an_unknown_variable_in_braces_is_empty() -> None:
    assert words("a${UNKNOWN}b") == ("ab",)


def test_a_variable_without_braces_within_a_word_is_left() -> None:
    assert words("a$MODEL") == ("a$MODEL",)


def test_two_dollar_signs_are_one() -> None:
    assert words("$$MODEL") == ("$MODEL",)


def test_the_colon_prefix_keeps_every_word() -> None:
    line = CommandLine("serve", ("serve", "${MODEL}"), frozenset({"no-env-expand"}))
    assert line.expand(ENVIRONMENT) == ("serve", "${MODEL}")
