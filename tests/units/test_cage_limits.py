"""How long the cage waits for what runs in it."""

from graviton_agent.configuration.model import UnitOptions
from graviton_agent.units.cage import slowness


def test_the_default_timeout_of_a_unit_is_the_usual_one() -> None:
    assert slowness(UnitOptions().timeout) == 1.0


def test_whoever_has_raised_it_has_a_slower_host() -> None:
    assert slowness(30 * 60.0) == 15.0


def test_a_shorter_one_leaves_the_cage_its_time() -> None:
    assert slowness(10.0) == 1.0
