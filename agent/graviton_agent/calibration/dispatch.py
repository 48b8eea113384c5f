"""Which library computes which layer: by the process itself, or by torch's flag inside it.

The flag can only take products away from oneDNN. So where torch's own threshold keeps some from it that it
might be faster at, screening starts its processes with the lowest threshold of all, and emulates torch's own
and every higher one by the flag, product by product.
"""

from graviton_agent.calibration.arms import Arm
from graviton_agent.calibration.cells import CellKey
from graviton_agent.calibration.plan import Plan
from graviton_agent.calibration.proof import default_split, lowered_split
from graviton_agent.calibration.trial import Configuration, Observation, Path
from graviton_agent.settings.matmul_threshold import MatmulThreshold


class Dispatch:
    """What processes send to the BLAS library by themselves, as their bits show it."""

    def __init__(self, plan: Plan) -> None:
        self._workload = plan.workload
        self._changing = {lever.setting.variable for lever in plan.levers if lever.setting.changes_results}
        self._floor = plan.floor
        self.default: tuple[frozenset[int], ...] = ()
        """For each case the layers that the default configuration sends to BLAS."""
        self._lowered: tuple[frozenset[int], ...] = ()

    @property
    def lowers(self) -> bool:
        """Whether processes are started with the lowest threshold."""
        return self._floor is not None

    def started(self, environment: Configuration) -> Configuration:
        """What a process of these levers is started with."""
        return environment if self._floor is None else environment.merged(self._floor)

    def environment(self, configuration: Configuration) -> Configuration:
        """The levers that a process was started with."""
        return configuration.without(MatmulThreshold.variable)

    def is_lowered(self, configuration: Configuration) -> bool:
        """Whether a process was started with the lowest threshold."""
        return MatmulThreshold.variable in configuration.environment

    def learn(self, default: Observation, lowered: Observation) -> None:
        """Reads both dispatches off the bits. Nothing is lowered any more if they are the same."""
        cases = self._workload.cases
        self.default = tuple(default_split(default, case) for case in cases)
        self._lowered = self.default
        if self._floor is not None:
            self._lowered = tuple(lowered_split(default, lowered, case) for case in cases)
        if self._lowered == self.default:
            self._floor = None

    def raise_floor(self) -> None:
        """From now on processes are started with torch's own threshold."""
        self._floor = None

    def path(self, configuration: Configuration, key: CellKey, case: int) -> Path | None:
        """How a process is led to compute a cell; None if only a lower threshold could."""
        by_itself = (self._lowered if self.is_lowered(configuration) else self.default)[case]
        return Path(key.on_blas - by_itself, key.threads) if by_itself <= key.on_blas else None

    def cell(self, arm: Arm, case: int) -> CellKey:
        """What an arm comes to at a case: where BLAS computes all layers, fast math can't be seen."""
        environment = arm.environment
        on_blas = (arm.threshold.on_blas if arm.threshold else self.default)[case]
        if len(on_blas) == len(self._workload.layers):
            numerics = self.numerics(environment)
            environment = Configuration(tuple(p for p in environment.variables if p not in numerics))
        return CellKey(environment, on_blas, arm.threads)

    def ways(self, arm: Arm) -> tuple[CellKey, ...]:
        """The cell of an arm at each case."""
        return tuple(self.cell(arm, index) for index in range(len(self._workload.cases)))

    def numerics(self, environment: Configuration) -> frozenset[tuple[str, str]]:
        """The part of an environment that changes what is computed."""
        return frozenset(pair for pair in environment.variables if pair[0] in self._changing)
