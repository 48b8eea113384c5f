"""Text in columns: aligned, within the width, and with nothing lost."""

from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.report.columns import WIDTH, definitions, paragraph, table

words = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=12)
rows = st.integers(1, 4).flatmap(
    lambda columns: st.lists(st.lists(words, min_size=columns, max_size=columns), min_size=1, max_size=5)
)


@given(rows)
def test_every_cell_of_a_column_begins_where_its_header_does(lines: list[list[str]]) -> None:
    header, *body = lines
    printed = table(header, body).splitlines()
    starts = [
        2 + sum(max(len(line[before]) for line in lines) + 3 for before in range(column))
        for column in range(len(header))
    ]
    for line, text in zip(lines, printed, strict=True):
        for cell, start in zip(line, starts, strict=True):
            assert text[start : start + len(cell)] == cell
            assert text[start - 2 : start].isspace()


@given(rows)
def test_cells_on_the_right_end_where_their_header_does(lines: list[list[str]]) -> None:
    header, *body = lines
    ends, position = [], -1
    for column in range(len(header)):
        position += 3 + max(len(line[column]) for line in lines)
        ends.append(position)
    printed = table(header, body, right=frozenset(range(len(header)))).splitlines()
    for line, text in zip(lines, printed, strict=True):
        for cell, end in zip(line, ends, strict=True):
            assert text[end - len(cell) : end] == cell


def test_a_table_of_times() -> None:
    printed = table(
        ["batch", "default", "kernel"],
        [["10", "12.7 ms", "BLAS"], ["256", "162.0 ms", "oneDNN"]],
        right=frozenset({0, 1}),
    )
    assert printed.splitlines() == [
        "  batch    default   kernel",
        "     10    12.7 ms   BLAS",
        "    256   162.0 ms   oneDNN",
    ]


def test_a_last_column_that_is_too_wide_goes_on_below_itself() -> None:
    printed = table(["batch", "kernel"], [["10", "gemm:acl " * 20], ["32", "BLAS"]]).splitlines()
    assert all(len(line) <= WIDTH for line in printed)
    assert printed[1].startswith("  10      gemm:acl gemm:acl")
    assert printed[2].startswith("          gemm:acl")
    assert " ".join(printed).count("gemm:acl") == 20
    assert printed[-1] == "  32      BLAS"


def test_a_name_that_leaves_no_room_stands_above_its_meaning() -> None:
    printed = definitions([("A" * 90, "what it means"), ("B", "another")])
    assert printed.splitlines() == ["  " + "A" * 90, "      what it means", "  B   another"]


names = st.text(st.characters(codec="ascii", categories=["Lu"]), min_size=1, max_size=98)
meanings = st.lists(words, max_size=40).map(" ".join)


@given(st.lists(st.tuples(names, meanings), max_size=5))
def test_definitions_lose_no_word_and_stay_within_the_width(pairs: list[tuple[str, str]]) -> None:
    printed = definitions(pairs, indent="  ")
    assert printed.split() == [word for name, meaning in pairs for word in (name, *meaning.split())]
    assert all(len(line) <= WIDTH for line in printed.splitlines())


@given(st.lists(st.tuples(names.filter(lambda name: len(name) <= 60), meanings), min_size=1, max_size=5))
def test_meanings_stand_below_each_other(pairs: list[tuple[str, str]]) -> None:
    start = 2 + max(len(name) for name, _ in pairs) + 3
    for line in definitions(pairs).splitlines():
        assert line[start - 1 : start] in {"", " "}
        assert not line[start : start + 1].isspace()


def test_no_definitions_are_no_text() -> None:
    assert definitions([]) == ""


@given(meanings)
def test_a_paragraph_loses_no_word_and_stays_within_the_width(text: str) -> None:
    printed = paragraph(text, indent="  ")
    assert printed.split() == text.split()
    assert all(len(line) <= WIDTH and line.startswith("  ") for line in printed.splitlines())
