"""Screening: measures every way through torch that could differ here, and predicts each arm's cost.

Screening only nominates. What it nominates is confirmed against the default in processes that it never saw.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from graviton_agent.calibration.arms import (
    DEFAULT_ARM,
    Arm,
    Prediction,
    arms_of,
    combined,
    environments,
)
from graviton_agent.calibration.cells import CellKey, Cells
from graviton_agent.calibration.journal import Journal, OutOfTimeError, RecordedTrial
from graviton_agent.calibration.plan import Choice, Plan
from graviton_agent.calibration.proof import (
    Effect,
    Threshold,
    accuracy_problem,
    default_split,
    distinct_thresholds,
    lever_effect,
    threshold_effect,
)
from graviton_agent.calibration.rounds import Rounds
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import (
    DEFAULT,
    Configuration,
    Memory,
    Observation,
    TrialError,
    TrialSpec,
)


@dataclass(frozen=True)
class Refusal:
    """An arm, or all arms of an environment, that a guard or a failure removed."""

    configuration: Configuration
    reason: str


@dataclass
class Screening:
    """What screening found out."""

    effects: list[Effect] = field(default_factory=list)
    """What each setting was seen to do."""
    refusals: list[Refusal] = field(default_factory=list)
    observations: dict[Configuration, Observation] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    """Falling by gain; the default is among them."""
    finished: bool = False
    """Whether the budget lasted for all of it."""
    pair_variances: tuple[float, ...] = ()
    """Blind estimates of a pair's variance: squared differences between two launches of one environment."""

    @property
    def default(self) -> Observation:
        """What the default configuration does."""
        return self.observations[DEFAULT]


