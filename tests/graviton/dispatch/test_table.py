import pytest

from tests.graviton.dispatch.table import put, replaced, rows_of

DOCUMENT = """before
<!-- begin fruit -->
| kind | core | seen |
|---|---|---|
| apple | soft | alive |
| cherry | hard | dead |
<!-- end fruit -->
after
"""
ORDER = [("apple", "soft"), ("banana", "none"), ("cherry", "hard")]


def test_a_row_takes_the_place_of_its_former_self_and_the_others_stay() -> None:
    text = replaced(DOCUMENT, "fruit", {("apple", "soft"): ("dead",)}, ORDER)
    assert text == DOCUMENT.replace("soft | alive", "soft | dead")


def test_a_new_row_stands_where_the_order_has_it() -> None:
    text = replaced(DOCUMENT, "fruit", {("banana", "none"): ("alive",)}, ORDER)
    assert text.index("| apple") < text.index("| banana | none | alive |") < text.index("| cherry")


def test_a_row_that_is_no_longer_observed_is_dropped() -> None:
    text = replaced(DOCUMENT, "fruit", {("apple", "soft"): ("alive",)}, ORDER[:1])
    assert text == DOCUMENT.replace("| cherry | hard | dead |\n", "")


def test_a_document_without_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="begin vegetables"):
        replaced(DOCUMENT, "vegetables", {}, ORDER)


def test_a_table_is_read_as_its_head_and_its_rows() -> None:
    head, *rows = rows_of(DOCUMENT, "fruit")
    assert head == ("kind", "core", "seen")
    assert rows == [("apple", "soft", "alive"), ("cherry", "hard", "dead")]


def test_a_text_takes_the_place_of_what_stood_between_the_marks() -> None:
    assert put(DOCUMENT, "fruit", "none\n") == (
        "before\n<!-- begin fruit -->\nnone\n<!-- end fruit -->\nafter\n"
    )
