"""The numbers that a calibration decides by, declared before anything is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """A point at which the confirmation may adopt the candidate."""

    pairs: int
    """How many pairs of processes must have been measured."""
    alpha: float
    """The one-sided chance of adopting a candidate that is no better, at this look alone."""


@dataclass(frozen=True)
class Rules:
    """What counts as a gain, as noise, and as too expensive. Gains are logarithms of ratios of time."""

    budget_seconds: float = 90.0
    """Wall time for everything; no trial is started that would end later."""
    minimum_gain: float = 0.03
    """The smallest gain that is worth a change to a host."""
    wanted_gain: float = 0.05
    """The gain that a calibration must be able to see: where noise hides it, the answer is inconclusive."""
    worth_confirming: float = 0.015
    """Screening must predict this much for a candidate to be confirmed."""
    tie: float = 0.006
    """Predictions closer than this are equal; the configuration with the fewest variables is then taken."""
    sure_gain: float = 0.01
    """A candidate is adopted if it is shown to gain more than this: what it is certain to bring."""
    looks: tuple[Look, ...] = (
        Look(2, 0.002),
        Look(3, 0.004),
        Look(4, 0.004),
        Look(5, 0.006),
        Look(6, 0.006),
        Look(8, 0.008),
        Look(12, 0.010),
    )
    """The looks of the confirmation; their alphas add up to the chance of adopting what gains `sure_gain`."""
    futility_from: int = 2
    """A candidate is given up after this many pairs at the earliest."""
    noisy_from: int = 4
    """It is called too noisy after this many pairs at the earliest: fewer don't know their own noise."""
    futility_alpha: float = 0.1
    """The one-sided chance of giving up a candidate that gains `minimum_gain`, at each pair."""
    coverage_alpha: float = 0.05
    """The reported interval misses the true gain with at most this chance."""
    prior_sd: float = 0.02
    """Standard deviation of a pair's log ratio, assumed until pairs say otherwise."""
    prior_pairs: float = 1.5
    """How many pairs the assumption weighs as much as."""
    floor_sd: float = 0.003
    """No pair is believed to be more exact than this."""
    screening_passes: int = 4
    """How many times an environment that is still in the race is started for screening at most."""
    screening_share: float = 0.25
    """Share of the budget after which no further pass begins."""
    hopeless: float = 0.10
    """An arm that loses by this much in the first pass is not measured again."""
    floor_saving: float = 0.01
    """A threshold below torch's own is measured further only if it saves this share of the mix at first
    sight: it needs more processes, which a slow host has no time for."""
    nothing_gained: float = 0.0
    """Screening ends after its first pass if no arm is predicted to gain more."""
    contender_reach: float = 0.03
    """After the first pass, arms whose prediction is this close to the best are measured again; later
    passes narrow it with the square root of their number, as the predictions get more exact."""
    most_contenders: int = 6
    block_seconds: float = 0.1
    """The shortest time that a block may take."""
    minimum_iterations: int = 1
    """The fewest iterations in a block."""
    warm_up_iterations: int = 2
    """The fewest iterations before the first block of a case on a path."""
    warm_up_seconds: float = 0.15
    """A cell that has run for so long is warm."""
    warm_up_limit: int = 10
    """The most of them: virtual machines often never settle."""
    settled: float = 0.05
    """Two successive warm-up iterations within this of each other end the warm-up."""
    canary_tolerance: float = 0.12
    """A round in which the canary's log differs by more from the session's median is measured again, unless
    the session's canaries differ as much all the time."""
    canary_share: float = 0.33
    """A pair's standard deviation is taken to be at least this share of the canaries'."""
    steal_tolerance: float = 0.02
    """A round that lost so much more of the host's CPU time to the hypervisor than the session's median round
    is measured again."""
    foreign_tolerance: float = 0.10
    """The same for CPU time that other processes used."""
    retries: int = 1
    """How many times a noisy round is measured again before its pair counts as dropped."""
    dropped_share: float = 0.3
    """More dropped pairs than this among those measured make the calibration inconclusive ..."""
    dropped_from: int = 4
    """... if they are at least so many: two may fall into one burst."""
    regression: float = 0.05
    """No batch with a share of at least `regression_weight` may get slower by more than this."""
    regression_weight: float = 0.05
    regression_pairs: int = 5
    """A batch that seems to get slower than that delays an adoption until so many pairs are measured."""
    accuracy_per_layer: float = 3.0 * 2.0**-8
    """Bound of the relative error norm for one bf16 layer; it grows with the square root of the layers,
    and the bound is that of 3*sqrt(L)*2^-8: 2 % for three layers."""
    minimum_cosine: float = 0.0
    """Smallest cosine similarity with float64; 0 is no bound beyond the norm's."""
    memory_margin_bytes: int = 32 * 1024 * 1024
    memory_margin_share: float = 0.05
    """A candidate may cost the larger of the two, in bytes and as a share of the default's peak."""