class Screener:
    """Runs the screening of one plan."""

    def __init__(self, journal: Journal, plan: Plan, rules: Rules, rounds: Rounds, blas: str) -> None:
        self._journal = journal
        self._plan = plan
        self._rules = rules
        self._rounds = rounds
        self._blas = blas
        self._levers: tuple[Choice, ...] = plan.levers
        self._thresholds: tuple[Threshold, ...] = ()
        self._threads: tuple[int, ...] = plan.threads
        self._cells = Cells(plan.workload)
        self._memory: dict[Configuration, Memory] = {}
        self._launches = 0
        self._found = Screening()

    def run(self) -> Screening:
        """Measures everything once, then again what is still in the race.

        Raises TrialError if the default configuration itself can't be run.
        """
        with suppress(OutOfTimeError):
            self._look()
            self._cover()
            for done in range(1, self._rules.screening_passes):
                contenders = self._contenders(done)
                if not contenders or self._journal.elapsed() > self._share_of_budget():
                    break
                self._repeat(contenders, done)
            self._found.finished = True
        # Thread counts that lost at once are no longer in the race, but belong into the account of it.
        self._threads = self._plan.threads
        self._found.predictions = self._predictions()
        self._found.pair_variances = self._cells.pair_variances(self._memory)
        self._found.refusals += [
            Refusal(lever.configuration, reason)
            for lever in self._levers
            if (reason := self._guarded(Arm(lever.configuration)))
        ]
        return self._found

    # What can differ at all

    def _look(self) -> None:
        """Starts the default beside a process with every lever on: proves, guards, and measures both."""
        everything = combined(self._levers)
        try:
            self._launch([DEFAULT, everything] if self._levers else [DEFAULT], first_look=True)
        except TrialError as error:
            if error.configuration == DEFAULT:
                raise
            self._found.refusals.append(Refusal(error.configuration, error.reason))
            self._look_at_each()

    def _look_at_each(self) -> None:
        """All levers together failed: looks at each beside the default, and forgets those that fail alone."""
        several = self._levers if len(self._levers) > 1 else ()
        self._levers = ()
        alive: list[Choice] = []
        for lever in several:
            self._levers = (lever,)
            try:
                self._launch([DEFAULT, lever.configuration], first_look=True)
            except TrialError as error:
                if error.configuration == DEFAULT:
                    raise
                self._found.refusals.append(Refusal(error.configuration, error.reason))
                continue
            alive.extend(self._levers)
        self._levers = tuple(alive)
        if DEFAULT not in self._found.observations:
            self._launch([DEFAULT], first_look=True)

    def _prove(self, trials: Sequence[RecordedTrial]) -> None:
        """Observes the trials, and drops the levers and thresholds that do nothing here."""
        for trial in trials:
            configuration = trial.spec.configuration
            if configuration not in self._found.observations:
                self._found.observations[configuration] = trial.observe()
        default = self._found.default
        tried = self._found.observations[combined(self._levers)]
        alive = []
        for lever in self._levers:
            effect = lever_effect(lever, default, tried, self._plan.workload)
            self._found.effects.append(effect)
            if effect.alive:
                alive.append(lever)
        self._levers = tuple(alive)
        if self._plan.thresholds and not self._thresholds:
            effect = threshold_effect(self._plan, default, self._blas)
            if effect not in self._found.effects:
                self._found.effects.append(effect)
            self._thresholds = distinct_thresholds(self._plan, default)

    # Measuring

    def _cover(self) -> None:
        """Measures the environments that the first look left out."""
        seen = set(self._memory)
        missing = [environment for environment in self._environments() if environment not in seen]
        for start in range(0, len(missing), 2):
            self._try_launch(missing[start : start + 2])

    def _repeat(self, contenders: Sequence[Arm], done: int) -> None:
        """Measures the contenders in fresh processes, and the default once more with the first of them."""
        own = [arm.environment for arm in contenders]
        wanted = list(dict.fromkeys([DEFAULT, *own] if done == 1 else own))
        for start in range(0, len(wanted), 2):
            self._try_launch(wanted[start : start + 2], contenders)

    def _try_launch(self, chosen: Sequence[Configuration], only: Sequence[Arm] | None = None) -> None:
        """Launches, and refuses an environment that fails. Raises TrialError if the default does."""
        try:
            self._launch(chosen, only=only)
        except TrialError as error:
            if error.configuration == DEFAULT:
                raise
            self._found.refusals.append(Refusal(error.configuration, error.reason))
            rest = [environment for environment in chosen if environment != error.configuration]
            if rest and len(rest) < len(chosen):
                self._try_launch(rest, only)

    def _launch(
        self, chosen: Sequence[Configuration], *, first_look: bool = False, only: Sequence[Arm] | None = None
    ) -> None:
        """Starts one or two environments side by side and measures their arms."""
        mask = self._plan.mask(self._launches)
        self._launches += 1
        specs = [TrialSpec(configuration, mask) for configuration in self._rounds.shuffled(chosen)]
        self._journal.narrate("screening: " + " against ".join(str(c) for c in chosen))
        with self._journal.trials_of("screening", specs) as trials:
            if first_look:
                self._prove(trials)
            living: dict[Configuration, RecordedTrial] = {}
            for trial in trials:
                living.setdefault(self._living(trial.spec.configuration), trial)
            # With every lever dead both trials are the default, and one of them is enough.
            self._measure(living, only)
            for environment, trial in living.items():
                self._memory[environment] = trial.memory()

    def _measure(self, trials: dict[Configuration, RecordedTrial], only: Sequence[Arm] | None) -> None:
        """Measures the cells of all arms with as many threads as torch starts, then with fewer.

        A count that loses clearly along the default's path is not tried on the others.
        """
        if only is not None:
            for count in dict.fromkeys((None, *(arm.threads for arm in only))):
                arms = [arm for arm in only if arm.threads == count]
                self._measure_cells(trials, [DEFAULT_ARM, *arms] if count is None else arms, everywhere=True)
            return
        refused = {refusal.configuration for refusal in self._found.refusals}
        lost = not refused.isdisjoint(environments(self._levers))
        self._measure_cells(trials, [a for a in self._arms() if a.threads is None], everywhere=lost)
        if DEFAULT in trials:
            for count in self._threads:
                self._measure_cells({DEFAULT: trials[DEFAULT]}, [Arm(threads=count)], everywhere=lost)
            self._threads = tuple(count for count in self._threads if not self._hopeless(count))
        for count in self._threads:
            arms = [a for a in self._arms() if a.threads == count and a != Arm(threads=count)]
            if DEFAULT not in trials:
                arms = [a for a in self._arms() if a.threads == count]
            self._measure_cells(trials, arms, everywhere=lost)

    def _measure_cells(
        self, trials: dict[Configuration, RecordedTrial], arms: Iterable[Arm], *, everywhere: bool
    ) -> None:
        """Measures the cells of some arms in the trials of their environments.

        Args:
            trials: by their living environments.
            arms: what to measure; all have the same number of threads.
            everywhere: measure a cell even if another environment, which computes it alike, is due to.
        """
        cases = self._plan.workload.cases
        wanted: dict[int, dict[CellKey, RecordedTrial]] = {index: {} for index in range(len(cases))}
        for arm in arms:
            for index, cells_of_case in wanted.items():
                key = self._cell(arm, index)
                if key.environment in trials:
                    cells_of_case[key] = trials[key.environment]
                elif everywhere and arm.environment in trials:
                    cells_of_case.setdefault(key, trials[arm.environment])
        cells = {
            cases[index]: [(trial, key.path) for key, trial in found.items()]
            for index, found in wanted.items()
            if found
        }
        shortest = self._rounds.warm_up(cells)
        for index in self._rounds.shuffled([index for index, found in wanted.items() if found]):
            case = cases[index]
            measured = self._rounds.measure(cells[case], case, shortest[case], mirrored=False)
            for position, key in enumerate(wanted[index]):
                self._cells.add(key, index, measured.nanoseconds(position))

    def _cell(self, arm: Arm, index: int) -> CellKey:
        """What an arm comes to at a case: where BLAS computes all layers, fast math can't be seen."""
        path = arm.path(index)
        environment = arm.environment
        on_blas = default_split(self._found.default, self._plan.workload.cases[index]) | path.blas_layers
        if len(on_blas) == len(self._plan.workload.layers):
            numerics = self._numerics(environment)
            environment = Configuration(tuple(p for p in environment.variables if p not in numerics))
        return CellKey(environment, path)

    def _ways(self, arm: Arm) -> tuple[CellKey, ...]:
        """The cell of an arm at each case."""
        return tuple(self._cell(arm, index) for index in range(len(self._plan.workload.cases)))

    # What follows from it

    def _living(self, environment: Configuration) -> Configuration:
        """The environment without the levers that do nothing: it acts the same."""
        alive = {lever.setting.variable for lever in self._levers}
        return Configuration(tuple(pair for pair in environment.variables if pair[0] in alive))

    def _environments(self) -> list[Configuration]:
        refused = {refusal.configuration for refusal in self._found.refusals}
        return [e for e in environments(self._levers) if e not in refused]

    def _arms(self) -> list[Arm]:
        """The arms that are still in the race; of those that compute everything alike, the smallest alone."""
        allowed = set(self._environments())
        distinct: dict[tuple[CellKey, ...], Arm] = {}
        for arm in arms_of(self._levers, self._thresholds, self._threads):
            if arm.environment in allowed and not self._guarded(arm):
                distinct.setdefault(self._ways(arm), arm)
        return list(distinct.values())

    def _guarded(self, arm: Arm) -> str | None:
        """Why an arm may not be chosen, from what was observed of its environment; None if it may.

        The default may always: it is what the others are compared with.
        """
        if arm == DEFAULT_ARM:
            return None
        return self._inaccurate(arm) or self._too_large(arm.environment)

    def _inaccurate(self, arm: Arm) -> str | None:
        """An observed accuracy problem in a case that the arm does not send to BLAS as a whole."""
        for environment, observation in self._found.observations.items():
            if self._numerics(environment) != self._numerics(arm.environment) or environment == DEFAULT:
                continue
            for index, case in enumerate(self._plan.workload.cases):
                on_blas = default_split(self._found.default, case) | arm.path(index).blas_layers
                problem = accuracy_problem(observation.case(case.batch), self._plan.workload, self._rules)
                if problem and len(on_blas) < len(self._plan.workload.layers):
                    return problem
        return None

    def _numerics(self, environment: Configuration) -> frozenset[tuple[str, str]]:
        """The part of an environment that changes what is computed."""
        changing = {lever.setting.variable for lever in self._plan.levers if lever.setting.changes_results}
        return frozenset(pair for pair in environment.variables if pair[0] in changing)

    def _too_large(self, environment: Configuration) -> str | None:
        """A gross breach of the memory margin; the exact comparison belongs to the confirmation."""
        default, other = self._memory.get(DEFAULT), self._memory.get(environment)
        if default is None or other is None:
            return None
        margin = max(self._rules.memory_margin_bytes, self._rules.memory_margin_share * default.peak)
        excess = max(other.rss_anon - default.rss_anon, other.peak - default.peak)
        return f"needs {excess / 1e6:.0f} MB more memory" if excess > 2 * margin else None

    def _predictions(self) -> tuple[Prediction, ...]:
        """The predictions of all arms whose cells were all measured, falling by gain."""
        if DEFAULT not in self._found.observations:
            return ()
        default = self._milliseconds(DEFAULT_ARM)
        if default is None:
            return ()
        found = []
        for arm in self._arms():
            times = self._milliseconds(arm)
            if times is not None:
                gain = math.log(self._cells.mix(default) / self._cells.mix(times))
                found.append(Prediction(arm, gain, times))
        return tuple(sorted(found, key=lambda prediction: -prediction.gain))

    def _milliseconds(self, arm: Arm) -> tuple[float, ...] | None:
        return self._cells.milliseconds(self._ways(arm))

    def _hopeless(self, threads: int) -> bool:
        """Whether a thread count lost clearly in the default environment, along the default's path."""
        default, fewer = self._milliseconds(DEFAULT_ARM), self._milliseconds(Arm(threads=threads))
        if default is None or fewer is None:
            return True
        return math.log(self._cells.mix(fewer) / self._cells.mix(default)) > self._rules.hopeless

    def _share_of_budget(self) -> float:
        """Seconds that screening may use before it begins another pass."""
        return self._rules.screening_share * self._rules.budget_seconds

    def _contenders(self, done: int) -> list[Arm]:
        """The arms that may still turn out best, after some passes.

        None if nothing was faster than the default. None after the second pass if all of them share one
        environment: the same processes then measured them, side by side.
        """
        predictions = self._predictions()
        best = predictions[0].gain
        if best <= self._rules.nothing_gained:
            return []
        reach = self._rules.contender_reach / math.sqrt(done)
        found = [p.arm for p in predictions[: self._rules.most_contenders] if p.gain >= best - reach]
        return found if done == 1 or len({arm.environment for arm in found}) > 1 else []
