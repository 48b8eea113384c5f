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
from graviton_agent.calibration.dispatch import Dispatch
from graviton_agent.calibration.journal import Journal, OutOfTimeError, RecordedTrial
from graviton_agent.calibration.ladder import contenders_of
from graviton_agent.calibration.plan import Choice, Plan
from graviton_agent.calibration.proof import (
    Effect,
    Threshold,
    accuracy_problem,
    distinct_thresholds,
    lever_effect,
    memory_problem,
    threshold_effect,
)
from graviton_agent.calibration.rounds import Cell, Rounds
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import (
    DEFAULT,
    Configuration,
    Memory,
    Observation,
    TrialError,
    TrialSpec,
)
from graviton_agent.settings.matmul_threshold import MatmulThreshold


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
        self._all_thresholds: tuple[Threshold, ...] = ()
        self._threads: tuple[int, ...] = plan.threads
        self._dispatch = Dispatch(plan)
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
                contenders = contenders_of(self._predictions(), done, self._rules)
                if not contenders or self._journal.elapsed() > self._share_of_budget():
                    break
                self._repeat(contenders, done)
            self._found.finished = True
        # What lost at once is no longer in the race, but belongs into the account of it.
        self._threads, self._thresholds = self._plan.threads, self._all_thresholds
        self._found.predictions = self._predictions()
        environments_seen = dict.fromkeys(map(self._dispatch.environment, self._memory))
        self._found.pair_variances = self._cells.pair_variances(environments_seen, self._dispatch.default)
        self._found.refusals += [
            Refusal(lever.configuration, reason)
            for lever in self._levers
            if (reason := self._guarded(Arm(lever.configuration)))
        ]
        return self._found

    def _look(self) -> None:
        """Starts the default beside a process with every lever on: proves, guards, and measures both."""
        everything = self._dispatch.started(combined(self._levers))
        try:
            self._launch(list(dict.fromkeys([DEFAULT, everything])), first_look=True)
        except TrialError as error:
            self._refuse(error)
            if self._dispatch.lowers:
                self._raise_floor()
                self._look()
            else:
                self._look_at_each()
        if self._dispatch.lowers:
            self._drop_idle_thresholds(self._dispatch.environment(everything))

    def _refuse(self, error: TrialError) -> None:
        """Writes down what failed. Raises it again if it is the default."""
        if error.configuration == DEFAULT:
            raise error
        self._found.refusals.append(Refusal(error.configuration, error.reason))

    def _raise_floor(self) -> None:
        """Takes what needs a lower threshold than torch's own out of the race."""
        self._dispatch.raise_floor()
        self._thresholds = tuple(t for t in self._thresholds if not t.below(self._dispatch.default))

    def _drop_idle_thresholds(self, environment: Configuration) -> None:
        """Drops thresholds below torch's own unless they save time with these levers at first sight."""
        default = self._dispatch.ways(DEFAULT_ARM)
        times = self._cells.milliseconds(default)

        def saves(threshold: Threshold) -> bool:
            ways, cases = self._dispatch.ways(Arm(environment, threshold)), self._plan.workload.cases
            saved = math.fsum(
                -cases[case].weight * times[case] * math.expm1(self._cells.log_ratio(ways[case], way, case))
                for case, way in enumerate(default)
                if times is not None and case in threshold.below(self._dispatch.default)
            )
            return times is not None and saved >= self._rules.floor_saving * self._cells.mix(times)

        self._thresholds = tuple(
            one for one in self._thresholds if not one.below(self._dispatch.default) or saves(one)
        )
        if not any(one.below(self._dispatch.default) for one in self._thresholds):
            self._raise_floor()

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
                self._refuse(error)
                continue
            alive.extend(self._levers)
        self._levers = tuple(alive)
        if not self._dispatch.default:
            self._launch([DEFAULT], first_look=True)

    def _prove(self, trials: Sequence[RecordedTrial]) -> None:
        """Observes the trials, and drops the levers and thresholds that do nothing here."""
        for trial in trials:
            configuration = trial.spec.configuration
            if configuration not in self._found.observations:
                self._found.observations[configuration] = trial.observe()
        default = self._found.default
        tried = self._found.observations[self._dispatch.started(combined(self._levers))]
        alive = []
        for lever in self._levers:
            effect = lever_effect(lever, default, tried, self._plan.workload)
            self._found.effects.append(effect)
            if effect.alive:
                alive.append(lever)
        self._levers = tuple(alive)
        if self._plan.thresholds and not self._thresholds:
            lowered = tried if self._dispatch.lowers else None
            effect = threshold_effect(self._plan, default, self._blas, lowered)
            if effect not in self._found.effects:
                self._found.effects.append(effect)
            self._thresholds = self._all_thresholds = distinct_thresholds(self._plan, default, lowered)
        self._dispatch.learn(default, tried)

    # Measuring

    def _cover(self) -> None:
        """Measures the environments that the first look left out."""
        lowers, dispatch = self._dispatch.lowers, self._dispatch
        seen = {dispatch.environment(c) for c in self._memory if dispatch.is_lowered(c) or not lowers}
        needed = dict.fromkeys(arm.environment for arm in self._arms())
        missing = [environment for environment in needed if environment not in seen]
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
            self._launch([self._dispatch.started(environment) for environment in chosen], only=only)
        except TrialError as error:
            self._refuse(error)
            if self._dispatch.lowers:
                # The lower threshold may be to blame: once more with torch's own.
                self._raise_floor()
                allowed = None if only is None else [arm for arm in only if arm in self._arms()]
                self._try_launch(chosen, allowed)
                return
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
            # Where both trials act alike one of them is enough.
            self._measure(tuple(living.values()), only)
            for configuration, trial in living.items():
                self._memory[configuration] = trial.memory()

    def _measure(self, found: Sequence[RecordedTrial], only: Sequence[Arm] | None) -> None:
        """Measures the cells of all arms with as many threads as torch starts, then with fewer.

        A count that loses clearly along the default's path is not tried on the others.
        """
        # Of two processes with equal levers the one with the lower threshold can do all that the other can.
        found = sorted(found, key=lambda trial: self._dispatch.is_lowered(trial.spec.configuration))
        trials = {self._dispatch.environment(self._living(t.spec.configuration)): t for t in found}
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
        wanted: dict[int, dict[CellKey, Cell]] = {index: {} for index in range(len(cases))}
        for arm in arms:
            for index, cells_of_case in wanted.items():
                key = self._dispatch.cell(arm, index)
                own = [arm.environment] if everywhere else []
                trial = next((trials[e] for e in (key.environment, *own) if e in trials), None)
                if trial is None:
                    continue
                path = self._dispatch.path(trial.spec.configuration, key, index)
                if path is not None:
                    cells_of_case.setdefault(key, (trial, path))
        cells = {cases[index]: list(found.values()) for index, found in wanted.items() if found}
        shortest = self._rounds.warm_up(cells, together=False)
        for index in self._rounds.shuffled([index for index, found in wanted.items() if found]):
            case = cases[index]
            measured = self._rounds.measure(cells[case], case, shortest[case], mirrored=False)
            for position, key in enumerate(wanted[index]):
                self._cells.add(key, index, measured.nanoseconds(position))

    # What follows from it

    def _living(self, configuration: Configuration) -> Configuration:
        """The configuration without the variables that do nothing: it acts the same."""
        alive = {lever.setting.variable for lever in self._levers}
        if self._dispatch.lowers:
            alive.add(MatmulThreshold.variable)
        return Configuration(tuple(pair for pair in configuration.variables if pair[0] in alive))

    def _environments(self) -> list[Configuration]:
        refused = {refusal.configuration for refusal in self._found.refusals}
        return [e for e in environments(self._levers) if e not in refused]

    def _arms(self) -> list[Arm]:
        """The arms that are still in the race; of those that compute everything alike, the smallest alone."""
        allowed = set(self._environments())
        distinct: dict[tuple[CellKey, ...], Arm] = {}
        for arm in arms_of(self._levers, self._thresholds, self._threads):
            if arm.environment in allowed and not self._guarded(arm):
                distinct.setdefault(self._dispatch.ways(arm), arm)
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
            if (
                self._dispatch.numerics(environment) != self._dispatch.numerics(arm.environment)
                or environment == DEFAULT
            ):
                continue
            for index, case in enumerate(self._plan.workload.cases):
                problem = accuracy_problem(observation.case(case.batch), self._plan.workload, self._rules)
                layers = len(self._plan.workload.layers)
                if problem and len(self._dispatch.cell(arm, index).on_blas) < layers:
                    return problem
        return None

    def _too_large(self, environment: Configuration) -> str | None:
        """A gross breach of the memory margin; the exact comparison belongs to the confirmation."""
        measured = [c for c in self._memory if self._dispatch.environment(c) == environment]
        if not measured or DEFAULT not in self._memory:
            return None
        # A process with a lower threshold is compared with the default on the same path, if there is one.
        like = next((c for c in measured if not self._dispatch.is_lowered(c)), measured[0])
        variables = (pair for pair in like.variables if pair not in environment.variables)
        default = self._memory.get(Configuration(tuple(variables)), self._memory[DEFAULT])
        return memory_problem(default, self._memory[like], self._rules)

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
        return self._cells.milliseconds(self._dispatch.ways(arm))

    def _hopeless(self, threads: int) -> bool:
        """Whether a thread count lost clearly in the default environment, along the default's path."""
        default, fewer = self._milliseconds(DEFAULT_ARM), self._milliseconds(Arm(threads=threads))
        if default is None or fewer is None:
            return True
        return math.log(self._cells.mix(fewer) / self._cells.mix(default)) > self._rules.hopeless

    def _share_of_budget(self) -> float:
        """Seconds that screening may use before it begins another pass."""
        return self._rules.screening_share * self._rules.budget_seconds
