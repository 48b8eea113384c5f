"""What is to be measured: the settings that may have an effect, their candidates, and why others are left."""

from collections.abc import Mapping
from dataclasses import dataclass

from graviton_agent.calibration.trial import Configuration
from graviton_agent.host import Host
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.settings.matmul_threshold import MatmulThreshold
from graviton_agent.settings.setting import Lever, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload


@dataclass(frozen=True)
class Choice:
    """One setting with one value to try."""

    setting: Setting
    value: str

    @property
    def configuration(self) -> Configuration:
        """The configuration that sets this alone."""
        return Configuration(((self.setting.variable, self.value),))


@dataclass(frozen=True)
class LeftAlone:
    """A setting that is not chosen, and why: one clause for the table."""

    setting: str
    variable: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that a calibration may try."""

    workload: Workload
    levers: tuple[Choice, ...] = ()
    """Values that need a process of their own; each is on or off."""
    thresholds: tuple[int, ...] = ()
    """Matmul thresholds, one for each range of values that dispatches differently; rising. Those below
    torch's own let oneDNN take products that it gives to the BLAS library."""
    threads: tuple[int, ...] = ()
    """Thread counts besides the one that torch starts with; falling."""
    left_alone: tuple[LeftAlone, ...] = ()
    cpus: tuple[int, ...] = ()
    """The CPUs that trials may use; empty leaves them alone."""
    fixed_threads: int | None = None
    """The number of threads that the unit is held to; None if torch, or the calibration, chooses."""
    seed: int = 0

    @property
    def floor(self) -> Configuration | None:
        """What lets oneDNN take every product that it can; None where torch's own threshold does as well."""
        if not self.thresholds or self.thresholds[0] >= self.workload.dimensions[0]:
            return None
        return Configuration(((MatmulThreshold.variable, str(self.thresholds[0])),))

    def mask(self, turn: int) -> tuple[int, ...] | None:
        """The CPUs of one pair's processes, both arms alike.

        A process with fewer threads than CPUs stays where it was first put, for its whole life; rotating
        the mask makes the pairs see all of the host.
        """
        if not self.cpus:
            return None
        width = self.fixed_threads
        if width is None or width >= len(self.cpus):
            return self.cpus
        start = turn * width % len(self.cpus)
        return tuple(sorted((self.cpus + self.cpus)[start : start + width]))


def make_plan(
    host: Host,
    torch: TorchBuild,
    workload: Workload,
    *,
    only: frozenset[str] | None = None,
    forbidden: frozenset[str] = frozenset(),
    unconsented: frozenset[str] = frozenset(),
    held: Mapping[str, str] | None = None,
    fixed_threads: int | None = None,
    seed: int = 0,
) -> Plan:
    """Sorts the catalogue into what to try and what to leave alone.

    Args:
        host: where it is measured.
        torch: what the unit's interpreter loads.
        workload: what stands for the unit's inference.
        only: names of the settings to try; None is all.
        forbidden: names of settings that the operator refuses.
        unconsented: names of settings to which the operator would have to consent, and has not.
        held: variables that the unit gets from elsewhere, with their values: the operator wins.
        fixed_threads: the unit's number of threads where it is given.
        seed: of everything that is random in the calibration.
    """
    held = held or {}
    choices: list[tuple[Setting, tuple[str, ...]]] = []
    left: list[LeftAlone] = []
    for setting in CATALOGUE:
        reason = _why_not(
            setting,
            host,
            torch,
            only=only,
            forbidden=forbidden,
            unconsented=unconsented,
            held=held,
            fixed_threads=fixed_threads,
        )
        values = () if reason else setting.candidates(host, torch, workload)
        if values:
            choices.append((setting, values))
        else:
            left.append(LeftAlone(setting.name, setting.variable, reason or "there is no other value to try"))
    return Plan(
        workload=workload,
        levers=tuple(
            Choice(setting, values[0]) for setting, values in choices if setting.lever is Lever.ENVIRONMENT
        ),
        thresholds=_numbers(choices, Lever.DISPATCH),
        threads=_numbers(choices, Lever.THREADS),
        left_alone=tuple(left),
        cpus=host.usable_cpus,
        fixed_threads=fixed_threads,
        seed=seed,
    )


def _why_not(
    setting: Setting,
    host: Host,
    torch: TorchBuild,
    *,
    only: frozenset[str] | None,
    forbidden: frozenset[str],
    unconsented: frozenset[str],
    held: Mapping[str, str],
    fixed_threads: int | None,
) -> str | None:
    """The first reason to leave a setting alone; None if it is worth trials."""
    if setting.name in forbidden:
        return "forbidden by the operator"
    if only is not None and setting.name not in only:
        return "not asked for"
    if setting.name in unconsented:
        return "it changes results, to which the operator has not consented (allow_bf16)"
    for variable in (setting.variable, *setting.aliases):
        if variable in held:
            return f"held by the operator ({variable}={held[variable]})"
    if setting.lever is Lever.THREADS and fixed_threads is not None:
        return f"held at {fixed_threads} by the operator"
    applies = setting.applies(host, torch)
    return None if applies.possible else applies.why


def _numbers(choices: list[tuple[Setting, tuple[str, ...]]], lever: Lever) -> tuple[int, ...]:
    return tuple(int(value) for setting, values in choices if setting.lever is lever for value in values)
