"""Student's t, and the interval of a mean of few log ratios: all the statistics that deciding needs.

The agent's packages carry no scipy; the tests compare these functions with it.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from graviton_agent.calibration.rules import Rules


@dataclass(frozen=True)
class Estimate:
    """The mean of some pairs' log ratios, and how far it can be trusted."""

    mean: float
    standard_error: float
    degrees_of_freedom: float
    pairs: int

    @property
    def sd(self) -> float:
        """Standard deviation of one pair."""
        return self.standard_error * math.sqrt(self.pairs)

    def lower(self, alpha: float) -> float:
        """The one-sided lower bound: the true mean is below it with chance `alpha`."""
        return self.mean - self._reach(alpha)

    def upper(self, alpha: float) -> float:
        """The one-sided upper bound."""
        return self.mean + self._reach(alpha)

    def _reach(self, alpha: float) -> float:
        return t_quantile(1.0 - alpha, self.degrees_of_freedom) * self.standard_error


def estimate(log_ratios: Sequence[float], rules: Rules, prior_sd: float | None = None) -> Estimate:
    """Estimates the mean log ratio of pairs, of which there must be at least one.

    The variance of a few pairs is itself very uncertain, so it is drawn towards `prior_sd` (that of the
    rules if None), which counts as `rules.prior_pairs` further pairs: the usual scaled inverse chi-squared.
    """
    prior = max(rules.prior_sd if prior_sd is None else prior_sd, rules.floor_sd)
    count = len(log_ratios)
    mean = fmean(log_ratios)
    squares = math.fsum((ratio - mean) ** 2 for ratio in log_ratios)
    degrees = rules.prior_pairs + count - 1
    variance = (rules.prior_pairs * prior**2 + squares) / degrees
    sd = max(math.sqrt(variance), rules.floor_sd)
    return Estimate(mean, sd / math.sqrt(count), degrees, count)


@functools.lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """The value that Student's t falls below with this probability, by bisection of its distribution."""
    if not 0.0 < probability < 1.0:
        raise ValueError(f"a probability lies between 0 and 1, not {probability}")
    if probability < 0.5:
        return -t_quantile(1.0 - probability, degrees_of_freedom)
    low, high = 0.0, 2.0
    while t_distribution(high, degrees_of_freedom) < probability:
        low, high = high, high * 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if t_distribution(middle, degrees_of_freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def t_distribution(value: float, degrees_of_freedom: float) -> float:
    """The probability that Student's t is below a value."""
    square = value * value
    if square < degrees_of_freedom:
        # Near the middle the tail is one minus nearly nothing: what lies between the middle and it is exact.
        between = _incomplete_beta(0.5, degrees_of_freedom / 2.0, square / (degrees_of_freedom + square))
        return 0.5 + math.copysign(between / 2.0, value)
    tail = 0.5 * _incomplete_beta(
        degrees_of_freedom / 2.0, 0.5, degrees_of_freedom / (degrees_of_freedom + square)
    )
    return 1.0 - tail if value > 0 else tail


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _beta_fraction(a, b, x) / a
    return 1.0 - front * _beta_fraction(b, a, 1.0 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method [DLMF 8.17.22]."""
    tiny = 1e-300
    c = 1.0
    d = 1.0 / max(1.0 - (a + b) * x / (a + 1.0), tiny)
    result = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / (1.0 + term * d or tiny)
            c = 1.0 + term / c or tiny
            result *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return result
