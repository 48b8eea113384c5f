"""What is seen on the machines: one scenario per file, and the list of them in the order of their cost."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.scenarios import detecting, first_boot


@dataclass(frozen=True)
class Scenario:
    """A story that is played on machines of its own."""

    name: str
    title: str
    play: Callable[[Bench, Checks], None]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("detecting", "Which Graviton a machine is", detecting.play),
        Scenario("first-boot", "A unit is calibrated before its first start", first_boot.play),
    )
}
