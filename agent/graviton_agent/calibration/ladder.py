"""What becomes of the arms that screening predicts: which are measured again, and which confirmed."""

import math
from collections.abc import Sequence
from dataclasses import replace

from graviton_agent.calibration.arms import Arm, Prediction, preferred
from graviton_agent.calibration.rules import Rules
from graviton_agent.workload import Workload


def contenders_of(predictions: Sequence[Prediction], done: int, rules: Rules) -> list[Arm]:
    """The arms that may still turn out best, after some passes of screening.

    None if nothing was faster than the default. None after the second pass if all of them share one
    environment: the same processes then measured them, side by side.
    """
    best = predictions[0].gain
    if best <= rules.nothing_gained:
        return []
    reach = rules.contender_reach / math.sqrt(done)
    found = [p.arm for p in predictions[: rules.most_contenders] if p.gain >= best - reach]
    return found if done == 1 or len({arm.environment for arm in found}) > 1 else []


def rungs(predictions: Sequence[Prediction], workload: Workload, rules: Rules) -> tuple[Arm, ...]:
    """At most two, declared beforehand: the candidate, and below it the same without its weakest setting.

    Empty if nothing is predicted to be worth a confirmation. What slows down a batch by more than the
    confirmation lets pass is left out: it would be refused after all its pairs. The second rung exists
    where the first has two settings or more and the second alone is still worth it: it is there for the
    case that a guard refuses the first.
    """
    if not predictions:
        return ()
    default = next((p for p in predictions if not p.arm.configuration.variables), None)
    allowed = [p for p in predictions if default is None or not _harms(p, default, workload, rules)]
    first = preferred(allowed or predictions, rules.tie)
    if first.gain < rules.worth_confirming:
        return ()
    chosen = [first]
    variables = first.arm.configuration.environment
    lesser = [
        p
        for p in allowed
        if p.gain >= rules.minimum_gain
        and len(p.arm.configuration.variables) == len(variables) - 1
        and p.arm.environment.environment.items() <= first.arm.environment.environment.items()
        and p.arm.threshold in {None, first.arm.threshold}
        and p.arm.threads in {None, first.arm.threads}
    ]
    if len(variables) > 1 and lesser:
        chosen.append(max(lesser, key=lambda prediction: prediction.gain))
    return tuple(replaced_threshold(p.arm, predictions, workload) for p in chosen)


def _harms(prediction: Prediction, default: Prediction, workload: Workload, rules: Rules) -> bool:
    """Whether a case that counts is predicted to get slower than the confirmation would let pass."""
    return any(
        case.weight >= rules.regression_weight and math.log(own / before) > rules.regression
        for case, own, before in zip(
            workload.cases, prediction.milliseconds, default.milliseconds, strict=True
        )
    )


def replaced_threshold(arm: Arm, predictions: Sequence[Prediction], workload: Workload) -> Arm:
    """The arm with its threshold moved to where the backends cross, within the range that acts alike.

    Every value of the range is the same configuration for the measured batches; for a batch between them
    the best guess is the crossing of the two backends' times, interpolated over the logarithm of the batch.
    """
    if arm.threshold is None:
        return arm
    low = arm.threshold.value
    above = [dimension for dimension in workload.dimensions if dimension > low]
    if not above:
        return arm
    crossing = _crossing(arm, predictions, workload, low)
    value = low if crossing is None else max(low, min(above[0] - 1, round(crossing)))
    return replace(arm, threshold=replace(arm.threshold, value=value))


def _crossing(arm: Arm, predictions: Sequence[Prediction], workload: Workload, low: int) -> float | None:
    """The batch at which oneDNN becomes as fast as BLAS; None if the measured cases don't bracket it."""
    by_arm = {p.arm: p.milliseconds for p in predictions}
    onednn = by_arm.get(replace(arm, threshold=None))
    blas = _all_on_blas(arm, predictions)
    if onednn is None or blas is None:
        return None
    points = sorted(
        (case.batch, math.log(blas[index] / onednn[index])) for index, case in enumerate(workload.cases)
    )
    below = [point for point in points if point[0] <= low]
    beyond = [point for point in points if point[0] > low]
    if not below or not beyond or not below[-1][1] < 0 < beyond[0][1]:
        return None
    (x0, y0), (x1, y1) = below[-1], beyond[0]
    return math.exp(math.log(x0) + (math.log(x1) - math.log(x0)) * -y0 / (y1 - y0))


def _all_on_blas(arm: Arm, predictions: Sequence[Prediction]) -> tuple[float, ...] | None:
    """Times of the arm with the highest threshold, or of the one measured in its place.

    Where BLAS computes everything fast math is not seen, and environments that differ by it share one arm.
    """
    levers = arm.environment.environment.items()
    alike = [
        (p.arm.threshold.value, len(p.arm.environment.variables), p.milliseconds)
        for p in predictions
        if p.arm.threshold is not None
        and p.arm.threads == arm.threads
        and p.arm.environment.environment.items() <= levers
    ]
    return max(alike)[2] if alike else None
