"""What a run of `make test-graviton` leaves in the documents; the run is no part of this suite."""

from pathlib import Path

import pytest

from tests.graviton.checks import Checks
from tests.graviton.guest import GuestError
from tests.graviton.instance import C7G, PLAIN
from tests.graviton.scenarios import SCENARIOS
from tests.graviton.verification import DOCUMENT, LONGEST_CELL, keep, render


def fail(error: Exception) -> None:
    raise error


@pytest.fixture
def checks(capsys: pytest.CaptureFixture[str]) -> Checks:
    """One claim that held, and one that didn't."""
    checks = Checks("detecting")
    with checks.check("water is wet") as check:
        check.saw("a | b\nc")
    with checks.check("fire is cold") as check:
        check.saw("800 degrees")
        fail(GuestError("it burns"))
    capsys.readouterr()
    return checks


def test_a_claim_that_fails_is_counted_and_hides_no_other(checks: Checks) -> None:
    assert (checks.passed, checks.failed) == (1, 1)
    assert checks.done[1].problem == "GuestError: it burns"


def test_a_bare_assertion_is_told_by_its_line(checks: Checks) -> None:
    with checks.check("ice is hot"):
        fail(AssertionError())
    assert checks.done[2].problem == "not so: raise error"


def test_what_was_seen_is_told_in_one_line_each(checks: Checks) -> None:
    rows = [line for line in render(checks, "Title", "torch 2.9.1").splitlines() if line.startswith("| ")]
    assert rows == [
        "| claim | seen | |",
        "| water is wet | a \\| b c | passed |",
        "| fire is cold | 800 degrees | **failed**: GuestError: it burns |",
    ]


def test_a_result_takes_the_place_of_the_former_one_and_touches_nothing_else(
    checks: Checks, tmp_path: Path
) -> None:
    page = tmp_path / "verification.md"
    page.write_text("before\n<!-- test-graviton detecting -->\nformer\n<!-- end of detecting -->\nafter\n")
    keep(checks, "Title", "torch 2.9.1", page)
    keep(checks, "Title", "torch 2.9.1", page)
    text = page.read_text()
    assert text.startswith("before\n<!-- test-graviton detecting -->\n### Title\n")
    assert text.endswith("\n<!-- end of detecting -->\nafter\n")
    assert "former" not in text
    assert text.count("water is wet") == 1


def test_what_a_machine_prints_is_cut_to_fit(checks: Checks) -> None:
    checks.done[0].saw("x" * 5000)
    assert f"| {'x' * (LONGEST_CELL - 3)}... |" in render(checks, "Title", "")


def test_the_page_has_a_place_for_every_scenario() -> None:
    text = DOCUMENT.read_text()
    for name in SCENARIOS:
        assert text.count(f"<!-- test-graviton {name} -->") == 1
        assert text.count(f"<!-- end of {name} -->") == 1


def test_an_instance_says_of_itself_what_ec2_says() -> None:
    options = " ".join(C7G.options)
    assert "type=1,manufacturer=Amazon EC2,product=c7g.xlarge" in options
    assert "version=AWS Graviton3" in options


def test_a_plain_machine_is_left_as_qemu_makes_it() -> None:
    assert "-smbios" not in PLAIN.options
