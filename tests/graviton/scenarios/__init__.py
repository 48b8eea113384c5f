"""What is seen on the machines: one scenario per file, and the list of them in the order of their cost."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.graviton.bench import Bench
from tests.graviton.checks import Checks
from tests.graviton.scenarios import adoption, detecting, first_boot, honesty, huge_pages, kernels, limits


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
        Scenario("kernels", "Which kernels a variable makes torch run", kernels.play),
        Scenario("first-boot", "A unit is calibrated before its first start", first_boot.play),
        Scenario("adoption", "What wins reaches the unit, and no other instance type", adoption.play),
        Scenario("honesty", "What works and doesn't pay is left", honesty.play),
        Scenario("limits", "A unit's limits are enforced, and hold for its calibration", limits.play),
        Scenario("huge-pages", "Which variable moves huge pages, by release", huge_pages.play),
    )
}
