"""Arms: the configurations that screening compares, in the parts that it varies in different ways."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graviton_agent.calibration.plan import Choice
from graviton_agent.calibration.proof import Threshold
from graviton_agent.calibration.trial import DEFAULT, Configuration
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.settings.matmul_threshold import MatmulThreshold
from graviton_agent.settings.threads import Threads


@dataclass(frozen=True)
class Arm:
    """One configuration: its environment levers, its threshold and its threads."""

    environment: Configuration = DEFAULT
    """The levers, which need a process of their own."""
    threshold: Threshold | None = None
    threads: int | None = None

    @property
    def configuration(self) -> Configuration:
        """The arm as variables alone."""
        extra: dict[str, str] = {}
        if self.threshold is not None:
            extra[MatmulThreshold.variable] = str(self.threshold.value)
        if self.threads is not None:
            extra[Threads.variable] = str(self.threads)
        return self.environment.merged(Configuration.of(extra))


DEFAULT_ARM = Arm()


@dataclass(frozen=True)
class Prediction:
    """What screening expects of an arm."""

    arm: Arm
    gain: float
    """Logarithm of the default's mix cost over the arm's."""
    milliseconds: tuple[float, ...]
    """Time of one forward pass for each case of the workload."""

    @property
    def ratio(self) -> float:
        """The gain as a ratio of time, default over the arm."""
        return math.exp(self.gain)


def environments(levers: Sequence[Choice]) -> tuple[Configuration, ...]:
    """Every combination of levers switched on and off: the default first, all of them last."""
    return tuple(
        combined(chosen)
        for count in range(len(levers) + 1)
        for chosen in itertools.combinations(levers, count)
    )


def combined(levers: Iterable[Choice]) -> Configuration:
    """The configuration with all these levers on."""
    return Configuration.of({lever.setting.variable: lever.value for lever in levers})


def arms_of(
    levers: Sequence[Choice], thresholds: Sequence[Threshold], threads: Sequence[int]
) -> tuple[Arm, ...]:
    """Every arm that can differ from the others, the default first."""
    return tuple(
        Arm(environment, threshold, count)
        for environment in environments(levers)
        for threshold in (None, *thresholds)
        for count in (None, *threads)
    )


def preferred(predictions: Sequence[Prediction], tie: float) -> Prediction:
    """The prediction to follow: of those within `tie` of the best, the one that changes least.

    Least is the fewest variables, and among equals the one that leaves the settings at the head of the
    catalogue alone, which change results or cost memory.
    """
    best = max(prediction.gain for prediction in predictions)

    def change(prediction: Prediction) -> tuple[int, list[bool], float]:
        environment = prediction.arm.configuration.environment
        return len(environment), [s.variable in environment for s in CATALOGUE], -prediction.gain

    return min((p for p in predictions if p.gain >= best - tie), key=change)
